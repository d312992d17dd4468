"""Pictures with several faces: the face is taken that matches the other pictures, where that is not the largest one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from assets.detector_model import DetectorModel
from assets.head_model import HeadModel
from assets.landmarks import LandmarkEmbedding
from recon.capture import Capture, Detection, View
from recon.detect import DetectSettings, refined_landmarks
from recon.solve.bundle import solve_landmarks, unwrap_views
from recon.solve.chart import make_chart
from recon.solve.prepare import prepare
from recon.solve.stages import LANDMARKS, MIDDLE
from recon.solve.start import empty_state, start_loose
from recon.solve.strangers import compare_views, nearest_pairs, view_directions

Progress = Callable[[str, int, int], None]

# Each face is compared with so many faces of other pictures, and judged by the best few of them.
NUM_COMPARED, NUM_BEST = 6, 3
# Another face than the largest is taken where it matches by so many times as much: strangers' shares scatter by a fifth.
MIN_TIMES_BETTER = 1.25
MAX_ROUNDS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """One face of one picture."""

    view: View
    landmarks_px: np.ndarray
    """(478, 2) pixels."""
    picture: int
    """Number of the view."""


def choose_faces(
    capture: Capture,
    detections: Mapping[str, Detection],
    head: HeadModel,
    embedding: LandmarkEmbedding,
    model: DetectorModel,
    read: Callable[[View], np.ndarray],
    *,
    settings: DetectSettings,
    progress: Progress | None = None,
) -> tuple[Capture, dict[str, Detection]]:
    """The capture and its detections with the right person's face in each picture that shows several.

    All faces are posed on the average head by their landmarks, and their skin is compared in its chart by dense flow. Nothing changes
    where no picture shows several faces, or fewer than three pictures show any.
    """
    views = [view for view in capture.views if view.name in detections]
    candidates = [
        Candidate(view, points, number)
        for number, view in enumerate(views)
        for points in (detections[view.name].landmarks_px, *detections[view.name].other_landmarks_px)
    ]
    if len(views) < 3 or len(candidates) == len(views):
        return capture, dict(detections)
    shares = _shares(candidates, head, embedding, model, read)
    chosen = agreeing_choice(np.array([face.picture for face in candidates]), shares)
    if progress is not None:
        progress("which face is the person's", 1, 1)
    first = {number: next(k for k, face in enumerate(candidates) if face.picture == number) for number in range(len(views))}
    changed = {views[number].name: candidates[k] for number, k in enumerate(chosen) if k != first[number]}
    return _with_choice(capture, detections, changed, read, settings)


def agreeing_choice(picture: np.ndarray, shares: np.ndarray) -> list[int]:
    """One face of each picture, so that they agree with each other: indices of faces, by picture.

    Args:
        picture: (N,) number of the picture that each face is in, from 0; a picture's first face is its largest.
        shares: (N, N) how much of their skin two faces have in common, nan where they were not compared.

    Starting from the largest faces, each picture in turn takes the face that matches those chosen in the others best (iterated
    conditional modes: Besag, 1986), until nothing changes.
    """
    faces = [np.flatnonzero(picture == number) for number in range(int(picture.max()) + 1)]
    chosen = [int(own[0]) for own in faces]
    for _ in range(MAX_ROUNDS):
        before = list(chosen)
        for number, own in enumerate(faces):
            others = [face for face in chosen if picture[face] != number]
            score = {int(face): _score(shares[face, others]) for face in own}
            best = max(score, key=lambda face: score[face])
            if score[best] > MIN_TIMES_BETTER * score[chosen[number]]:
                chosen[number] = best
        if chosen == before:
            break
    return chosen


def _score(shares: np.ndarray) -> float:
    """Mean of the best few shares; 0 where nothing was compared."""
    found = np.sort(shares[np.isfinite(shares)])[::-1][:NUM_BEST]
    return float(found.mean()) if len(found) else 0.0


def _shares(
    candidates: Sequence[Candidate], head: HeadModel, embedding: LandmarkEmbedding, model: DetectorModel, read: Callable[[View], np.ndarray]
) -> np.ndarray:
    """(N, N) share of the skin that dense flow matches between faces of different pictures; nan where not compared."""
    views = [_as_loose(face.view, str(k)) for k, face in enumerate(candidates)]
    found = {str(k): Detection(str(k), embedding.scheme, face.landmarks_px, 1) for k, face in enumerate(candidates)}
    prepared = prepare(
        views, found, head, embedding, lambda view: read(candidates[int(view.name)].view), shape_precision=1.0, detector_model=model
    )
    problem = prepared.problem
    started = start_loose(problem, empty_state(problem, num_focals=len(problem.focal_sd), num_instants=len(views)))
    posed = [k for k in range(len(views)) if k not in started.unposed]
    shares = np.full((len(views), len(views)), np.nan)
    if len(posed) < 2:
        return shares
    state = solve_landmarks(problem, started.state, LANDMARKS[0], posed)
    unwrapped = unwrap_views(problem, state, make_chart(head, MIDDLE.texel_mm), MIDDLE, prepared.pictures, posed)
    directions = view_directions(problem, state, posed)
    # Faces of one picture show two persons, so room is left for the further ones that are passed over.
    pairs = nearest_pairs(posed, directions, directions, NUM_COMPARED + 2)
    pairs = [(a, b) for a, b in pairs if candidates[a].picture != candidates[b].picture]
    for pair in compare_views(unwrapped, unwrapped, pairs):
        shares[pair.a, pair.b] = shares[pair.b, pair.a] = pair.share
    return shares


def _as_loose(view: View, name: str) -> View:
    """A view under another name and without its pose: only how the face looks is compared."""
    focal_px = view.focal_px if view.camera is None else float(view.camera.K[0, 0])
    return dataclasses.replace(view, name=name, camera=None, focal_px=focal_px)


def _with_choice(
    capture: Capture,
    detections: Mapping[str, Detection],
    changed: Mapping[str, Candidate],
    read: Callable[[View], np.ndarray],
    settings: DetectSettings,
) -> tuple[Capture, dict[str, Detection]]:
    """Put the chosen faces in their places; the largest ones become further faces of their pictures."""
    views, kept = [], dict(detections)
    for view in capture.views:
        if view.name in changed:
            old = detections[view.name]
            others = [old.landmarks_px, *(points for points in old.other_landmarks_px if points is not changed[view.name].landmarks_px)]
            landmarks, jitter_px = refined_landmarks(read(view), changed[view.name].landmarks_px, settings)
            kept[view.name] = dataclasses.replace(old, landmarks_px=landmarks, jitter_px=jitter_px, other_landmarks_px=tuple(others))
            reason = f"{old.num_faces} faces: the one that matches the other pictures is used, which is not the largest"
            view = dataclasses.replace(view, status="several_faces", reason=reason)
        views.append(view)
    return dataclasses.replace(capture, views=tuple(views)), kept
