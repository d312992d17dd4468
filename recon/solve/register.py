"""Register pictures that the detector missed (profiles): image features against posed views, lifted to the mesh by rays."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.drawn import drawn_triangles
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Problem
from recon.solve.state import HeadState
from render import RayScene

NUM_FEATURES = 4000
# A feature's best match must be this much nearer than the second best (Lowe, 2004).
DISTANCE_RATIO = 0.8
# Inliers of the pose lie within this share of the working picture's longer side.
INLIER_SHARE = 0.006
MIN_INLIERS = 15
# Fewer matches with a posed view than this are chance.
MIN_MATCHES_A_VIEW = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Registration:
    """A pose found for a picture without landmarks."""

    T_cam_head: np.ndarray
    """(4, 4)."""
    num_matches: int


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Local features of one picture."""

    px: np.ndarray
    """(N, 2) float64, working pixels."""
    descriptors: np.ndarray
    """(N, 128) float32 SIFT."""


@dataclasses.dataclass(frozen=True, eq=False)
class LiftedFeatures:
    """Features of a posed view and where they lie on its mesh."""

    points: np.ndarray
    """(N, 3) float64, head frame."""
    on_mesh: np.ndarray
    """(N,) bool: hair and background are not. They stay as rivals: what looks like them as well as like skin is no clear match."""
    descriptors: np.ndarray
    """(N, 128) float32 SIFT."""


def find_features(picture: WorkingPicture) -> Features:
    """SIFT features after local contrast equalisation, which brings out pores and moles."""
    sift = cv2.SIFT_create(NUM_FEATURES, contrastThreshold=0.01, edgeThreshold=20)  # pyright: ignore[reportAttributeAccessIssue]
    equalised = cv2.createCLAHE(3.0, (8, 8)).apply(np.clip(picture.grey, 0, 255).astype(np.uint8))
    points, descriptors = sift.detectAndCompute(equalised, None)
    # cv2 counts pixel centres at 0, we at +0.5.
    px = np.array([point.pt for point in points], np.float64).reshape(-1, 2) + 0.5
    return Features(px, np.zeros((0, 128), np.float32) if descriptors is None else descriptors)


def lift_features(problem: Problem, state: HeadState, v: int, features: Features) -> LiftedFeatures:
    """Features of posed view v with where their rays meet that view's posed mesh."""
    vertices = problem.deformable.posed(problem.neutral(state), state.weights[problem.views[v].instant])
    points, hit = _lift(problem, state, v, vertices, features.px)
    return LiftedFeatures(points, hit, features.descriptors)


def register(
    problem: Problem, state: HeadState, pictures: list[WorkingPicture], index: int, features: Features, posed: list[LiftedFeatures]
) -> Registration | None:
    """Pose of view `index` from the features that it shares with posed views; None where too few agree.

    PnP with RANSAC on the matches with all of them together.
    """
    points, pixels = [], []
    for lifted in posed:
        own, theirs = _match(features.descriptors, lifted.descriptors).T
        hit = lifted.on_mesh[theirs] & (len(own) >= MIN_MATCHES_A_VIEW)
        points.append(lifted.points[theirs[hit]])
        pixels.append(features.px[own[hit]])
    if sum(map(len, points)) < MIN_INLIERS:
        return None
    return _pose(problem, state, pictures, index, np.concatenate(points), np.concatenate(pixels))


def _match(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(P, 2) indices of source descriptors (N, 128) and their clear best match in the target (M, 128).

    One way only: to ask for the match back too costs profiles, which have a few dozen true matches, up to a quarter of them,
    and the wrong ones are sorted out by RANSAC.
    """
    if len(source) == 0 or len(target) < 2:
        return np.zeros((0, 2), int)
    squared = np.square(source).sum(1)[:, None] + np.square(target).sum(1) - 2 * source @ target.T
    rows, best = np.arange(len(source)), squared.argmin(1)
    nearest = squared[rows, best]
    squared[rows, best] = np.inf
    clear = np.flatnonzero(nearest < DISTANCE_RATIO**2 * squared.min(1))
    return np.stack([clear, best[clear]], 1)


def _lift(problem: Problem, state: HeadState, v: int, vertices: np.ndarray, px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Head-frame points (N, 3) where a view's pixels meet its mesh, and which do (N,) bool."""
    camera = state.camera_in_head(problem.views[v])
    in_cam = np.concatenate([(px - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]], np.ones((len(px), 1))], 1)
    direction = in_cam @ camera.T_cam_world[:3, :3]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    origin = np.broadcast_to(camera.position_world, direction.shape)
    distance = RayScene(vertices, drawn_triangles(problem.deformable.head)).cast(origin, direction).distance
    hit = np.isfinite(distance)
    return origin + direction * np.where(hit, distance, 0.0)[:, None], hit


def _pose(
    problem: Problem, state: HeadState, pictures: list[WorkingPicture], index: int, points: np.ndarray, pixels: np.ndarray
) -> Registration | None:
    K = state.camera_in_head(problem.views[index]).K
    cv2.setRNGSeed(0)
    try:
        found, rotation, translation, inliers = cv2.solvePnPRansac(
            points,
            pixels,
            K,
            np.zeros(5),
            iterationsCount=20000,
            reprojectionError=INLIER_SHARE * max(pictures[index].grey.shape),  # pyright: ignore
            confidence=0.9999,
            flags=cv2.SOLVEPNP_SQPNP,
        )
    except cv2.error:
        # Chance matches (a stranger's picture) can leave inliers that lie on one point or line, which SQPnP refuses by an assertion.
        return None
    if not found or inliers is None or len(inliers) < MIN_INLIERS or translation[2, 0] <= 0:
        return None
    T_cam_head = np.eye(4)
    T_cam_head[:3, :3], T_cam_head[:3, 3] = cv2.Rodrigues(rotation)[0], translation[:, 0]
    return Registration(T_cam_head, len(points))
