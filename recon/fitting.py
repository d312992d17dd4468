"""`fit`: from a capture to an avatar."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from assets.counting import how_many
from assets.detector_model import load_detector_model
from assets.errors import DetectionError
from assets.heads import check_licence_statement, load_head
from assets.landmarks import LandmarkEmbedding, load_embedding
from recon.avatar import Avatar, FittedView
from recon.capture import USABLE_STATUSES, Capture, View
from recon.chosen_faces import choose_faces
from recon.detect import DetectSettings, detect_capture
from recon.expression_library import with_expressions
from recon.face_mesh import DetectorName, task_for
from recon.ingest import ONE_PHOTO_NOTE, read_view
from recon.personal_shapes import evidence_of, with_personal_shapes
from recon.scale import Distance, HeadSize, check_distances, check_interpupillary, distance_notes, size_by_distances, size_of_rig
from recon.solve.assemble import (
    T_world_recentred,
    fitted_camera,
    inverse_rigid,
    pose_seen_by,
    recentred_neutral,
    residuals_in_views_px,
    resting_instant,
    views_in_world,
    weights_by_name,
)
from recon.solve.checkpoints import Checkpoints
from recon.solve.conventions import scaled_pose
from recon.solve.pipeline import solve
from recon.solve.prepare import Prepared, prepare
from recon.solve.rig_size import rig_size_sd, scaled_view, sized_by_head
from recon.solve.solution import Solution
from recon.solve.uncertainty import with_uncertainty
from render import DEFAULT_LIGHT

Progress = Callable[[str, int, int], None]

NO_PARALLAX_NOTE = (
    "The cameras are known, but no two pictures of them show the head at one instant: size and place of the head are a guess, and wrong "
    "cameras would go unnoticed. Add pictures that several cameras took at once."
)


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """What `fit` does."""

    head: str = "anny"
    """Head model to fit: "anny", "ict" or "flame:PATH", each optionally with "+1" or "+2" for a denser mesh."""
    head_licence: str | None = None
    """Licence of FLAME's file, "cc-by-4.0" for the open one of 2023; the other heads' licences are known."""
    detector: DetectorName = "bundled"
    """Which face mesh finds the landmarks: "bundled" in the mediapipe wheel, or "tasks" of the installed .task file."""
    preset: Literal["full", "fast"] = "full"
    """full: flow down to 0.7 mm texels, or for a rig alone a sweep down to 0.56; fast: flow stops at 1 mm and no view gets a correction of
    its expression; loose photos take about half the time."""
    use_dense: bool = True
    """Fit to the pictures themselves by dense flow; off: landmarks alone, worth about as much as the average head."""
    free_form: bool = True
    """Per-vertex offsets at the end, for what no basis spans."""
    register_missed: bool = True
    """Try to pose pictures in which no face was detected (profiles) from their neighbours."""
    interpupillary_mm: float = 0.0
    """The person's distance between the pupils, 40 to 90; 0: unknown. Makes loose pictures metric."""
    distances: tuple[Distance, ...] = ()
    """Distances measured on the person, each as two named points (recon/named_points.py) and millimetres. Make loose pictures metric."""
    texture: bool = True
    """Bake the pictures into a texture; off: flat grey."""


def check_fit(settings: FitSettings) -> None:
    """Open everything that a fit with these settings reads beside the pictures, so that what is missing is told before any work.

    Raises RangeError for an unknown head, a licence stated for a head that has its own, or distances that no head has;
    MissingAssetError where the head, its landmarks or the detector's file are not installed; InputError for a FLAME file that is none.
    """
    check_interpupillary(settings.interpupillary_mm)
    check_distances(settings.distances)
    check_licence_statement(settings.head, settings.head_licence)
    head = load_head(settings.head, licence=settings.head_licence)
    load_embedding(head)
    load_detector_model(head, settings.detector)
    task_for(settings.detector)


