"""Hair, beard, glasses and cloth by evidence: what has not this person's skin colour, or where views do not agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.mediapipe_edges import mediapipe_face_edges
from recon.solve.normal_equations import cauchy_weight
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import SurfaceSamples
from recon.solve.state import HeadState
from recon.solve.surface_rows import match_surface_rows
from recon.solve.unwrap import visible_cosine
from render import RayScene, vertex_normals

LABELS = ("unseen", "skin", "not skin: hair, beard, glasses or cloth")
"""What a vertex may be labelled; the label is the index in this tuple."""

# Where skin is bare on most people, on the average head (head frame, metres): (|x| from, to, y from, to).
BARE_PLACES = ((0.018, 0.045, -0.045, -0.015), (0.0, 0.009, -0.035, -0.005), (0.0, 0.032, 0.022, 0.045))
# Standard deviations that light and shade alone give to one person's skin: of log brightness and of the two log colour ratios.
LIGHT_SD = np.array([0.3, 0.05, 0.06])
# Sensor noise in grey levels is this much of a dark pixel's level, so levels are taken from here.
DARK_LEVELS = 8.0
# A colour further from the person's skin than this many standard deviations is not skin (chi with 3 degrees of freedom: 1 in 150).
MAX_SKIN_DISTANCE = 3.5
# Lips, brows, lashes and eyes are no skin by colour either, yet belong to the head model: what lies so near to them keeps its label.
FEATURE_MARGIN_M = 0.009
MIN_BARE_SAMPLES = 30
# Matches that miss by this many times their median disagree by half; where the mean falls below the second, views do not agree at all.
MAX_MISFIT, MIN_AGREEMENT = 4.0, 0.5
MIN_MATCHES_A_VERTEX = 3.0
MIN_COSINE = 0.35


@dataclasses.dataclass(frozen=True, eq=False)
class SkinColour:
    """One person's skin in one picture, with its light: a Gaussian over `colour_features`."""

    mean: np.ndarray
    """(3,) float64."""
    whitening: np.ndarray
    """(3, 3) float64: features minus the mean, times this, have unit variance."""

    def distance(self, colour: np.ndarray) -> np.ndarray:
        """(...) standard deviations of sRGB levels (..., 3) from the skin's mean."""
        return np.linalg.norm((colour_features(colour) - self.mean) @ self.whitening.T, axis=-1)


def colour_features(colour: np.ndarray) -> np.ndarray:
    """(..., 3) log brightness, log red over green, log blue over green of sRGB levels (..., 3) in 0 to 255.

    Light of another strength moves the first alone, so that one narrow distribution holds lit and shaded skin of every tone.
    """
    logs = np.log(np.asarray(colour, np.float64) + DARK_LEVELS)
    return np.stack([logs.mean(-1), logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]], -1)


def fit_skin_colour(colour: np.ndarray) -> SkinColour | None:
    """The skin that most of the samples (N, 3) show; None for too few. What is unlike the rest (a fringe, a highlight) is left out.

    Starts from the median and trims twice by distance (Rousseeuw and Van Driessen, A Fast Algorithm for the Minimum Covariance
    Determinant Estimator, 1999, in its simplest form).
    """
    if len(colour) < MIN_BARE_SAMPLES:
        return None
    features = colour_features(colour)
    model = SkinColour(np.median(features, 0), np.diag(1.0 / LIGHT_SD))
    for _ in range(2):
        distance = np.linalg.norm((features - model.mean) @ model.whitening.T, axis=1)
        kept = features[distance <= max(float(np.quantile(distance, 0.5)), 2.0)]
        variances, axes = np.linalg.eigh(np.cov(kept.T) + np.diag(LIGHT_SD**2))
        model = SkinColour(kept.mean(0), (axes / np.sqrt(variances)).T)
    return model


def bare_vertices(head: HeadModel) -> np.ndarray:
    """Indices of face vertices on cheeks, nose and forehead, where most people's skin is bare."""
    x, y = np.abs(head.vertices[:, 0]), head.vertices[:, 1]
    inside = np.zeros(head.num_vertices, bool)
    for x_low, x_high, y_low, y_high in BARE_PLACES:
        inside |= (x >= x_low) & (x <= x_high) & (y >= y_low) & (y <= y_high)
    return np.flatnonzero(inside & (head.vertex_regions == REGIONS.index("face")) & (head.vertex_parts == PARTS.index("skin")))


def feature_vertices(head: HeadModel, landmarks: SurfaceSamples) -> np.ndarray:
    """(V,) bool: near the landmarks of lips, eyes and brows, which have their own colours; none for another scheme than MediaPipe's."""
    near = np.zeros(head.num_vertices, bool)
    if len(landmarks.corners) != 478:
        return near
    parts = ("lips", "eye", "brow", "pupil")
    index = {i for line in mediapipe_face_edges() if line.part in parts for i in (*line.points, *(k for pair in line.pairs for k in pair))}
    points = landmarks.points(head.vertices)[sorted(index)]
    for point in points:
        near |= np.linalg.norm(head.vertices - point, axis=1) < FEATURE_MARGIN_M
    return near


@dataclasses.dataclass(frozen=True, eq=False)
class SeenColours:
    """What one view shows of the head's vertices."""

    cosine: np.ndarray
    """(V,) towards the camera; 0 where hidden or outside the picture."""
    colour: np.ndarray
    """(V, 3) float32 sRGB levels, undefined where the cosine is 0."""


