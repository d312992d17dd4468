"""What `recon assets list` and `recon assets show` print: heads, detectors and calibrations, as tables or JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import ReconError
from assets.heads import HeadEntry, check_licence_statement, describe_head, list_heads, load_head
from assets.licences import DETECTOR
from studio.console import Reporter


@dataclasses.dataclass(frozen=True)
class DetectorEntry:
    """One way to find faces."""

    name: str
    """What `--fit.detector` takes."""
    title: str
    status: str
    """"installed", "not installed" or "broken"."""
    how_to_install: str
    licence: str
    commercial: bool | None
    finds: str
    """What it gives for a face."""
    detail: str
    """Its file, or the reason why it cannot be used."""


@dataclasses.dataclass(frozen=True)
class CalibrationEntry:
    """Where a detector's landmarks lie on a head, if that has been found out."""

    head: str
    detector: str
    status: str
    """"shipped" with recon, "own" in the user's data folder, or "missing"."""
    detail: str
    """The file, or the command that makes it."""


@dataclasses.dataclass(frozen=True)
class AssetListing:
    """Everything that `recon assets list` shows."""

    heads: tuple[HeadEntry, ...]
    detectors: tuple[DetectorEntry, ...]
    calibrations: tuple[CalibrationEntry, ...]


def list_assets(heads: Sequence[str] = (), licence: str | None = None) -> AssetListing:
    """Heads, detectors and calibrations as they are now; `heads` are described beside those that have a name of their own."""
    entries = (*list_heads(), *(describe_head(name, licence=licence) for name in heads))
    return AssetListing(entries, detector_entries(), tuple(calibration_entries([e for e in entries if e.topology_hash], licence)))


def detector_entries() -> tuple[DetectorEntry, DetectorEntry]:
    """The face mesh in the mediapipe wheel, and the one of face_landmarker.task."""
    from recon.face_mesh import find_task_file, why_not_mediapipe

    reason = why_not_mediapipe()
    try:
        task, why = find_task_file(), ""
    except ReconError as error:
        # $RECON_FACE_LANDMARKER names a file that is not there: a line of the table, not the end of it.
        task, why = None, f"{error.expected}; got {error.got}"
    return (
        _detector(
            "bundled",
            "MediaPipe face mesh, in its wheel",
            "broken" if reason else "installed",
            "pip install mediapipe==0.10.21",
            "478 landmarks",
            reason or "in the wheel",
        ),
        _detector(
            "tasks",
            "MediaPipe face_landmarker.task",
            "installed" if task else ("broken" if why else "not installed"),
            "recon assets install face-landmarker",
            "478 landmarks, 52 expression scores",
            str(task or why),
        ),
    )


def _detector(name: str, title: str, status: str, how: str, finds: str, detail: str) -> DetectorEntry:
    how = "" if status == "installed" else how
    return DetectorEntry(name, title, status, how, DETECTOR.licence, DETECTOR.commercial, finds, detail)


def calibration_entries(heads: Sequence[HeadEntry], licence: str | None) -> list[CalibrationEntry]:
    """One entry for each installed head and detector."""
    from assets.detector_model import DATA_DIR, DETECTORS, detector_model_path
    from assets.home import data_home

    found = []
    for entry in heads:
        head = load_head(entry.name, licence=licence)
        for detector in DETECTORS:
            places = {"shipped": DATA_DIR, "own": data_home() / "calibrations"}
            files = {status: detector_model_path(head, detector, folder=folder) for status, folder in places.items()}
            status = next((status for status, path in files.items() if path.is_file()), "missing")
            do = f"recon assets calibrate --head {entry.name}" + (f" --detector {detector}" if detector != "bundled" else "")
            found.append(CalibrationEntry(entry.name, detector, status, str(files.get(status, do))))
    return found


def print_assets(reporter: Reporter, *, heads: Sequence[str], licence: str | None, as_json: bool) -> None:
    """Print the listing as tables, or as one JSON object on standard output."""
    listing = list_assets(heads, licence)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(listing), indent=1) + "\n")
        return
    reporter.table(
        "head models",
        ("--head", "status", "commercial", ">vertices", ">identity", ">shapes", "licence"),
        [_head_row(entry) for entry in listing.heads],
    )
    reporter.table(
        "detectors",
        ("--fit.detector", "status", "commercial", "finds", "licence"),
        [(entry.name, entry.status, yes_no(entry.commercial), entry.finds, entry.licence) for entry in listing.detectors],
    )
    reporter.table(
        "detector calibrations",
        ("head", "detector", "status", "file, or how to make it"),
        [(entry.head, entry.detector, entry.status, entry.detail) for entry in listing.calibrations],
    )
    for entry in (*listing.heads, *listing.detectors):
        if entry.status != "installed":
            reporter.say(f"{entry.name}: {entry.status}" + (f" ({entry.detail})" if entry.status == "broken" else ""))
            reporter.say(f"    {entry.how_to_install}")
    reporter.say("--commercial on any command refuses parts that do not allow commercial use")


def _head_row(entry: HeadEntry) -> tuple[str, ...]:
    numbers = ["–" if number is None else f"{number:,}" for number in (entry.num_vertices, entry.num_identity)]
    shapes = "–" if entry.num_blendshapes is None else f"{entry.num_blendshapes} of {len(ARKIT_BLENDSHAPES)}"
    return (entry.name, entry.status, yes_no(entry.commercial), *numbers, shapes, entry.licence)


def yes_no(commercial: bool | None) -> str:
    """ "yes", "no", or "unknown"."""
    return {True: "yes", False: "no", None: "unknown"}[commercial]


def print_head(reporter: Reporter, name: str, licence: str | None) -> None:
    """Print one head in full; raises what `load_head` raises where it cannot be loaded."""
    check_licence_statement(name, licence)
    head = load_head(name, licence=licence)
    lacking = {"parts": ", ".join(head.absent_parts) or "none", "ARKit shapes": ", ".join(head.absent_blendshapes) or "none"}
    reporter.table(
        f"head {head.name}",
        ("what", "value"),
        [
            ("source", head.source),
            ("licence", head.licence),
            ("commercial use", yes_no(head.commercial)),
            ("vertices, triangles", f"{head.num_vertices:,}, {len(head.triangles):,}"),
            ("identity parameters", f"{head.num_identity}: {', '.join(head.identity_names[:6])}{', ...' if head.num_identity > 6 else ''}"),
            ("topology", head.topology_hash),
            *((f"lacks, {what}", names) for what, names in lacking.items()),
        ],
    )
    mapped = [
        (shape, f"{residual:.2f}")
        for shape, residual in zip(ARKIT_BLENDSHAPES, head.blendshape_residuals, strict=True)
        if residual > 0 and shape not in head.absent_blendshapes
    ]
    if mapped:
        title = (
            "ARKit shapes mapped onto the head's own basis: share of the shape's motion that is not reproduced (0 exact, 1 nothing of it)"
        )
        reporter.table(title, ("shape", ">residual"), mapped)
    else:
        reporter.say("all its ARKit shapes are its own, none is mapped onto another basis")
