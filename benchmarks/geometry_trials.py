"""Captures made harder on purpose, with the same truth: focal lengths unknown or wrong, few cameras of a rig, photos of somebody else."""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.geometry_captures import SHARED, Case, case_of, frame_truths
from benchmarks.geometry_photos import seen_yaw_deg
from benchmarks.geometry_rows import NAN, Row, fitted, scored, view_figures
from recon import Avatar, load_capture
from recon.capture import USABLE_STATUSES, Capture, View

WRONG_EXIF = 1.3
"""What EXIF's focal lengths are multiplied by: as where a photo was cropped and its EXIF was not."""
NUM_CAMERAS = 4
"""So many cameras of a rig stay calibrated."""
TRIALS: Mapping[str, str] = {
    "no-exif": "loose", "wrong-exif": "loose", "few-cameras": "rig", "mixed": "rig", "strangers": "loose",
}  # fmt: skip
"""Kind of row, and the kind of capture that it is tried on.

no-exif: no photo states its focal length. wrong-exif: all state 1.3 times theirs. few-cameras: four cameras of a rig spread over its
width, and no other picture. mixed: these four, and the other cameras' pictures as loose ones without EXIF. strangers: photos of another
person's capture, one at a time.
"""


def applies(kind: str, case: Case) -> bool:
    """Whether a kind of row can be measured on a capture; average, landmarks and full fit can on every one."""
    return TRIALS.get(kind, case.kind) == case.kind


def try_out(case: Case, head: str, kind: str, *, preset: str = "full", strangers: Case | None = None, most: int = 0) -> Row:
    """Fit a capture as changed by `kind`, one of TRIALS, and score it; for a process of its own.

    `strangers` is whose photos are mixed in, at most `most` of them spread over the capture, 0: all.
    """
    started, capture = time.perf_counter(), load_capture(case.source, cameras=case.cameras)
    if kind == "strangers":
        if strangers is None:
            raise SystemExit("strangers need a second capture of loose photos")
        return mix_in_strangers(case, capture, load_capture(strangers.source), head, preset, most)
    truths = frame_truths(case)
    changed = _changed(capture, kind, {view.name: seen_yaw_deg(truths[Path(view.name).name].T_cam_head) for view in capture.views})
    avatar = fitted(changed, head, "full", preset)
    seconds, peak_gb = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = Row(case.key, head, kind, NAN, NAN, NAN, seconds=round(seconds, 1), peak_gb=round(peak_gb, 2), views=len(changed.views))
    row = scored(row, avatar, case)
    loose = {view.name for view in changed.views if view.camera is None}
    share = view_figures(avatar, truths, is_rig=not loose)["registered"]
    # What a mixed capture has to find are the loose pictures' cameras; the others' are given.
    own = dataclasses.replace(avatar, views=tuple(view for view in avatar.views if view.name in loose)) if loose else avatar
    return dataclasses.replace(row, **view_figures(own, truths, is_rig=not loose) | {"registered": share})


def _changed(capture: Capture, kind: str, yaws_deg: Mapping[str, float]) -> Capture:
    if kind in ("no-exif", "wrong-exif"):
        return with_focal_factor(capture, None if kind == "no-exif" else WRONG_EXIF)
    return with_few_cameras(capture, yaws_deg, NUM_CAMERAS, others="loose" if kind == "mixed" else "left out")


def with_focal_factor(capture: Capture, factor: float | None) -> Capture:
    """The capture with every stated focal length multiplied, or, for None, unknown."""

    def changed(view: View) -> View:
        return dataclasses.replace(view, focal_px=None if factor is None or view.focal_px is None else factor * view.focal_px)

    return dataclasses.replace(capture, views=tuple(changed(view) for view in capture.views))


def with_few_cameras(capture: Capture, yaws_deg: Mapping[str, float], count: int, *, others: Literal["loose", "left out"]) -> Capture:
    """A rig's capture with `count` of its cameras, spread over its width; what becomes of the others' pictures is said by `others`.

    `yaws_deg` says from where each picture sees the head, by the view's name.
    """
    by_place: dict[tuple[float, ...], list[str]] = {}
    for view in capture.views:
        if view.camera is not None:
            # Pictures of one camera were taken from one place, to a micrometre.
            by_place.setdefault(tuple(np.round(view.camera.position_world, 6)), []).append(view.name)
    cameras = sorted(by_place.values(), key=lambda names: yaws_deg[names[0]])
    kept = {name for index in np.linspace(0, len(cameras) - 1, min(count, len(cameras))) for name in cameras[round(index)]}
    loose = [dataclasses.replace(view, camera=None, camera_file="", camera_unit="", focal_px=None) for view in capture.views]
    views = [view if view.name in kept else free for view, free in zip(capture.views, loose, strict=True)]
    return dataclasses.replace(capture, views=tuple(view for view in views if others == "loose" or view.name in kept))


def mix_in_strangers(case: Case, capture: Capture, others: Capture, head: str, preset: str, most: int) -> Row:
    """One fit for each photo of somebody else; the face error is the worst of them, the share registered the least."""
    photos = [view for view in others.views if view.status in USABLE_STATUSES]
    chosen = photos if most in (0, len(photos)) else [photos[round(i)] for i in np.linspace(0, len(photos) - 1, min(most, len(photos)))]
    started, rows = time.perf_counter(), list[Row]()
    truths = frame_truths(case)
    for photo in chosen:
        # Truths are found by the file's name, which two captures may share.
        stranger = dataclasses.replace(photo, name=f"stranger/of-{photo.name}", camera=None)
        avatar = fitted(dataclasses.replace(capture, views=(*capture.views, stranger)), head, "full", preset)
        row = scored(Row(case.key, head, "strangers", NAN, NAN, NAN), avatar, case)
        rows.append(dataclasses.replace(row, **view_figures(avatar, truths, is_rig=False) | verdict(avatar, stranger.name)))
    worst = max(rows, key=lambda row: row.median_mm)
    return dataclasses.replace(
        worst,
        registered=min(row.registered for row in rows),
        strangers_used=sum(row.strangers_used for row in rows),
        strangers_mixed_in=len(rows),
        strangers_named=sum(row.strangers_named for row in rows),
        true_views_rejected=sum(row.true_views_rejected for row in rows),
        seconds=round((time.perf_counter() - started) / len(rows), 1),
        views=len(capture.views) + 1,
    )


def verdict(avatar: Avatar, stranger: str) -> dict[str, float]:
    """Whether the stranger's photo was set aside as another person's, and how many true views were `rejected` for that or any reason."""
    reasons = {view.name: view.reason for view in avatar.views if view.camera is None}
    wrong = [view for view in avatar.views if view.camera is None and view.name != stranger and view.status == "rejected"]
    return {
        "strangers_used": float(stranger not in reasons),
        "strangers_named": float("another person" in reasons.get(stranger, "")),
        "true_views_rejected": float(len(wrong)),
    }


def other_person(case: Case, name: str | None = None, work: Path | None = None) -> Case:
    """The capture of that name; without one, the first of loose photos, on disk, of somebody else than this capture's person.

    Raises SystemExit where nobody else is on disk or the named capture is no folder of photos.
    """
    if name is not None and (named := case_of(name, work)).kind == "loose":
        return named
    person = Path(case.name).parts[0]
    for other in ("sample", *SHARED) if name is None else ():
        if other != person and (found := case_of(other, work)).kind == "loose" and found.source.exists():
            return found
    raise SystemExit(f"no loose photos of another person than {person}: name a capture with --strangers-from")
