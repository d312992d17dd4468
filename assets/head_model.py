"""The one record that every head model is loaded into. Frame and units: docs/conventions.md."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES, weights_to_vector
from assets.errors import RangeError, ShapeError

PARTS: tuple[str, ...] = ("background", "skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "mouth_socket", "lashes")
"""Part ids: the index in this tuple; 0 is what no triangle has."""

REGIONS: tuple[str, ...] = ("none", "face", "ears", "scalp", "neck", "iris")
"""Vertex regions: the index in this tuple. Skin has face, ears, scalp or neck; eyeballs have iris where iris or pupil is; 0 elsewhere."""


IDENTITY_RANGE = 3.0
"""Identity coefficients beyond this many standard deviations, either way, leave what the heads were made for: 0.3 % of people
lie beyond it in any one mode. The default head's sliders end at 4 deviations or more, its gender and origins at 2."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeadModel:
    """A parametric head: neutral = vertices + identity_coeffs . identity_basis, in the head frame.

    Head frame: right-handed, metres, +Y up, the subject faces +Z, origin midway between the two eyeball centres of `vertices`.
    """

    name: str
    """Short name as given to `--head`: "anny"."""
    source: str
    """Package and version, or file, that the head was compiled from."""
    licence: str
    """Licence of code and data, as their makers state it."""
    commercial: bool
    """Whether that licence allows commercial use."""
    vertices: np.ndarray
    """(V, 3) float32, metres: the average head at rest."""
    triangles: np.ndarray
    """(F, 3) int32, counter-clockwise seen from outside."""
    uvs: np.ndarray
    """(T, 2) float32 in [0, 1], origin bottom-left."""
    triangle_uvs: np.ndarray
    """(F, 3) int32 into `uvs`."""
    triangle_parts: np.ndarray
    """(F,) uint8 into PARTS."""
    vertex_parts: np.ndarray
    """(V,) uint8 into PARTS."""
    vertex_regions: np.ndarray
    """(V,) uint8 into REGIONS."""
    identity_names: tuple[str, ...]
    identity_basis: np.ndarray
    """(I, V, 3) float32, metres of displacement for one standard deviation; coefficients are therefore unit variance."""
    blendshape_deltas: np.ndarray
    """(52, V, 3) float32, metres at weight 1, in the order of ARKIT_BLENDSHAPES; zero for the absent ones."""
    absent_blendshapes: tuple[str, ...]
    """ARKit names that this head cannot show."""
    absent_parts: tuple[str, ...]
    """Names of PARTS that this head does not have."""
    neck_joint: np.ndarray
    """(3,) float32: the point about which the head turns on the neck."""
    mirror_vertices: np.ndarray
    """(V,) int32: for each vertex the one at its mirror place (x -> -x) on the average head."""
    blendshape_residuals: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(len(ARKIT_BLENDSHAPES), np.float32))
    """(52,) float32: what a mapping onto the head's own expression basis could not reproduce of each ARKit shape, relative to
    that shape's motion (0 exact, 1 nothing of it); 0 throughout where the shapes are the head's own."""

    @property
    def num_vertices(self) -> int:
        return len(self.vertices)

    @property
    def num_identity(self) -> int:
        return len(self.identity_names)

    @property
    def topology_hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the triangles: the key of embeddings and calibrations."""
        return topology_hash(self.triangles)

    def iris_centres(self, vertices: np.ndarray | None = None) -> np.ndarray:
        """(2, 3) means of the subject's left and right iris vertices, default on the average head; they turn with the gaze."""
        points = self.vertices if vertices is None else vertices
        iris = self.vertex_regions == REGIONS.index("iris")
        return np.stack([points[iris & (self.vertex_parts == PARTS.index(part))].mean(0) for part in ("eye_left", "eye_right")])

    def eye_centres(self, neutral: np.ndarray | None = None) -> np.ndarray:
        """(2, 3) centres of the subject's left and right eyeball for a neutral (V, 3), default the average head."""
        points = self.vertices if neutral is None else neutral
        return np.stack([points[self.vertex_parts == PARTS.index(part)].mean(0) for part in ("eye_left", "eye_right")])

    def neutral(self, identity_coeffs: np.ndarray) -> np.ndarray:
        """(V, 3) float32 head at rest for (I,) unit-variance coefficients.

        Raises ShapeError for another number of them, RangeError for one that is not finite.
        """
        if np.shape(identity_coeffs) != (self.num_identity,):
            raise ShapeError(
                expected=f"{self.num_identity} identity coefficients, as many as the head {self.name} has",
                got=f"an array of shape {np.shape(identity_coeffs)}",
                do="give one number for each of HeadModel.identity_names",
            )
        if not np.isfinite(identity_coeffs).all():
            first = int(np.flatnonzero(~np.isfinite(identity_coeffs))[0])
            raise RangeError(
                expected="finite identity coefficients",
                got=f"{identity_coeffs[first]} for {self.identity_names[first]!r}",
                do="correct what computed them: a head with such a number has no shape",
            )
        return self.vertices + np.tensordot(np.asarray(identity_coeffs, np.float32), self.identity_basis, 1)

    def expression_offsets(self, weights: Mapping[str, float]) -> np.ndarray:
        """(V, 3) float32 displacement for ARKit weights by name; unknown names raise RangeError."""
        vector = weights_to_vector(weights)
        used = np.flatnonzero(vector)
        return np.tensordot(vector[used], self.blendshape_deltas[used], 1).astype(np.float32)

    def expression_offsets_batch(self, weights: np.ndarray) -> np.ndarray:
        """(N, V, 3) float32 displacements for (N, 52) weights in the order of ARKIT_BLENDSHAPES; raises ShapeError.

        One matrix product; shapes that no row uses are left out of it.
        """
        rows = np.asarray(weights, np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(ARKIT_BLENDSHAPES):
            raise ShapeError(
                expected=f"weights of shape (N, {len(ARKIT_BLENDSHAPES)}), one row for each expression",
                got=f"an array of shape {rows.shape}",
                do="stack BlendshapeWeights.vector() of each expression",
            )
        used = np.flatnonzero(rows.any(0))
        columns = self.blendshape_deltas[used].reshape(len(used), 3 * self.num_vertices)
        return (rows[:, used] @ columns).reshape(len(rows), self.num_vertices, 3)


NUM_BLENDSHAPES = len(ARKIT_BLENDSHAPES)


def topology_hash(triangles: np.ndarray) -> str:
    """First 12 hex digits of the SHA-256 of (F, 3) triangles as little-endian int32."""
    return hashlib.sha256(np.ascontiguousarray(triangles, np.int32).tobytes()).hexdigest()[:12]


def check_head(head: HeadModel) -> HeadModel:
    """Returns the head after checking shapes, dtypes, indices, ranges and that all numbers are finite; else ShapeError."""
    num_v, num_f, num_t = len(head.vertices), len(head.triangles), len(head.uvs)
    wanted: dict[str, tuple[tuple[int, ...], type]] = {
        "vertices": ((num_v, 3), np.float32),
        "triangles": ((num_f, 3), np.int32),
        "uvs": ((num_t, 2), np.float32),
        "triangle_uvs": ((num_f, 3), np.int32),
        "triangle_parts": ((num_f,), np.uint8),
        "vertex_parts": ((num_v,), np.uint8),
        "vertex_regions": ((num_v,), np.uint8),
        "identity_basis": ((head.num_identity, num_v, 3), np.float32),
        "blendshape_deltas": ((NUM_BLENDSHAPES, num_v, 3), np.float32),
        "neck_joint": ((3,), np.float32),
        "mirror_vertices": ((num_v,), np.int32),
        "blendshape_residuals": ((NUM_BLENDSHAPES,), np.float32),
    }
    for field, (shape, dtype) in wanted.items():
        array = getattr(head, field)
        if array.shape != shape or array.dtype != dtype:
            _refuse(head, f"{field} of shape {shape} and {np.dtype(dtype).name}", f"{array.shape}, {array.dtype}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            _refuse(head, f"finite numbers in {field}", f"{np.count_nonzero(~np.isfinite(array))} that are not")
    _check_values(head)
    return head


def _check_values(head: HeadModel) -> None:
    """Indices within their tables, texture coordinates within the square, absent names that exist."""
    limits = {
        "triangles": head.num_vertices,
        "triangle_uvs": len(head.uvs),
        "mirror_vertices": head.num_vertices,
        "triangle_parts": len(PARTS),
        "vertex_parts": len(PARTS),
        "vertex_regions": len(REGIONS),
    }
    for field, limit in limits.items():
        array = getattr(head, field)
        if array.size and (array.min() < 0 or array.max() >= limit):
            _refuse(head, f"{field} in 0..{limit - 1}", f"{array.min()}..{array.max()}")
    if head.uvs.min() < 0 or head.uvs.max() > 1:
        _refuse(head, "uvs in [0, 1]", f"{head.uvs.min()}..{head.uvs.max()}")
    strangers = {*head.absent_blendshapes} - {*ARKIT_BLENDSHAPES} | {*head.absent_parts} - {*PARTS}
    if strangers:
        _refuse(head, "absent shapes and parts by their known names", ", ".join(sorted(strangers)))


def _refuse(head: HeadModel, expected: str, got: str) -> None:
    raise ShapeError(expected=f"a head model with {expected}", got=f"{got} in {head.name} from {head.source}", do="compile the head anew")
