"""`check_capture`: what a capture is worth before a solve, photo by photo and as a set, and which photo to take next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from assets.counting import how_many
from assets.detector_model import load_detector_model
from assets.errors import ReconError
from assets.head_model import HeadModel
from assets.heads import load_head
from assets.landmarks import load_embedding
from recon.capture import UNREAD_STATUSES, USABLE_STATUSES, Capture, Detection, View, ViewStatus
from recon.check_expressions import expressions_of, landmark_fit
from recon.check_photo import Exposure, difference_hash, exposure_of, near_duplicates
from recon.coverage import FULL_FACE_PX, Coverage, SeenFrom, cover, cover_surface, yaw_and_pitch_of
from recon.coverage_next import NextPhoto, next_photos, yaw_gaps
from recon.face_mesh import DetectorName, find_face_boxes
from recon.ingest import read_view
from recon.sharpness import MIN_FINE_DETAIL, face_grey
from recon.solve.prepare import Prepared, prepare
from recon.solve.solution import Solution

Progress = Callable[[str, int, int], None]

SOFT_FINE_DETAIL = 0.11
"""Faces below are soft: used, but with less to match. Sharp ones have 0.13 and more (recon/sharpness.py)."""

SMALL_FACE_PX = 200.0
"""Below, a millimetre of skin is less than about a pixel, and pores and lashes cannot be matched."""

PROFILE_YAW_DEG = 80.0
"""Where pictures that show a head but no face to the mesh are taken to be from, half a picture on either side."""


@dataclasses.dataclass(frozen=True, eq=False)
class ViewCheck:
    """One picture."""

    view: View
    status: ViewStatus
    """As the solve would take it in, strangers `rejected`."""
    reason: str
    exposure: Exposure
    face_px: float
    """Longer side of the box around the used face's landmarks; nan where none was found."""
    face_box_px: tuple[float, float, float, float] | None
    """(x0, y0, x1, y1) of the face that is used, pixels; None where none was found."""
    num_faces: int
    """Faces found; the largest is used."""
    yaw_deg: float
    """Of the head as the camera sees it, positive to the subject's own left; nan where it is not known before the solve."""
    pitch_deg: float
    """Positive: the camera stands below the face."""
    weights: Mapping[str, float]
    """ARKit weights above those common to all pictures."""
    seems_profile: bool = False
    """The mesh finds no face, but the face detector sees a head: probably a profile, which the solve registers from its neighbours."""
    near_duplicate_of: str = ""
    """Name of an earlier picture that it nearly equals; "" for none."""
    warnings: tuple[str, ...] = ()
    """What to mend, in plain words."""

    @property
    def is_usable(self) -> bool:
        """Whether the solve starts from this picture."""
        return self.status in USABLE_STATUSES


@dataclasses.dataclass(frozen=True, eq=False)
class CaptureCheck:
    """A whole capture before the solve."""

    capture: Capture
    """With the statuses that detection and a first fit to landmarks gave."""
    views: tuple[ViewCheck, ...]
    coverage: Coverage
    """By the pictures that are usable and placed."""
    expression_source: str
    """Where the expressions come from: "scores of the face landmarker" or "landmarks alone"."""
    gaps_deg: tuple[tuple[float, float], ...]
    """Ranges of yaw that no neighbouring pictures bridge."""
    next_photos: tuple[NextPhoto, ...]
    """What to take next, best first; empty where another photo would add little."""
    notes: tuple[str, ...]
    """About the set."""


def check_capture(
    capture: Capture,
    detections: Mapping[str, Detection],
    *,
    head: str | HeadModel = "anny",
    detector: DetectorName = "bundled",
    progress: Progress | None = None,
) -> CaptureCheck:
    """Measure every picture and the set; `capture` and `detections` are what `detect_capture` gave.

    Head poses and expressions come from a fit to the landmarks alone, a few seconds; nothing dense is computed. Raises
    MissingAssetError where the head, or its calibration, is not installed.
    """
    model = load_head(head) if isinstance(head, str) else head
    embedding, calibration = load_embedding(model), load_detector_model(model, detector)
    used = [view for view in capture.views if view.name in detections and view.status in USABLE_STATUSES]
    unseen = [view for view in capture.views if view.status == "no_face"]
    prepared = prepare([*used, *unseen], detections, model, embedding, read_view, shape_precision=1.0, detector_model=calibration)
    solution, notes = landmark_fit(prepared)
    yaws_deg = {view.name: _place(view, prepared, solution)[0] for view in prepared.views}
    weights, source = expressions_of(detections, prepared, solution, yaws_deg, _read)
    checks, hashes = [], dict[str, np.ndarray]()
    for index, view in enumerate(capture.views):
        image, found = _read(view), detections.get(view.name)
        check = _view_check(view, image, found, prepared, solution, weights.get(view.name, {}))
        if found is not None and image is not None:
            hashes[view.name] = difference_hash(face_grey(image, found.box_px))
        checks.append(check)
        if progress is not None:
            progress("measure pictures", index + 1, len(capture.views))
    twins = near_duplicates(hashes, {check.view.name: (check.yaw_deg, check.pitch_deg) for check in checks})
    views = tuple(_warned(dataclasses.replace(check, near_duplicate_of=twins.get(check.view.name, ""))) for check in checks)
    return _as_a_set(capture, views, model, source, notes)


