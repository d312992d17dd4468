"""Which landmarks may lie on which surface of a head, and which of them are each other's mirror image."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.detector_model import NUM_LANDMARKS
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.landmark_schemes import scheme_table
from recon.calibrate_skin import jaw_share
from render import RayScene

IRIS_RIGHT, IRIS_LEFT = range(468, 473), range(473, 478)
"""MediaPipe's refined irises: centre first, then the four points of its rim."""

UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)
"""Outer and inner line of each lip in MediaPipe's numbering (its FACEMESH_LIPS); the corners count as upper."""

JAW_LIMIT = 0.3
"""Skin that follows the opening jaw less than this, as a share of the chin, belongs to the upper lip."""


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """A group of landmarks and the triangles that they may lie on."""

    landmarks: np.ndarray
    """(L,) int, ascending within 0..477."""
    triangles: np.ndarray
    """(T,) int into HeadModel.triangles."""


def allowed_surfaces(head: HeadModel) -> tuple[Surface, ...]:
    """All 478 landmarks, none twice: upper lip, lower lip, each iris on its eyeball, everything else on the skin."""
    jaw = jaw_share(head)[head.triangles].mean(1)
    # Points on the face's outline must not jump to an ear or the neck behind it when the head is turned.
    behind = np.isin(head.vertex_regions, (REGIONS.index("ears"), REGIONS.index("neck")))[head.triangles].any(1)
    # The walls of the eye sockets are skin without a region: the lids' landmarks belong on the lids' rims in front of them.
    inside = (head.vertex_regions == 0)[head.triangles].any(1)
    skin = np.flatnonzero((head.triangle_parts == PARTS.index("skin")) & ~behind & ~inside)
    others = sorted({*range(NUM_LANDMARKS)} - {*IRIS_RIGHT, *IRIS_LEFT, *UPPER_LIP, *LOWER_LIP})
    groups = [
        Surface(np.array(others), skin),
        Surface(np.array(sorted(UPPER_LIP)), skin[jaw[skin] < JAW_LIMIT]),
        Surface(np.array(sorted(LOWER_LIP)), skin[jaw[skin] >= JAW_LIMIT]),
    ]
    for landmarks, part in ((IRIS_RIGHT, "eye_right"), (IRIS_LEFT, "eye_left")):
        eye = np.flatnonzero(head.triangle_parts == PARTS.index(part))
        groups.append(Surface(np.array(landmarks), eye if len(eye) else skin))
    return tuple(groups)


def closest_places(head: HeadModel, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangle (478,) int32 and barycentrics (478, 3) float32 of the allowed surface point nearest to points (478, 3)."""
    triangle_index = np.zeros(NUM_LANDMARKS, np.int32)
    barycentric = np.zeros((NUM_LANDMARKS, 3), np.float32)
    for surface in allowed_surfaces(head):
        nearest = RayScene(head.vertices, head.triangles[surface.triangles]).closest(points[surface.landmarks])
        triangle_index[surface.landmarks] = surface.triangles[nearest.triangle_index]
        barycentric[surface.landmarks] = nearest.barycentric
    return triangle_index, barycentric


def mirror_landmarks() -> np.ndarray:
    """(478,) int: for each landmark its partner on the other side of the face; its own inverse."""
    return scheme_table("mediapipe478").mirror.astype(int)
