"""Free-form: per-vertex offsets of the neutral that no basis spans, from what was measured on the skin, under a Laplacian."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS, HeadModel
from assets.laplacian import uniform_laplacian
from recon.solve.normal_equations import cauchy_weight
from recon.solve.surface_rows import SurfaceRows
from render import vertex_normals

FADE_M = 0.01
"""Over this distance offsets fade to zero where nothing is measured: what is wider, the bumps among the modes have taken."""
DEVIATIONS_A_MEDIAN = 1.48
"""Standard deviation of normal residuals over the median of their sizes."""
MIN_INFORMATION = 1e-3
"""A vertex counts as measured from this share of the best one's information on."""


@dataclasses.dataclass(frozen=True)
class FreeFormStage:
    """How stiff the offsets are and how far a measurement is believed."""

    width_m: float = 0.0032
    """Dents of this width (one over their wave number) are followed by half; wider ones more, narrower ones less."""
    iterations: int = 5
    """One of plain least squares, the rest with the Cauchy loss."""


def solve_offsets(head: HeadModel, rows: Sequence[SurfaceRows], present: np.ndarray, stage: FreeFormStage) -> np.ndarray:
    """Total offsets (V, 3) float32 that explain the residuals under smoothness, starting from the present ones (V, 3).

    First plain least squares, then Cauchy: robust weights at once would throw out the coherent 2-4 mm regions that matter
    (brow, nose wings, chin). Confidence is clipped at its median, so that strong texture does not buy out smoothness elsewhere.
    """
    system = OffsetSystem(head, rows, present)
    offsets = np.zeros((head.num_vertices, 3))
    offsets[system.vertices] = system.solve(stage)
    return _carry_along(head, offsets.astype(np.float32))


class OffsetSystem:
    """The measurements on one head as a sparse least-squares problem in the heights of its skin vertices over where they are.

    Neither matches nor heights say how skin slides in its own plane, so each vertex moves along its normal alone: one unknown a
    vertex, and small direct factorisations in place of long iterations. Smoothness is that of the total offsets as vectors.
    """

    def __init__(self, head: HeadModel, rows: Sequence[SurfaceRows], present: np.ndarray) -> None:
        self.vertices = np.flatnonzero(head.vertex_parts == PARTS.index("skin"))
        number = np.full(head.num_vertices, -1)
        number[self.vertices] = np.arange(len(self.vertices))
        triangles = number[head.triangles]
        laplacian = uniform_laplacian(triangles[(triangles >= 0).all(1)], len(self.vertices))
        self.start = present.astype(np.float64)[self.vertices]
        self.normals = vertex_normals(head.vertices + present, head.triangles)[self.vertices].astype(np.float64)
        self._area = skin_area_per_vertex_m2(head)
        along = sp.vstack([sp.diags(self.normals[:, c]) for c in range(3)])
        fading = laplacian + self._area / (2 * np.sqrt(3) * FADE_M**2) * sp.identity(len(self.vertices))
        bending = sp.block_diag([fading.T @ fading] * 3)
        self._bending, self._bending_pull = sp.csc_matrix(along.T @ bending @ along), along.T @ (bending @ self.start.T.reshape(-1))
        self._rows = [r.counted() for r in rows if (r.weight > 0).any()]
        self._jacobians = [_jacobian(r, number, self.normals) for r in self._rows]
        self._targets = [r.residual.reshape(-1) for r in self._rows]
        self._confidence = [np.minimum(r.weight, np.median(r.weight)) for r in self._rows]

    @property
    def num_rows(self) -> int:
        """How many measurements there are."""
        return sum(len(rows.weight) for rows in self._rows)

    def loss(self, offsets: np.ndarray) -> float:
        """Mean Cauchy loss of the measurements at total offsets (S, 3) of the skin vertices, each weighted by its confidence."""
        heights, total, weight = ((offsets - self.start) * self.normals).sum(1), 0.0, 0.0
        for rows, jacobian, target, confidence in zip(self._rows, self._jacobians, self._targets, self._confidence, strict=True):
            length = np.linalg.norm((target - jacobian @ heights).reshape(rows.residual.shape), axis=1)
            scale = _robust_scale(rows, np.linalg.norm(rows.residual, axis=1))
            total += float(confidence @ np.log1p((length / scale) ** 2))
            weight += float(confidence.sum())
        return total / max(weight, 1e-30)

    def solve(self, stage: FreeFormStage) -> np.ndarray:
        """(S, 3) float64 total offsets of the skin vertices."""
        heights, weights = np.zeros(len(self.vertices)), self._confidence
        stiff = None
        for iteration in range(stage.iterations):
            if iteration > 0:
                weights = self._robust(heights)
            data, right = self._normal(weights)
            if stiff is None:
                stiff, pull = self._stiffness(data, stage)
            heights = _factor(data + stiff).solve(right - pull)
        return self.start + heights[:, None] * self.normals

    def _robust(self, heights: np.ndarray) -> list[np.ndarray]:
        out = []
        for rows, jacobian, target, confidence in zip(self._rows, self._jacobians, self._targets, self._confidence, strict=True):
            length = np.linalg.norm((target - jacobian @ heights).reshape(rows.residual.shape), axis=1)
            out.append(confidence * cauchy_weight(length, _robust_scale(rows, length)))
        return out

    def _normal(self, weights: list[np.ndarray]) -> tuple[sp.csc_matrix, np.ndarray]:
        size = len(self.vertices)
        matrix, right = sp.csc_matrix((size, size)), np.zeros(size)
        for rows, jacobian, target, weight in zip(self._rows, self._jacobians, self._targets, weights, strict=True):
            each = np.repeat(weight / rows.noise**2, rows.residual.shape[1])
            scaled = sp.diags(each) @ jacobian
            matrix = matrix + jacobian.T @ scaled
            right += scaled.T @ target
        return sp.csc_matrix(matrix), right

    def _stiffness(self, data: sp.csc_matrix, stage: FreeFormStage) -> tuple[sp.csc_matrix, np.ndarray]:
        """(S, S) prior of the offsets against the mean information of a measured vertex, and its pull (S,).

        The uniform Laplacian of a field with wave number k is k^2 a / (2 sqrt 3) times the field on a mesh of area a per vertex. With
        one over FADE_M squared added it is the operator whose squared field has a Matern covariance of that range (Lindgren, Rue and
        Lindstroem, 2011): beyond what is measured offsets neither run on along their slope nor stay, they fade.
        """
        information = data.diagonal()
        seen = information > MIN_INFORMATION * information.max(initial=0.0)
        mean = float(information[seen].mean()) if seen.any() else 1.0
        factor = mean * (stage.width_m**2 * 2 * np.sqrt(3) / self._area) ** 2
        return sp.csc_matrix(factor * self._bending), factor * self._bending_pull


