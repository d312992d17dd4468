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


@dataclasses.dataclass(frozen=True, eq=False)
class Registration:
    """A pose found for a picture without landmarks."""

    T_cam_head: np.ndarray
    """(4, 4)."""
    num_matches: int
    num_inliers: int


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Local features of one picture."""

    px: np.ndarray
    """(N, 2) float64, working pixels."""
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


def register(
    problem: Problem, state: HeadState, pictures: list[WorkingPicture], index: int, posed_views: list[int], features: dict[int, Features]
) -> Registration | None:
    """Pose of view `index` from features shared with posed views; None where too few agree.

    Each matched feature of a posed view is cast onto that view's posed mesh; PnP with RANSAC on all of them together.
    """
    points, pixels = [], []
    vertices = problem.posed(state)
    for v in posed_views:
        pairs = _match(features[index], features[v])
        if len(pairs) < 5:
            continue
        lifted, hit = _lift(problem, state, v, vertices[v], features[v].px[pairs[:, 1]])
        points.append(lifted[hit])
        pixels.append(features[index].px[pairs[hit, 0]])
    if sum(map(len, points)) < MIN_INLIERS:
        return None
    return _pose(problem, state, pictures, index, np.concatenate(points), np.concatenate(pixels))


def _match(source: Features, target: Features) -> np.ndarray:
    """(P, 2) indices of source features and their clear best match in the target.

    One way only: to ask for the match back too costs profiles, which have a few dozen true matches, up to a quarter of them,
    and the wrong ones are sorted out by RANSAC.
    """
    if min(len(source.px), len(target.px)) < 2:
        return np.zeros((0, 2), int)
    found = cv2.BFMatcher().knnMatch(source.descriptors, target.descriptors, k=2)
    return np.array([(a.queryIdx, a.trainIdx) for a, b in found if a.distance < DISTANCE_RATIO * b.distance], int).reshape(-1, 2)


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
    if not found or inliers is None or len(inliers) < MIN_INLIERS or translation[2, 0] <= 0:
        return None
    T_cam_head = np.eye(4)
    T_cam_head[:3, :3], T_cam_head[:3, 3] = cv2.Rodrigues(rotation)[0], translation[:, 0]
    return Registration(T_cam_head, len(points), len(inliers))
