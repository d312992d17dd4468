"""Free-form: per-vertex offsets of the neutral that no basis spans, from what was measured on the skin, under a Laplacian."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.normal_equations import cauchy_weight
from recon.solve.surface_rows import SurfaceRows
from render import vertex_normals

FADE_M = 0.03
"""Over this distance offsets fade to zero where nothing is measured."""


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
    system = OffsetSystem(head, rows)
    skin = head.vertex_parts == PARTS.index("skin")
    offsets = np.zeros((head.num_vertices, 3))
    offsets[system.vertices] = system.solve(present.astype(np.float64)[system.vertices], stage)
    return _carry_along(head, offsets.astype(np.float32)) if skin.any() else offsets.astype(np.float32)


class OffsetSystem:
    """The measurements on one head as a sparse least-squares problem in the offsets of its skin vertices."""

    def __init__(self, head: HeadModel, rows: Sequence[SurfaceRows]) -> None:
        self.vertices = np.flatnonzero(head.vertex_parts == PARTS.index("skin"))
        number = np.full(head.num_vertices, -1)
        number[self.vertices] = np.arange(len(self.vertices))
        triangles = number[head.triangles]
        self.laplacian = uniform_laplacian(triangles[(triangles >= 0).all(1)], len(self.vertices))
        self._area = skin_area_per_vertex_m2(head)
        self._frames = _frames(vertex_normals(head.vertices, head.triangles)[self.vertices])
        self._rows = [r for r in rows if len(r.weight)]
        self._jacobians = [_jacobian(r, number, len(self.vertices)) for r in self._rows]
        self._targets = [r.residual.reshape(-1) for r in self._rows]
        self._confidence = [np.minimum(r.weight, np.median(r.weight)) for r in self._rows]

    def solve(self, start: np.ndarray, stage: FreeFormStage) -> np.ndarray:
        """(S, 3) float64 total offsets of the skin vertices, from (S, 3), about which the rows were linearised."""
        first = start.reshape(-1)
        targets = [t + J @ first for t, J in zip(self._targets, self._jacobians, strict=True)]
        offsets, weights = first, self._confidence
        stiff = None
        for iteration in range(stage.iterations):
            if iteration > 0:
                weights = self._robust(offsets, targets)
            data, right = self._normal(weights, targets)
            if stiff is None:
                stiff = self._stiffness(data, stage)
                precondition = self._preconditioner(data, stiff)
            matrix = data + sp.kron(stiff, sp.identity(3), format="csr")
            offsets, _ = spl.cg(matrix, right, x0=offsets, rtol=1e-4, maxiter=200, M=precondition)
        return offsets.reshape(-1, 3)

    def _robust(self, offsets: np.ndarray, targets: list[np.ndarray]) -> list[np.ndarray]:
        out = []
        for rows, jacobian, target, confidence in zip(self._rows, self._jacobians, targets, self._confidence, strict=True):
            length = np.linalg.norm((target - jacobian @ offsets).reshape(rows.residual.shape), axis=1)
            out.append(confidence * cauchy_weight(length, rows.robust))
        return out

    def _normal(self, weights: list[np.ndarray], targets: list[np.ndarray]) -> tuple[sp.csr_matrix, np.ndarray]:
        size = 3 * len(self.vertices)
        matrix, right = sp.csr_matrix((size, size)), np.zeros(size)
        for rows, jacobian, target, weight in zip(self._rows, self._jacobians, targets, weights, strict=True):
            each = np.repeat(weight / rows.noise**2, rows.residual.shape[1])
            scaled = sp.diags(each) @ jacobian
            matrix = matrix + jacobian.T @ scaled
            right += scaled.T @ target
        return sp.csr_matrix(matrix), right

    def _stiffness(self, data: sp.csr_matrix, stage: FreeFormStage) -> sp.csr_matrix:
        """(S, S): bending of offsets over the mesh plus a pull to zero, against the mean information of a measured vertex.

        The uniform Laplacian of a field with wave number k is k^2 a / (2 sqrt 3) times the field on a mesh of area a per vertex.
        """
        information = data.diagonal().reshape(-1, 3).sum(1)
        seen = information > 0
        mean = float(information[seen].mean()) if seen.any() else 1.0
        bending = mean * (stage.width_m**2 * 2 * np.sqrt(3) / self._area) ** 2
        anchor = mean * (stage.width_m / FADE_M) ** 4
        return sp.csr_matrix(bending * (self.laplacian.T @ self.laplacian) + anchor * sp.identity(len(self.vertices)))

    def _preconditioner(self, data: sp.csr_matrix, stiff: sp.csr_matrix) -> spl.LinearOperator:
        """Along the normal and across it as if offsets in the two did not mix: two small factorisations in place of a large one."""
        size = len(self.vertices)
        blocks = [_quadratic(data, self._frames[:, k]) for k in range(3)]
        factors = [_factor(stiff + blocks[0]), _factor(stiff + 0.5 * (blocks[1] + blocks[2]))]
        frames = self._frames

        def apply(vector: np.ndarray) -> np.ndarray:
            local = np.einsum("vkc,vc->vk", frames, vector.reshape(size, 3))
            out = np.column_stack([factors[0].solve(local[:, 0]), factors[1].solve(local[:, 1:])])
            return np.einsum("vkc,vk->vc", frames, out).reshape(-1)

        return spl.LinearOperator((3 * size, 3 * size), matvec=apply, dtype=np.float64)


def _frames(normals: np.ndarray) -> np.ndarray:
    """(S, 3, 3) rows: unit normal and two directions perpendicular to it."""
    from recon.solve.residuals import tangents

    normals = normals.astype(np.float64)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 1e-9, normals / np.maximum(length, 1e-9), [0.0, 0.0, 1.0])
    return np.concatenate([normals[:, None], np.transpose(tangents(normals), (0, 2, 1))], 1)


def _quadratic(data: sp.csr_matrix, direction: np.ndarray) -> sp.csr_matrix:
    """(S, S): the information (3S, 3S) as offsets along one direction a vertex (S, 3) see it."""
    size = len(direction)
    along = sp.csr_matrix((direction.reshape(-1), (np.arange(3 * size), np.repeat(np.arange(size), 3))), shape=(3 * size, size))
    return sp.csr_matrix(along.T @ data @ along)


def _factor(matrix: sp.spmatrix) -> spl.SuperLU:
    return spl.splu(sp.csc_matrix(matrix), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def _jacobian(rows: SurfaceRows, number: np.ndarray, size: int) -> sp.csr_matrix:
    """(N R, 3 size) derivative of the residuals by the offsets; corners that are not skin are held."""
    corners = number[rows.corners]
    residuals = rows.residual.shape[1]
    barycentric = np.where(corners >= 0, rows.barycentric, 0.0)
    index = (np.maximum(corners, 0)[:, None, :, None] * 3 + np.arange(3)).repeat(residuals, 1).reshape(-1)
    values = (rows.d_point[:, :, None, :] * barycentric[:, None, :, None]).reshape(-1)
    count = len(rows.weight) * residuals
    return sp.csr_matrix((values, (np.repeat(np.arange(count), 9), index)), shape=(count, 3 * size))


def skin_area_per_vertex_m2(head: HeadModel) -> float:
    """Area of the face's skin over the number of its vertices; of all triangles where the head has no face."""
    is_face = (head.vertex_regions == REGIONS.index("face"))[head.triangles].all(1) & (head.triangle_parts == PARTS.index("skin"))
    chosen = head.triangles[is_face] if is_face.any() else head.triangles
    corners = head.vertices[chosen].astype(np.float64)
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    return float(area / len(np.unique(chosen)))


def uniform_laplacian(triangles: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    """(V, V): a vertex minus the mean of its neighbours; zero rows for vertices without any."""
    a = np.concatenate([triangles[:, [0, 1, 2]].ravel(), triangles[:, [1, 2, 0]].ravel()])
    b = np.concatenate([triangles[:, [1, 2, 0]].ravel(), triangles[:, [0, 1, 2]].ravel()])
    adjacency = sp.csr_matrix((np.ones(len(a)), (a, b)), shape=(num_vertices, num_vertices))
    adjacency.data[:] = 1.0
    degree = np.asarray(adjacency.sum(1)).ravel()
    inverse = sp.diags(1.0 / np.maximum(degree, 1.0))
    return sp.csr_matrix(sp.diags((degree > 0).astype(float)) - inverse @ adjacency)


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