def _robust_scale(rows: SurfaceRows, length: np.ndarray) -> float:
    """Scale of the Cauchy loss: the rows' own, or the deviation of residuals of these lengths (N,) where that is more.

    On skin with little to see heights scatter by more than they do elsewhere, and a loss that is narrower than the scatter follows one
    of its peaks in place of its middle.
    """
    return max(rows.robust, DEVIATIONS_A_MEDIAN * float(np.median(length)))


def _factor(matrix: sp.spmatrix) -> spl.SuperLU:
    return spl.splu(sp.csc_matrix(matrix), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def _jacobian(rows: SurfaceRows, number: np.ndarray, normals: np.ndarray) -> sp.csr_matrix:
    """(N R, S) derivative of the residuals by the heights of vertices; corners that are not skin are held."""
    corners, (count, residuals) = number[rows.corners], rows.residual.shape
    barycentric = np.where(corners >= 0, rows.barycentric, 0.0)
    index = np.maximum(corners, 0)
    values = np.einsum("nrc,nkc,nk->nrk", rows.d_point, normals[index], barycentric)
    where = (np.repeat(np.arange(count * residuals), 3), np.repeat(index, residuals, axis=0).reshape(-1))
    return sp.csr_matrix((values.reshape(-1), where), shape=(count * residuals, len(normals)))


def skin_area_per_vertex_m2(head: HeadModel) -> float:
    """Area of the face's skin over the number of its vertices; of all triangles where the head has no face."""
    is_face = (head.vertex_regions == REGIONS.index("face"))[head.triangles].all(1) & (head.triangle_parts == PARTS.index("skin"))
    chosen = head.triangles[is_face] if is_face.any() else head.triangles
    corners = head.vertices[chosen].astype(np.float64)
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    return float(area / len(np.unique(chosen)))


def _carry_along(head: HeadModel, offsets: np.ndarray) -> np.ndarray:
    """Parts that no match sees follow the skin: lashes their nearest skin vertex, eyeballs and teeth as one piece."""
    skin = np.flatnonzero(head.vertex_parts == PARTS.index("skin"))
    nearest = KDTree(head.vertices[skin])
    out = offsets.copy()
    for part in range(1, len(PARTS)):
        members = np.flatnonzero(head.vertex_parts == part)
        if part == PARTS.index("skin") or len(members) == 0:
            continue
        follow = offsets[skin[nearest.query(head.vertices[members])[1]]]
        out[members] = follow if PARTS[part] in ("lashes", "mouth_socket") else follow.mean(0)
    return out