def fit(
    capture: Capture,
    settings: FitSettings = FitSettings(),
    *,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Avatar:
    """Fit one head to all usable views of a capture: a calibrated rig, loose pictures, or both at once.

    Runs detection, first poses from landmarks, the dense flow bundle, registration of missed profiles, free-form offsets and the
    texture. Every view of the capture comes back as a FittedView with its status. Deterministic. In the folder `checkpoints` each
    finished stage of the solve is kept; a fit of the same pictures with the same settings goes on after the last of them, to the same
    result to the bit, and `say` is told in one line after which. They are removed in the end.

    Raises RangeError for an unknown head or a distance that no person has, MissingAssetError where the head, its landmarks or the
    detector's file are not installed, DetectionError where no view shows a usable face, DegenerateGeometryError where the views
    determine nothing.
    """
    # A head that is not installed or not calibrated is told before minutes go into detection.
    check_fit(settings)
    head = load_head(settings.head, licence=settings.head_licence)
    embedding, model = load_embedding(head), load_detector_model(head, settings.detector)
    capture, detections = detect_capture(capture, settings=DetectSettings(detector=settings.detector), progress=progress)
    capture, detections = choose_faces(
        capture, detections, head, embedding, model, read_view, settings=DetectSettings(detector=settings.detector), progress=progress
    )
    views = _usable_views(capture, set(detections), settings)
    prepared = prepare(views, detections, head, embedding, read_view, shape_precision=1.0, detector_model=model)
    if prepared.is_rig and capture.scale == "relative":
        capture, prepared = sized_by_head(capture, prepared)
    kept = None if checkpoints is None else Checkpoints(checkpoints, prepared, settings)
    if kept is not None and say is not None and kept.finished():
        say(f"goes on after {kept.finished()[-1]!r}, stage {len(kept.finished())} of a fit that was interrupted")
    solution = solve(prepared, settings.preset, settings.use_dense, settings.free_form, progress, kept)
    if solution.uncertainty is None:
        solution = with_uncertainty(solution, prepared, use_dense=settings.use_dense, progress=progress)
    avatar = with_personal_shapes(assemble(capture, prepared, solution, embedding, settings), progress)
    avatar = with_expressions(avatar)
    avatar = _with_texture(avatar, capture, progress) if settings.texture else avatar
    if kept is not None:
        kept.discard()
    return avatar


def _usable_views(capture: Capture, detected: set[str], settings: FitSettings) -> list[View]:
    with_face = [view for view in capture.views if view.name in detected and view.status in USABLE_STATUSES]
    if not with_face:
        raise DetectionError(
            expected="at least one picture with a face that can be used",
            got=f"{how_many(len(capture.views), 'picture')}, none usable: {_statuses(capture)}",
            do="give sharp pictures of one person with the face larger than about 100 pixels",
        )
    without = [view for view in capture.views if view.status == "no_face"] if settings.register_missed and settings.use_dense else []
    if len(with_face) < 2:
        without = []
    return [*with_face, *without]


def _statuses(capture: Capture) -> str:
    statuses = [view.status for view in capture.views]
    return ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))


def assemble(capture: Capture, prepared: Prepared, solution: Solution, embedding: LandmarkEmbedding, settings: FitSettings) -> Avatar:
    """The avatar of a solution, with a flat grey texture."""
    head, state, problem = prepared.problem.deformable.head, solution.state, solution.problem
    neutral, middle = recentred_neutral(problem, state, solution.registered)
    coeffs = state.coeffs[: problem.deformable.num_identity].astype(np.float32)
    residuals = residuals_in_views_px(prepared, solution)
    in_world = views_in_world(prepared, solution.registered)
    size = _head_size(capture, prepared, solution, neutral, embedding, settings)
    # Views of one instant share one array.
    corrections = {i: (size.factor * c).astype(np.float32) for i, c in (solution.corrections or {}).items()}
    rest = np.eye(4)
    if in_world:
        rest = scaled_pose(T_world_recentred(state, resting_instant(prepared, state, solution.registered), middle), size.factor)
    notes = [*capture.notes, *solution.notes, *size.notes]
    if prepared.is_rig and not _is_measured(prepared, solution):
        notes.append(NO_PARALLAX_NOTE)
    if len(solution.registered) == 1 and ONE_PHOTO_NOTE not in notes:
        notes.append(ONE_PHOTO_NOTE)
    return Avatar(
        head=head,
        identity_coeffs=coeffs,
        offsets=(size.factor * neutral - head.neutral(coeffs)).astype(np.float32),
        scale="metric" if size.is_metric else "relative",
        T_world_head=rest,
        landmarks=embedding,
        albedo_srgb=np.full((512, 512, 3), 160, np.uint8),
        confidence=np.zeros((512, 512), np.uint8),
        light=DEFAULT_LIGHT,
        views=tuple(_fitted_view(view, prepared, solution, middle, size.factor, rest, corrections, residuals) for view in capture.views),
        notes=tuple(notes),
        expression_scale=size.factor,
        scale_error=size.relative_sd,
        scale_source=size.source,
        uncertainty=None if solution.uncertainty is None else solution.uncertainty.resized(size.factor),
        skin_labels=None if solution.skin is None else solution.skin.labels,
    )


