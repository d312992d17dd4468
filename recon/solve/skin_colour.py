"""The colour of a person's skin in each picture: a Gaussian of what its bare places show, and what a view shows of every vertex."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from scipy.spatial import KDTree

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.mediapipe_edges import mediapipe_face_edges
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Problem
from recon.solve.residuals import SurfaceSamples
from recon.solve.state import HeadState
from recon.solve.unwrap import visible_cosine
from render import RayScene, vertex_normals

# Where skin is bare on most people, on the average head (head frame, metres): (|x| from, to, y from, to).
BARE_PLACES = ((0.018, 0.045, -0.045, -0.015), (0.0, 0.009, -0.035, -0.005), (0.0, 0.032, 0.022, 0.045))
# Standard deviations that light and shade alone give to one person's skin: of log brightness and of the two log colour ratios.
LIGHT_SD = np.array([0.3, 0.05, 0.06])
# Sensor noise in grey levels is this much of a dark pixel's level, so levels are taken from here.
DARK_LEVELS = 8.0
# Lips, brows, lashes and eyes are no skin by colour either, yet belong to the head model: what lies so near to them keeps its label,
# unless hair is around it and it is no nearer than the second.
FEATURE_MARGIN_M, FEATURE_CORE_M = 0.009, 0.005
MIN_BARE_SAMPLES = 30
# Skin seen more slantingly than this shows the light more than itself.
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


def feature_vertices(head: HeadModel, landmarks: SurfaceSamples, margin_m: float = FEATURE_MARGIN_M) -> np.ndarray:
    """(V,) bool: so near to landmarks of lips, eyes and brows, which have their own colours; none in another scheme than MediaPipe's."""
    near = np.zeros(head.num_vertices, bool)
    if len(landmarks.corners) != 478:
        return near
    parts = ("lips", "eye", "brow", "pupil")
    index = {i for line in mediapipe_face_edges() if line.part in parts for i in (*line.points, *(k for pair in line.pairs for k in pair))}
    points = landmarks.points(head.vertices)[sorted(index)]
    return KDTree(points).query(head.vertices)[0] < margin_m


@dataclasses.dataclass(frozen=True, eq=False)
class SeenColours:
    """What one view shows of the head's vertices."""

    cosine: np.ndarray
    """(V,) towards the camera; 0 where hidden or outside the picture."""
    colour: np.ndarray
    """(V, 3) float32 sRGB levels, undefined where the cosine is 0."""


def smoothed_colour(picture: WorkingPicture) -> np.ndarray:
    """(H, W, 3) sRGB levels smoothed over about two pixels; a grey picture's three times over."""
    return cv2.GaussianBlur(picture.colour if picture.colour is not None else np.repeat(picture.grey[..., None], 3, 2), (0, 0), 1.5)


def seen_colours(problem: Problem, state: HeadState, picture: WorkingPicture, index: int, vertices: np.ndarray) -> SeenColours:
    """Colours of a view at its posed vertices (V, 3), smoothed over about two pixels."""
    head, camera = problem.deformable.head, state.camera_in_head(problem.views[index])
    triangles = drawn_triangles(head)
    cosine = visible_cosine(RayScene(vertices, triangles), vertices, vertex_normals(vertices, triangles), camera)
    px, _ = camera.project(vertices.astype(np.float64))
    smooth = smoothed_colour(picture)
    inside = ((px > 0) & (px < [smooth.shape[1], smooth.shape[0]])).all(1)
    read = cv2.remap(smooth, (px[:, :1] - 0.5).astype(np.float32), (px[:, 1:] - 0.5).astype(np.float32), cv2.INTER_LINEAR)[:, 0]
    return SeenColours(cosine * inside, read.astype(np.float32))
