"""The head that the solver moves: identity and smooth extra modes, a scale, expression shapes, free-form offsets."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.drawn import drawn_triangles
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.lids import BLINKS, blink_corrections, lids_outside
from render import RayScene, vertex_normals

# No picture shows the tongue's place well enough to fit it, and it is never visible in the chart.
UNFITTED_SHAPES = ("tongueOut",)

# Bumps along the normal: (number of centres, Gaussian sigma in metres, standard deviation in metres).
BUMP_SCALES = ((40, 0.025, 0.0025), (160, 0.011, 0.0015))


@dataclasses.dataclass(frozen=True, eq=False)
class DeformableHead:
    """neutral = scale (template + coeffs . modes) + surround + offsets; posed = neutral + weights . shapes + what lids add; metres.

    Derivatives leave out what the lids add (assets/lids.py), a millimetre at most: the steps are a little less exact, the residuals not.
    """

    head: HeadModel
    modes: np.ndarray
    """(M, V, 3) float32: the head's identity basis, then smooth bumps, each for one standard deviation."""
    num_identity: int
    """How many of the modes are the head model's own."""
    shapes: np.ndarray
    """(E, V, 3) float32: the fitted expression shapes."""
    shape_names: tuple[str, ...]
    """(E,) ARKit names of `shapes`."""
    offsets: np.ndarray
    """(V, 3) float32, metres: free-form displacement of the neutral; zero until that stage."""
    surround: np.ndarray | None = None
    """(V, 3) float32, metres: how scalp and neck are moved beyond the modes, zero on face and ears; None: not at all."""

    def neutral(self, coeffs: np.ndarray, log_scale: float) -> np.ndarray:
        """(V, 3) float32 head at rest."""
        moved = self.head.vertices + np.tensordot(coeffs.astype(np.float32), self.modes, 1)
        added = self.offsets if self.surround is None else self.offsets + self.surround
        return (np.exp(log_scale) * moved + added).astype(np.float32)

    def posed(self, neutral: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(V, 3) float32 head with weights (E,) on a neutral, its lids closing and clear of the eyeballs as the avatar's are."""
        moved = neutral + np.tensordot(weights.astype(np.float32), self.shapes, 1)
        blinks = [weights[self.shape_names.index(name)] if name in self.shape_names else 0.0 for name in BLINKS]
        return lids_outside(self.head, moved + blink_corrections(self.head, neutral, blinks), neutral)

    @cached_property
    def growth(self) -> np.ndarray:
        """(M,) float64: by which share one unit of each mode makes the face larger.

        First order in the modes: the factor of the similarity that moves the average face nearest to the moved one.
        """
        face = self.head.vertex_regions == REGIONS.index("face")
        on_face = face if face.any() else np.ones_like(face)
        average = self.head.vertices[on_face].astype(np.float64)
        about_middle = average - average.mean(0)
        return np.tensordot(self.modes[:, on_face], about_middle, ([1, 2], [0, 1])) / np.square(about_middle).sum()

    def with_offsets(self, offsets: np.ndarray) -> DeformableHead:
        """The same head with other free-form offsets (V, 3)."""
        return dataclasses.replace(self, offsets=offsets.astype(np.float32))

    def with_surround(self, surround: np.ndarray) -> DeformableHead:
        """The same head with another displacement of scalp and neck (V, 3)."""
        return dataclasses.replace(self, surround=surround.astype(np.float32))


def make_deformable(head: HeadModel) -> DeformableHead:
    """Identity basis and smooth bumps as modes, ARKit shapes that the head has as expressions."""
    used = [k for k, name in enumerate(ARKIT_BLENDSHAPES) if name not in (*UNFITTED_SHAPES, *head.absent_blendshapes)]
    normals = vertex_normals(head.vertices, head.triangles)
    candidates = outer_face_vertices(head, normals)
    bumps = [_bumps(head, normals, candidates, *scale) for scale in BUMP_SCALES]
    return DeformableHead(
        head=head,
        modes=np.concatenate([head.identity_basis, *bumps]).astype(np.float32),
        num_identity=head.num_identity,
        shapes=np.ascontiguousarray(head.blendshape_deltas[used]),
        shape_names=tuple(ARKIT_BLENDSHAPES[k] for k in used),
        offsets=np.zeros_like(head.vertices),
    )


def _bumps(head: HeadModel, normals: np.ndarray, candidates: np.ndarray, count: int, sigma_m: float, sd_m: float) -> np.ndarray:
    """(count, V, 3) Gaussian bumps along the normal of centres evenly spread over candidate vertices; stiff parts move as one."""
    centres = spread_points(head.vertices[candidates], min(count, len(candidates)))
    position, direction = head.vertices[candidates[centres]], normals[candidates[centres]]
    distance2 = ((head.vertices[None] - position[:, None]) ** 2).sum(-1)
    bumps = (sd_m * np.exp(-distance2 / (2 * sigma_m**2)))[..., None] * direction[:, None]
    for part in ("eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue"):
        # Eyeballs stay round and teeth straight: they follow the mean of what the bump would do to them.
        stiff = head.vertex_parts == PARTS.index(part)
        if stiff.any():
            bumps[:, stiff] = bumps[:, stiff].mean(1, keepdims=True)
    return bumps


def outer_face_vertices(head: HeadModel, normals: np.ndarray) -> np.ndarray:
    """Indices of face skin vertices that can be seen from one of five directions in front (not lips' inside or nostrils)."""
    skin = np.flatnonzero((head.vertex_parts == PARTS.index("skin")) & (head.vertex_regions == REGIONS.index("face")))
    scene, seen = RayScene(head.vertices, drawn_triangles(head)), np.zeros(len(skin), bool)
    start = head.vertices[skin] + 5e-4 * normals[skin]
    for yaw in np.radians((-70.0, -35.0, 0.0, 35.0, 70.0)):
        direction = np.broadcast_to(np.array([np.sin(yaw), 0.0, np.cos(yaw)]), start.shape)
        seen |= ~np.isfinite(scene.cast(start, direction).distance)
    return skin[seen]


def spread_points(points: np.ndarray, count: int) -> np.ndarray:
    """(count,) indices by farthest-point sampling, beginning at the first point."""
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)