def seen_colours(problem: Problem, state: HeadState, picture: WorkingPicture, index: int, vertices: np.ndarray) -> SeenColours:
    """Colours of a view at its posed vertices (V, 3), smoothed over about two pixels."""
    head, camera = problem.deformable.head, state.camera_in_head(problem.views[index])
    triangles = drawn_triangles(head)
    cosine = visible_cosine(RayScene(vertices, triangles), vertices, vertex_normals(vertices, triangles), camera)
    px, _ = camera.project(vertices.astype(np.float64))
    shown = picture.colour if picture.colour is not None else np.repeat(picture.grey[..., None], 3, 2)
    inside = ((px > 0) & (px < [shown.shape[1], shown.shape[0]])).all(1)
    smooth = cv2.GaussianBlur(shown, (0, 0), 1.5)
    read = cv2.remap(smooth, (px[:, :1] - 0.5).astype(np.float32), (px[:, 1:] - 0.5).astype(np.float32), cv2.INTER_LINEAR)[:, 0]
    return SeenColours(cosine * inside, read.astype(np.float32))


@dataclasses.dataclass(frozen=True, eq=False)
class SkinMap:
    """How much every vertex of the head looks and behaves like this person's skin."""

    distance: np.ndarray
    """(V,) float32: median over the views of the distance from the person's skin colour, in standard deviations; nan where unseen."""
    is_feature: np.ndarray
    """(V,) bool: lips, eyes and brows, which colour says nothing about."""
    views: dict[int, SkinColour]
    """The person's skin in each view in which enough of it shows."""
    agreement: np.ndarray
    """(V,) float32 in [0, 1]: how well the views' matches agree there with the mesh and with each other; nan where none lie."""

    @property
    def labels(self) -> np.ndarray:
        """(V,) uint8 into LABELS."""
        unlike = (self.distance > MAX_SKIN_DISTANCE) & ~self.is_feature
        unlike |= np.nan_to_num(self.agreement, nan=1.0) < MIN_AGREEMENT
        return np.where(np.isnan(self.distance), 0, np.where(unlike, 2, 1)).astype(np.uint8)

    @property
    def trust(self) -> np.ndarray:
        """(V,) in [0, 1]: 1 on skin and features and where nothing is known, falling where colour or agreement are not skin's."""
        distance = np.where(np.isnan(self.distance) | self.is_feature, 0.0, self.distance)
        agreement = np.nan_to_num(self.agreement, nan=1.0)
        return skin_likeness(distance) * np.clip(agreement / MIN_AGREEMENT, 0.0, 1.0)

    def trusted(self, matches: Sequence[Matches]) -> list[Matches]:
        """The matches, each with its weight times the trust of its place on the head."""
        trust = self.trust
        return [dataclasses.replace(m, weight=m.weight * (trust[m.samples.corners] * m.samples.barycentric).sum(1)) for m in matches]


def skin_likeness(distance: np.ndarray) -> np.ndarray:
    """(...) in [0, 1] from distances to the skin's colour: 1 for skin, 1/2 at MAX_SKIN_DISTANCE, then falling fast."""
    return 1.0 / (1.0 + (distance / MAX_SKIN_DISTANCE) ** 12)


def map_skin(
    problem: Problem, state: HeadState, pictures: Sequence[WorkingPicture], views: list[int], matches: Sequence[Matches] = ()
) -> SkinMap:
    """Compare every vertex's colour in each view with the person's bare skin in that view, and, with matches, how well these agree."""
    head, posed = problem.deformable.head, problem.posed(state)
    bare, models, distances = bare_vertices(head), {}, []
    for v in views:
        seen = seen_colours(problem, state, pictures[v], v, posed[v])
        model = fit_skin_colour(seen.colour[bare[seen.cosine[bare] > MIN_COSINE]])
        if model is None:
            continue
        models[v] = model
        distances.append(np.where(seen.cosine > MIN_COSINE, model.distance(seen.colour), np.nan))
    agreement = agreement_of(problem, state, matches)
    return SkinMap(_median(distances, head.num_vertices), feature_vertices(head, problem.landmarks), models, agreement)


def agreement_of(problem: Problem, state: HeadState, matches: Sequence[Matches]) -> np.ndarray:
    """(V,) float32: mean Cauchy weight of the residuals of matches near each vertex, at MAX_MISFIT times their median; nan without."""
    num_vertices = problem.deformable.head.num_vertices
    if not matches:
        return np.full(num_vertices, np.nan, np.float32)
    rows = match_surface_rows(problem, state, list(matches), noise_px=1.0, robust_px=1.0)
    length = np.linalg.norm(rows.residual, axis=1)
    robust = cauchy_weight(length, MAX_MISFIT * max(float(np.median(length)), 1e-6))
    total, count = np.zeros(num_vertices), np.zeros(num_vertices)
    np.add.at(total, rows.corners, rows.barycentric * robust[:, None])
    np.add.at(count, rows.corners, rows.barycentric)
    return np.where(count > MIN_MATCHES_A_VERTEX, total / np.maximum(count, 1e-9), np.nan).astype(np.float32)


def _median(rows: list[np.ndarray], count: int) -> np.ndarray:
    """(count,) float32 median of the known entries of rows (N, count); nan where none is known."""
    if not rows:
        return np.full(count, np.nan, np.float32)
    values = np.sort(np.stack(rows), axis=0)  # nan comes last.
    known = np.isfinite(values).sum(0)
    middle = values[np.maximum(known - 1, 0) // 2, np.arange(count)]
    return np.where(known > 0, middle, np.nan).astype(np.float32)
