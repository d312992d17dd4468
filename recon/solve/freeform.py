"""Free-form: per-vertex offsets of the neutral that no basis spans, from the last matches under a Laplacian."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.normal_equations import cauchy_weight
from recon.solve.problem import Matches, Problem, restfulness
from recon.solve.residuals import match_rows, project
from recon.solve.state import HeadState
from render import vertex_normals

REFERENCE_AREA_M2 = 20.8e-6
"""Skin of the face per vertex on the mesh that the stage's numbers were chosen on, the default head."""


@dataclasses.dataclass(frozen=True)
class FreeFormStage:
    """How stiff the offsets are and how far a match is believed."""

    stiffness: float = 3.0
    """Weight of the squared Laplacian (per squared metre of bending) against one well seen match per vertex, on the default head."""
    anchor: float = 3e-3
    """Weight of the squared offset itself, likewise: where nothing is seen the offsets fade."""
    robust_px: float = 0.7
    """Scale of the Cauchy loss, after a first plain least-squares solve."""
    iterations: int = 5


@dataclasses.dataclass(frozen=True, eq=False)
class PointRows:
    """Linearised matches by the surface point alone (cameras and expressions held)."""

    corners: np.ndarray
    """(N, 3) vertex indices."""
    barycentric: np.ndarray
    """(N, 3)."""
    d_point: np.ndarray
    """(N, 2, 3) px/m."""
    residual: np.ndarray
    """(N, 2) px, observed minus predicted."""
    weight: np.ndarray
    """(N,) in [0, 1]."""


def point_rows(problem: Problem, state: HeadState, matches: list[Matches]) -> PointRows:
    """The matches' residuals and their derivative by the surface point."""
    posed, triangles = problem.posed(state), problem.deformable.head.triangles
    normals = {v: vertex_normals(posed[v], triangles) for v in sorted({m.view_a for m in matches})}
    calm, parts = restfulness(state, problem.views), []
    for m in matches:
        a = project(m.samples.points(posed[m.view_a]), state, problem.views[m.view_a])
        b = project(m.samples.points(posed[m.view_b]), state, problem.views[m.view_b])
        normal = m.samples.points(normals[m.view_a])
        rows = match_rows(m.px_a, m.px_b, a, b, normal / np.linalg.norm(normal, axis=1, keepdims=True))
        d_point = rows.rows_a @ a.d_point + rows.rows_b @ b.d_point
        parts.append((m.samples.corners, m.samples.barycentric, d_point, rows.residual, m.weight * min(calm[m.view_a], calm[m.view_b])))
    return PointRows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def solve_offsets(head: HeadModel, rows: PointRows, present: np.ndarray, stage: FreeFormStage) -> np.ndarray:
    """Total offsets (V, 3) float32 that explain the residuals under smoothness, starting from the present ones (V, 3).

    First plain least squares, then Cauchy: robust weights at once would throw out the coherent 2-4 mm regions that matter
    (brow, nose wings, chin). Confidence is clipped at its median, so that strong texture does not buy out smoothness elsewhere.
    """
    num_vertices, n = head.num_vertices, len(rows.weight)
    index = (rows.corners[:, None, :, None] * 3 + np.arange(3)).repeat(2, 1).reshape(-1)
    values = (rows.d_point[:, :, None, :] * rows.barycentric[:, None, :, None]).reshape(-1)
    jacobian = sp.csr_matrix((values, (np.repeat(np.arange(2 * n), 9), index)), shape=(2 * n, 3 * num_vertices))
    confidence = np.minimum(rows.weight, np.median(rows.weight))
    confidence = confidence / confidence.mean()
    # One well seen match informs a vertex by about (px/m)^2; stiffness is stated against that and the matches per vertex.
    information = float((rows.d_point**2).sum(2).mean()) * max(1.0, n / len(np.unique(rows.corners)))
    stiff = _stiffness(head, information * stage.stiffness * bending_factor(head), information * stage.anchor)
    offsets = present.astype(np.float64).reshape(-1)
    target = rows.residual.reshape(-1) + jacobian @ offsets
    for iteration in range(stage.iterations):
        length = np.linalg.norm((target - jacobian @ offsets).reshape(-1, 2), axis=1)
        weight = confidence if iteration == 0 else confidence * cauchy_weight(length, stage.robust_px)
        offsets = _solve(jacobian, np.repeat(weight, 2), target, stiff, offsets)
    return _carry_along(head, offsets.reshape(-1, 3).astype(np.float32))


def bending_factor(head: HeadModel) -> float:
    """What the stiffness has to be multiplied by on this mesh so that a dent of one width bends as hard on each.

    For edges of length h the Laplacian of one and the same dent falls with h^2, so the sum of its squares over all vertices falls
    with h^2, and matches per vertex, against which stiffness is stated, with h^2 once more: without this a mesh four times as
    dense would be sixteen times as soft and follow the matches' noise.
    """
    is_face = (head.vertex_regions == REGIONS.index("face"))[head.triangles].all(1) & (head.triangle_parts == PARTS.index("skin"))
    corners = head.vertices[head.triangles[is_face]].astype(np.float64)
    area_m2 = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    if area_m2 == 0:
        return 1.0
    return float((REFERENCE_AREA_M2 * len(np.unique(head.triangles[is_face])) / area_m2) ** 2)


def _stiffness(head: HeadModel, bending: float, anchor: float) -> sp.csr_matrix:
    """(3V, 3V): bending of offsets over the mesh plus a pull to zero."""
    laplacian = uniform_laplacian(head.triangles, head.num_vertices)
    one = bending * (laplacian.T @ laplacian) + anchor * sp.identity(head.num_vertices)
    return sp.csr_matrix(sp.kron(one, sp.identity(3)))


def uniform_laplacian(triangles: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    """(V, V): a vertex minus the mean of its neighbours; zero rows for vertices without any."""
    a = np.concatenate([triangles[:, [0, 1, 2]].ravel(), triangles[:, [1, 2, 0]].ravel()])
    b = np.concatenate([triangles[:, [1, 2, 0]].ravel(), triangles[:, [0, 1, 2]].ravel()])
    adjacency = sp.csr_matrix((np.ones(len(a)), (a, b)), shape=(num_vertices, num_vertices))
    adjacency.data[:] = 1.0
    degree = np.asarray(adjacency.sum(1)).ravel()
    inverse = sp.diags(1.0 / np.maximum(degree, 1.0))
    return sp.csr_matrix(sp.diags((degree > 0).astype(float)) - inverse @ adjacency)


def _solve(jacobian: sp.csr_matrix, weight: np.ndarray, target: np.ndarray, stiff: sp.csr_matrix, start: np.ndarray) -> np.ndarray:
    matrix = (jacobian.T @ sp.diags(weight) @ jacobian + stiff).tocsr()
    right = jacobian.T @ (weight * target)
    solution, _ = spl.cg(matrix, right, x0=start, rtol=1e-5, maxiter=400, M=sp.diags(1.0 / matrix.diagonal()))
    return solution


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