def places(views: Sequence[ViewCheck]) -> list[SeenFrom]:
    """What the coverage model is given: usable and placed pictures, near duplicates once, and supposed profiles half on either side."""
    out = []
    for check in views:
        size = 1.0 if math.isnan(check.face_px) else min(1.0, check.face_px / FULL_FACE_PX)
        if check.seems_profile and math.isnan(check.yaw_deg):
            out += [SeenFrom(check.view.name, side * PROFILE_YAW_DEG, 0.0, 0.5) for side in (-1.0, 1.0)]
        elif (check.is_usable or check.status == "no_face") and not check.near_duplicate_of:
            out.append(SeenFrom(check.view.name, check.yaw_deg, check.pitch_deg, size, check.weights))
    return [place for place in out if place.is_placed]


def _as_a_set(capture: Capture, views: tuple[ViewCheck, ...], head: HeadModel, source: str, notes: tuple[str, ...]) -> CaptureCheck:
    seen = places(views)
    coverage = cover(cover_surface(head), seen)
    statuses = {check.view.name: (check.status, check.reason) for check in views}
    updated = tuple(dataclasses.replace(view, status=statuses[view.name][0], reason=statuses[view.name][1]) for view in capture.views)
    return CaptureCheck(
        capture=dataclasses.replace(capture, views=updated),
        views=views,
        coverage=coverage,
        expression_source=source,
        gaps_deg=tuple(yaw_gaps(seen)),
        next_photos=next_photos(coverage),
        notes=(*capture.notes, *notes, *_set_notes(views)),
    )


def _read(view: View) -> np.ndarray | None:
    if view.status in UNREAD_STATUSES:
        return None
    try:
        return read_view(view)
    except (ReconError, OSError, ValueError):
        return None


def _view_check(
    view: View,
    image: np.ndarray | None,
    found: Detection | None,
    prepared: Prepared,
    solution: Solution | None,
    weights: Mapping[str, float],
) -> ViewCheck:
    exposure = (
        Exposure(math.nan, math.nan, math.nan) if image is None else exposure_of(image, None if found is None else found.landmarks_px)
    )
    yaw_deg, pitch_deg, refused = _place(view, prepared, solution)
    seems_profile = view.status == "no_face" and image is not None and bool(find_face_boxes(image, min_confidence=0.2))
    return ViewCheck(
        view=view,
        status="rejected" if refused else view.status,
        reason=refused or view.reason,
        exposure=exposure,
        face_px=math.nan if found is None else found.face_size_px,
        face_box_px=None if found is None else found.box_px,
        num_faces=0 if found is None else found.num_faces,
        yaw_deg=yaw_deg,
        pitch_deg=pitch_deg,
        weights=dict(weights),
        seems_profile=seems_profile,
    )


def _place(view: View, prepared: Prepared, solution: Solution | None) -> tuple[float, float, str]:
    """(yaw, pitch) of a picture by the landmark fit, nan where unknown, and why it was refused; a rig's camera needs no face of its own."""
    names = [used.name for used in prepared.views]
    if solution is None or view.name not in names:
        return math.nan, math.nan, ""
    v = names.index(view.name)
    views = solution.problem.views
    if v in solution.rejected and view.status in USABLE_STATUSES:
        return math.nan, math.nan, solution.rejected[v]
    shared = prepared.is_rig and views[v].instant in {views[u].instant for u in solution.registered}
    if v not in solution.registered and not shared:
        return math.nan, math.nan, ""
    return *yaw_and_pitch_of(solution.state.camera_in_head(views[v]).position_world), ""


def _warned(check: ViewCheck) -> ViewCheck:
    """The same check with its warnings in plain words."""
    view, found = check.view, list[str]()
    if check.near_duplicate_of:
        found.append(f"nearly the same picture as {check.near_duplicate_of}: it adds little")
    if check.is_usable:
        if view.sharpness < MIN_FINE_DETAIL:
            found.append(f"blurred (fine detail {view.sharpness:.2f}), used because there are few")
        elif view.sharpness < SOFT_FINE_DETAIL:
            found.append(f"a little soft (fine detail {view.sharpness:.2f}, sharp from {SOFT_FINE_DETAIL:.2f})")
        if check.face_px < SMALL_FACE_PX:
            found.append(f"small face ({check.face_px:.0f} px, {SMALL_FACE_PX:.0f} or more show skin): step closer")
        if check.exposure.warning:
            found.append(check.exposure.warning)
        if check.num_faces > 1:
            found.append(f"{check.num_faces} faces: the largest is used")
        if view.is_grey:
            found.append("a grey picture: it gives shape, but no colour")
    elif check.status == "no_face" and math.isfinite(check.yaw_deg):
        return check  # Its calibrated camera says where it is from, and the solve uses it all the same.
    elif check.seems_profile:
        found.append("a head, but no face to the mesh: probably a profile, which the solve places by its neighbours")
    elif check.status == "no_face":
        found.append("no face was found: the solve tries to place it by its neighbours")
    elif check.reason:
        found.append(check.reason)
    return dataclasses.replace(check, warnings=tuple(found))


def _set_notes(views: Sequence[ViewCheck]) -> tuple[str, ...]:
    usable = [check for check in views if check.is_usable]
    notes = []
    if usable and all(check.view.focal_px is None and check.view.camera is None for check in usable):
        notes.append("no picture states its focal length (EXIF): it is estimated, about three times less exactly")
    unplaced = sum(check.status == "no_face" and math.isnan(check.yaw_deg) and check.seems_profile for check in views)
    if unplaced:
        are = how_many(unplaced, "picture is probably a profile", "pictures are probably profiles")
        notes.append(f"{are}; until the solve places them they count half on either side")
    if usable and all(check.view.is_grey for check in usable):
        notes.append("all pictures are grey: the texture will be")
    return tuple(notes)
