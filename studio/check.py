"""`recon check`: sources in; a table, check.json and check.png out."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recon.capture import CaptureSettings
from recon.check import CaptureCheck, ViewCheck, check_capture
from recon.detect import DetectSettings, detect_capture
from recon.face_mesh import DetectorName
from recon.ingest import DEFAULT_SETTINGS, load_capture
from studio.artifacts import open_out_folder, plain, write_json
from studio.check_picture import draw_check, faces_line, item_expressions, summary_line
from studio.console import Reporter
from studio.pictures import save_picture
from studio.report_text import number
from studio.source import check_out_is_apart


def run_check(
    sources: Sequence[Path],
    out: Path | None,
    reporter: Reporter,
    *,
    cameras: Path | None = None,
    settings: CaptureSettings = DEFAULT_SETTINGS,
    head: str = "anny",
    head_licence: str | None = None,
    detector: DetectorName = "bundled",
    as_json: bool = False,
) -> CaptureCheck:
    """Check the sources as one capture of one person; writes check.json and check.png into `out` where it is given.

    Raises InputError for input of which nothing can be used, DetectionError where no picture shows a face.
    """
    from assets.heads import check_licence_statement, load_head

    if out is not None:
        for source in sources:
            check_out_is_apart(source, out)
    check_licence_statement(head, head_licence)
    model = load_head(head, licence=head_licence)
    with Reporter(quiet=True).stage("check") if as_json else reporter.stage("check"):
        progress = None if as_json else reporter.progress
        capture = load_capture(sources, cameras=cameras, settings=settings)
        # A folder that cannot be written is told before the work.
        folder = None if out is None else open_out_folder(out)
        capture, detections = detect_capture(capture, settings=DetectSettings(detector=detector), progress=progress)
        check = check_capture(capture, detections, head=model, detector=detector, progress=progress)
        record = check_record(check)
        if folder is not None:
            save_picture(folder / "check.png", draw_check(check))
            write_json(folder / "check.json", record)
    if as_json:
        sys.stdout.write(json.dumps(plain(record), indent=1, ensure_ascii=False) + "\n")
    else:
        print_check(check, out, reporter)
    return check


def check_record(check: CaptureCheck) -> dict[str, Any]:
    """check.json: every figure of the table and more, with units in the names; null where a number is not known."""
    return {
        "schema": "recon.check",
        "source": check.capture.source.resolve(),
        "further_sources": [source.resolve() for source in check.capture.further_sources],
        "summary": summary_line(check),
        "faces": faces_line(check),
        "expression_source": check.expression_source,
        "pictures": [_picture_record(item) for item in check.views],
        "coverage": {
            "expected_sd_mm": check.coverage.sd_mm @ check.coverage.surface.importance,
            "gaps_deg": check.gaps_deg,
            "expected_sd_mm_by_area": area_spread(check),
        },
        "next_photos": check.next_photos,
        "notes": check.notes,
    }


def area_spread(check: CaptureCheck) -> dict[str, float]:
    """Expected spread in mm of each named area, the largest first."""
    surface, sd = check.coverage.surface, check.coverage.sd_mm
    mean = {area: float(sd[[name == area for name in surface.areas]].mean()) for area in dict.fromkeys(surface.areas)}
    return dict(sorted(mean.items(), key=lambda item: -item[1]))


def _picture_record(item: ViewCheck) -> dict[str, Any]:
    view = item.view
    return {
        "name": view.name,
        "status": item.status,
        "reason": item.reason,
        "width": view.width,
        "height": view.height,
        "sharpness": view.sharpness,
        "exposure": item.exposure,
        "face_px": item.face_px,
        "face_box_px": item.face_box_px,
        "faces": item.num_faces,
        "is_grey": view.is_grey,
        "focal_px": view.focal_px if view.camera is None else view.camera.K[0, 0],
        "focal_from": "camera" if view.camera is not None else "exif" if view.focal_px else "unknown",
        "yaw_deg": item.yaw_deg,
        "pitch_deg": item.pitch_deg,
        "expressions": item_expressions(item),
        "weights": item.weights,
        "seems_profile": item.seems_profile,
        "near_duplicate_of": item.near_duplicate_of,
        "warnings": item.warnings,
    }


def print_check(check: CaptureCheck, out: Path | None, reporter: Reporter) -> None:
    """The table, what to take next, and where the files are."""
    columns = ("picture", "status", ">face px", ">sharp", ">light", ">clipped %", ">yaw", ">pitch", "expression", "focal", "to mend")
    sources = (check.capture.source, *check.capture.further_sources)
    reporter.table(f"check of {', '.join(map(str, sources))}", columns, [_row(item) for item in check.views])
    reporter.say(summary_line(check))
    reporter.say(faces_line(check))
    for low, high in check.gaps_deg:
        reporter.say(f"! no neighbouring pictures between yaw {number(low, 0)} and {number(high, 0)} degrees", style="yellow")
    for note in dict.fromkeys(check.notes):
        reporter.say(f"! {note}", style="yellow")
    if not check.next_photos:
        reporter.say("another photo is expected to change little")
    for order, photo in enumerate(check.next_photos, 1):
        reporter.say(f"take next {order}: {photo.text} Expected error {100 * photo.gain:.0f} % less.", style="bold" if order == 1 else "")
    if out is not None:
        reporter.say(f"wrote {out / 'check.json'} and {out / 'check.png'}")


def _row(item: ViewCheck) -> tuple[str, ...]:
    view = item.view
    focal = "camera" if view.camera is not None else f"{view.focal_px:.0f} px" if view.focal_px else "-"
    face = number(item.face_px, 0) + (" grey" if view.is_grey else "") + (f" of {item.num_faces}" if item.num_faces > 1 else "")
    sharp = number(view.sharpness, 2) if item.num_faces else "–"
    clipped = number(100 * item.exposure.clipped if math.isfinite(item.exposure.clipped) else None, 1)
    pose = (number(item.yaw_deg, 0), number(item.pitch_deg, 0))
    shown = ", ".join(item_expressions(item)) or ("at rest" if item.is_usable else "")
    return (view.name, item.status, face, sharp, number(item.exposure.mean, 0), clipped, *pose, shown, focal, "; ".join(item.warnings))
