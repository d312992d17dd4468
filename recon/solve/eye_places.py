"""Eyes where the pictures show them: lids and eyeballs slid along the fitted surface to their landmarks.

Flow measures the surface and is blind to what it is a surface of: skin slides beside the eyes of a head whose family has them
elsewhere, and lids end up millimetres from the person's. Landmarks know where lids and irises are, and by the shift that each has
in all pictures alike (recon/solve/landmark_bias.py) how far the fitted ones are from them.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from assets.gaze import EYES
from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.landmark_bias import shared_shifts
from recon.solve.problem import Problem
from recon.solve.state import HeadState
from render import RayScene

LIDS = (
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
)
"""MediaPipe's rims of the subject's left and right eye."""
IRISES = (473, 468)
"""The middles of the irises."""
DETECTOR_M = 0.0006
"""Shifts of so much may be the detector's; shorter ones are hardly followed, longer ones nearly in full."""
CONVERGENCE_M = 0.0003
"""How far each iris lies towards the nose of where it is when looking at infinity: halfway to what looking at a near camera does."""
WHOLE_M, NONE_M = 0.014, 0.030
"""Within the first distance of an eyeball's centre, sideways and in height, everything moves along; beyond the second nothing."""
SMOOTH_M = 0.005
"""Heights of the surface are averaged over so much, so that lids keep their folds."""


def slid_eyes(problem: Problem, state: HeadState, neutral: np.ndarray, views: list[int]) -> np.ndarray:
    """(V, 3) float64: a neutral (V, 3) whose lids and eyeballs lie where the landmarks of the given views have them.

    The skin around keeps its surface: it slides in it. One view alone cannot tell a shift from its noise, and other landmarks than
    MediaPipe's are not known by their numbers: then nothing moves.
    """
    head = problem.deformable.head
    shifts = shared_shifts(problem, state, views)
    if shifts is None or len(shifts) != 478 or any(part in head.absent_parts for part in EYES):
        return neutral.astype(np.float64)
    lids, balls = measured_shifts(shifts)
    return slide(head, neutral.astype(np.float64), lids, balls)


def measured_shifts(shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2, 2) metres right and up of the left and right eye's lids, and (2, 2) of their eyeballs, from the landmarks' (478, 3).

    The eyeballs go with their lids, and beyond that towards each other or apart, as the irises do: both eyes look the same way, so what
    their irises do alike is gaze and not place.
    """
    lids = np.stack([shifts[list(rim), :2].mean(0) for rim in LIDS])
    irises = np.stack([shifts[index, :2] for index in IRISES])
    beyond = irises - lids
    apart = 0.5 * (beyond[0, 0] - beyond[1, 0]) + CONVERGENCE_M
    balls = lids + np.array([[apart, 0.0], [-apart, 0.0]])
    return _trusted(lids), _trusted(lids) + _trusted(balls - lids)


def _trusted(shifts: np.ndarray) -> np.ndarray:
    square = (shifts**2).sum(-1, keepdims=True)
    return shifts * square / (square + DETECTOR_M**2)


def slide(head: HeadModel, neutral: np.ndarray, lids: np.ndarray, balls: np.ndarray) -> np.ndarray:
    """(V, 3) a neutral (V, 3) with each eye's lids and ball moved right and up by (2, 2) metres, in depth as the skin before them goes."""
    centres = head.eye_centres(neutral)
    step = np.zeros((len(neutral), 2))
    for centre, shift in zip(centres, lids, strict=True):
        away = np.linalg.norm(neutral[:, :2] - centre[:2], axis=1)
        fade = np.clip((away - WHOLE_M) / (NONE_M - WHOLE_M), 0, 1)
        front = np.clip((neutral[:, 2] - centre[2]) / 0.01 + 2, 0, 1)
        step += (front * (1 - fade * fade * (3 - 2 * fade)))[:, None] * shift
    if np.abs(step).max() < 1e-6 and np.abs(balls).max() < 1e-6:
        return neutral
    moved = neutral.copy()
    moved[:, :2] += step
    rise = _rise(head, neutral, moved)
    moved[:, 2] += rise
    for side, part in enumerate(EYES):
        ball = head.vertex_parts == PARTS.index(part)
        around = np.linalg.norm(neutral[:, :2] - centres[side, :2], axis=1) < WHOLE_M
        moved[ball] = neutral[ball] + (*balls[side], float(rise[around & (head.vertex_regions == REGIONS.index("face"))].mean()))
    return moved


def _rise(head: HeadModel, neutral: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """(V,) metres forward that bring slid skin back to the surface where it now is; 0 where nothing slid."""
    slid = np.flatnonzero(np.linalg.norm(moved[:, :2] - neutral[:, :2], axis=1) > 1e-6)
    face = slid[head.vertex_regions[slid] == REGIONS.index("face")]
    skin = RayScene(neutral, head.triangles[head.triangle_parts == PARTS.index("skin")])
    height = [_first_z(skin, points[face]) for points in (neutral, moved)]
    # Skin that lies behind other skin, as in a fold, has no height of its own.
    known = np.isfinite(height[0]) & np.isfinite(height[1]) & (np.abs(height[0] - neutral[face, 2]) < 5e-4)
    known &= np.abs(height[1] - height[0]) < 0.006
    rise = np.zeros(len(neutral))
    if known.sum() < 10:
        return rise
    tree, values = KDTree(neutral[face[known], :2]), (height[1] - height[0])[known]
    distance, index = tree.query(neutral[slid, :2], k=min(24, int(known.sum())))
    weight = np.exp(-0.5 * (distance / SMOOTH_M) ** 2) + 1e-9
    share = np.minimum(np.linalg.norm(moved[slid, :2] - neutral[slid, :2], axis=1) / 5e-4, 1)
    rise[slid] = share * (weight * values[index]).sum(1) / weight.sum(1)
    return rise


def _first_z(scene: RayScene, points: np.ndarray) -> np.ndarray:
    """(N,) height of the foremost surface at the x and y of points (N, 3); inf where there is none."""
    origins = points.copy()
    origins[:, 2] = 0.5
    distance = scene.cast(origins, np.broadcast_to((0.0, 0.0, -1.0), points.shape)).distance
    return np.where(np.isfinite(distance), 0.5 - distance, np.inf)