def _is_measured(prepared: Prepared, solution: Solution) -> bool:
    """Whether some instant of a rig was seen by two cameras: one camera alone cannot tell a small head from a near one."""
    instants = [solution.problem.views[index].instant for index in views_in_world(prepared, solution.registered)]
    return len(set(instants)) < len(instants)


def _head_size(
    capture: Capture, prepared: Prepared, solution: Solution, neutral: np.ndarray, embedding: LandmarkEmbedding, settings: FitSettings
) -> HeadSize:
    """Where the size comes from: a rig of known unit goes before stated distances, which then are a check of it."""
    head, num_views = prepared.problem.deformable.head, len(solution.registered)
    stated = settings.distances
    if settings.interpupillary_mm > 0:
        stated = (("pupil_left", "pupil_right", settings.interpupillary_mm), *stated)
    if prepared.is_rig and capture.scale == "metric":
        if not _is_measured(prepared, solution):
            return HeadSize()
        size = size_of_rig(rig_size_sd(solution.problem, solution.state, views_in_world(prepared, solution.registered)))
        return dataclasses.replace(size, notes=distance_notes(stated, head, neutral, embedding, num_views))
    return size_by_distances(stated, head, neutral, embedding, num_views) if stated else HeadSize()


def _fitted_view(
    view: View,
    prepared: Prepared,
    solution: Solution,
    middle: np.ndarray,
    size: float,
    rest: np.ndarray,
    corrections: Mapping[int, np.ndarray],
    residuals_px: Mapping[int, float],
) -> FittedView:
    names = [used.name for used in prepared.views]
    index = names.index(view.name) if view.name in names else None
    if index is None or index not in solution.registered:
        return _unregistered(view, "" if index is None else solution.rejected.get(index, ""))
    state, solve_view = solution.state, solution.problem.views[index]
    T_world_head = T_world_recentred(state, solve_view.instant, middle)
    T_cam_head = solve_view.T_cam_world @ T_world_head
    T_cam_head[:3, 3] *= size
    # Where a picture has no camera of a rig, the head is at rest in the world, and what moves is the camera.
    T_world_head = rest if view.camera is None else scaled_pose(T_world_head, size)
    camera = fitted_camera(scaled_view(view, size), state, prepared, index, T_cam_head @ inverse_rigid(T_world_head))
    status, reason = view.status, view.reason
    if solve_view.landmarks_px is None:
        # What neither detector nor landmarks placed, but its neighbours did, counts as a good view from here on.
        status, reason = "ok", "posed by matches with its neighbours, no usable landmarks"
    return FittedView(
        name=view.name,
        status=status,
        reason=reason,
        camera=camera,
        T_world_head=T_world_head.copy(),
        weights=weights_by_name(solution.problem, state, solve_view.instant),
        residual_px=residuals_px.get(index, float("nan")),
        yaw_deg=pose_seen_by(T_cam_head)[0],
        pitch_deg=pose_seen_by(T_cam_head)[1],
        roll_deg=pose_seen_by(T_cam_head)[2],
        correction=corrections.get(solve_view.instant),
    )


def _unregistered(view: View, why: str) -> FittedView:
    """A view that the result does not rest on, with the solver's reason where it has one."""
    nan = float("nan")
    status = view.status if not why or view.status == "no_face" else "rejected"
    return FittedView(view.name, status, why or view.reason, None, None, {}, nan, nan, nan, nan)


def _with_texture(avatar: Avatar, capture: Capture, progress: Progress | None) -> Avatar:
    from recon.fine_normals import fine_normals
    from recon.texture import bake_texture

    by_name = {view.name: view for view in capture.views}
    grey_views = {view.name for view in capture.views if view.is_grey}
    baked = bake_texture(avatar, lambda name: read_view(by_name[name]), grey_views=grey_views, progress=progress)
    notes = (*avatar.notes, *baked.notes)
    avatar = dataclasses.replace(
        avatar,
        albedo_srgb=baked.albedo_srgb,
        confidence=baked.confidence,
        light=baked.light,
        notes=notes,
        views=baked.views,
        # Gaze is measured on the pictures only now.
        shape_evidence=evidence_of(baked.views),
    )
    return dataclasses.replace(avatar, normal_map=fine_normals(avatar))
