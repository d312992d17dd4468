"""A person's own expression shapes from the pictures of their expressions: example-based facial rigging.

After Li, Weise and Pauly, "Example-based facial rigging" (SIGGRAPH 2010). An instant i of the capture shows the skin displaced by d_i;
the head model's shapes B_k with the fitted weights w_ik explain part of it, and the rest is c_i = d_i - sum_k w_ik B_k
(`recon.solve.corrections`). Two steps alternate, once each, since a second time changes nothing that can be measured:

- weights: few and positive, with the shapes believed to a share SHAPE_ERROR of their motion only, so that no shape is used to mend
  another one (`sparse_weights`);
- shapes: each shape's correction S_k is Gaussian at every point, with the standard deviation SHAPE_ERROR |B_k|, spread over WIDTH_M
  along the skin: it lies where the shape moves the skin or next to it. Given the instants, the most probable S_k follows in closed form
  (`shape_corrections`). What no instant shows stays the head model's own, and so does each side that no instant shows.

What the shapes leave unexplained stays with the pictures, so that the mesh of every picture is the one that was fitted to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from assets.blendshapes import ARKIT_BLENDSHAPES, vector_to_weights, weights_to_vector
from assets.errors import InputError
from assets.head_model import PARTS, REGIONS, HeadModel
from recon.avatar import Avatar, FittedView, ShapeEvidence
from recon.moments import moment_of
from recon.solve.corrections import REST_ERROR_M, WIDTH_M

Progress = Callable[[str, int, int], None]

SHAPE_ERROR = 0.5
"""Share of its motion by which a person's shape differs from the head model's, and so of an expression's displacement that weights need
not explain: more than the EXPRESSION_ERROR of the solve, which has no other unknowns to put it into."""
WEIGHT_SCALE, WEIGHT_FLOOR = 0.05, 0.02
"""Scale of the Laplace prior on weights, below that of the solve since here corrections take the small ones' place, and the weight
below which it is Gaussian."""
ROUNDS = 8
MIN_WEIGHT = 0.1
"""Shapes with less weight were not at work in a picture."""
INSTANT_ERROR, INSTANT_ERROR_M = 0.05, 1e-4
"""Standard deviation of what an instant shows beside its shapes, as a share of its displacement and at rest: faces are not sums."""
OUTLYING = 3.0
"""What an instant shows beyond so many standard deviations of all that is expected there is no business of its shapes."""
NOT_CORRECTED = ("eyeLook",)
"""Gaze turns eyeballs, and lids follow them: that is geometry and nobody's expression."""
NEGLIGIBLE_M = 5e-5
"""A shape that is corrected by less than this everywhere stays the head model's own."""
BLOCK = 2048
"""Vertices that are solved at once: all of a fine head's would take gigabytes with a hundred expressions."""


@dataclasses.dataclass(frozen=True, eq=False)
class Instant:
    """One moment of the capture whose face was corrected."""

    views: tuple[int, ...]
    """Indices into the avatar's views."""
    weights: np.ndarray
    """(52,) float64."""
    correction: np.ndarray
    """(V, 3) float32 metres: what the shapes with these weights miss."""


def with_personal_shapes(avatar: Avatar, progress: Progress | None = None) -> Avatar:
    """The avatar with corrections of the shapes that its pictures show, and what they show of every shape.

    The weights of corrected pictures become sparser and their corrections smaller; `Avatar.view_vertices` of each of them stays as it
    was to a float's rounding. An avatar whose pictures have no corrections (a face at rest, one picture, a fast fit) gets evidence alone.
    Raises InputError for an avatar whose shapes are personal already.
    """
    if avatar.shape_corrections:
        raise InputError(
            expected="an avatar with the head model's own shapes",
            got=f"one with {len(avatar.shape_corrections)} corrected shapes",
            do="fit again, or go on with the shapes that it has",
        )
    generic = dataclasses.replace(avatar, shape_corrections={})
    instants = corrected_instants(avatar)
    if not instants:
        return dataclasses.replace(avatar, shape_evidence=evidence_of(avatar.views))
    head, shapes = avatar.head, generic.blendshape_deltas
    sparse = [_with_sparse_weights(head, shapes, instant) for instant in instants]
    weights, rest = np.stack([i.weights for i in sparse]), np.stack([i.correction for i in sparse])
    found = shape_corrections(head, shapes, weights, rest)
    personal = dataclasses.replace(generic, shape_corrections=found)
    views = list(avatar.views)
    for instant in sparse:
        named = vector_to_weights(instant.weights)
        left = (avatar.view_vertices(avatar.views[instant.views[0]]) - personal.vertices(named)).astype(np.float32)
        for index in instant.views:
            views[index] = dataclasses.replace(views[index], weights=named, correction=left)
    if progress is not None:
        largest_mm = max((1e3 * float(np.linalg.norm(s, axis=1).max()) for s in found.values()), default=0.0)
        progress(f"personal shapes: {len(found)} by up to {largest_mm:.1f} mm", 1, 1)
    return dataclasses.replace(personal, views=tuple(views), shape_evidence=evidence_of(tuple(views)))


def corrected_instants(avatar: Avatar) -> list[Instant]:
    """The moments with a correction; views of one moment share weights and correction."""
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for index, view in enumerate(avatar.views):
        if view.correction is not None:
            groups.setdefault((weights_to_vector(view.weights).tobytes(), view.correction.tobytes()), []).append(index)
    found = []
    for indices in groups.values():
        view = avatar.views[indices[0]]
        if view.correction is not None:
            found.append(Instant(tuple(indices), weights_to_vector(view.weights).astype(np.float64), view.correction))
    return found


def evidence_of(views: tuple[FittedView, ...]) -> dict[str, ShapeEvidence]:
    """What registered views show of each shape with MIN_WEIGHT or more somewhere, by ARKit name in their order.

    Views with the same head pose, weights and correction, as of the cameras of a rig that fire together, are one instant.
    """
    seen = [view for view in views if view.T_world_head is not None and view.camera is not None]
    moments = [moment_of(view) for view in seen]
    found = {}
    for name in ARKIT_BLENDSHAPES:
        used = [k for k, view in enumerate(seen) if view.weights.get(name, 0.0) >= MIN_WEIGHT]
        if used:
            largest = max(float(seen[k].weights[name]) for k in used)
            found[name] = ShapeEvidence(len(used), len({moments[k] for k in used}), largest)
    return found


def _with_sparse_weights(head: HeadModel, shapes: np.ndarray, instant: Instant) -> Instant:
    """The same displacement with weights from `sparse_weights`."""
    total = np.tensordot(instant.weights, shapes, 1) + instant.correction
    weights = sparse_weights(head, shapes, total, instant.weights)
    return Instant(instant.views, weights, (total - np.tensordot(weights, shapes, 1)).astype(np.float32))


def sparse_weights(head: HeadModel, shapes: np.ndarray, displacement: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(52,) float64 weights in [0, 1] that explain the face's displacement (V, 3) by shapes (52, V, 3), most of them zero.

    The most probable ones where each point may lie SHAPE_ERROR of its motion and REST_ERROR_M beside what the shapes say, points within
    WIDTH_M of each other saying the same, under a Laplace prior; by iteratively reweighted non-negative least squares from `start` (52,).
    Gaze, and shapes that do not move the face, keep their weights.
    """
    # The command line's help imports this file, and the optimiser takes a fifth of a second.
    from scipy.optimize import nnls

    on_face = (head.vertex_parts == PARTS.index("skin")) & (head.vertex_regions == REGIONS.index("face"))
    kept = np.array([name.startswith(NOT_CORRECTED) for name in ARKIT_BLENDSHAPES])
    free = np.flatnonzero(~kept & (shapes[:, on_face] != 0).any((1, 2)))
    held = np.where(np.isin(np.arange(len(start)), free), 0.0, start)
    wanted = (displacement - np.tensordot(held, shapes, 1))[on_face].astype(np.float64).reshape(-1)
    columns = shapes[free][:, on_face].astype(np.float64)
    share, weights, matrix = patch_share(head)[on_face], start[free].copy(), columns.reshape(len(free), -1)
    for _ in range(ROUNDS):
        moved = np.linalg.norm(np.tensordot(weights, columns, 1), axis=1)
        precision = np.repeat(share / ((SHAPE_ERROR * moved) ** 2 + REST_ERROR_M**2), 3)
        prior = 1.0 / (WEIGHT_SCALE * np.sqrt(weights**2 + WEIGHT_FLOOR**2))
        factor = np.linalg.cholesky((matrix * precision) @ matrix.T + np.diag(prior))
        weights = np.clip(nnls(factor.T, np.linalg.solve(factor, matrix @ (precision * wanted)))[0], 0.0, 1.0)
    out = start.copy()
    out[free] = np.where(weights >= 0.5 * WEIGHT_FLOOR, weights, 0.0)
    return out


def shape_corrections(head: HeadModel, shapes: np.ndarray, weights: np.ndarray, rest: np.ndarray) -> dict[str, np.ndarray]:
    """(V, 3) float32 metres by ARKit name: what to add to shapes (52, V, 3) so that they say what instants show beside them.

    At each point S_k ~ N(0, s_k^2) with s_k from `localised`, and rest_i = sum_k w_ik S_k + e_i, e_i ~ N(0, n_i^2), so

        S_k = s_k^2 sum_i w_ik x_i,   x = (W diag(s^2) W^T + diag(n^2))^-1 rest,

    with n_i raised where rest_i lies beyond OUTLYING standard deviations of both together. No shape is corrected by more than it moves
    the skin around there.

    Args:
        weights: (I, 52) of I instants.
        rest: (I, V, 3) metres, what shapes and weights leave of each.
    """
    used = [k for k, name in enumerate(ARKIT_BLENDSHAPES) if weights[:, k].max() >= MIN_WEIGHT and not name.startswith(NOT_CORRECTED)]
    active = weights[:, used]
    reach = localised(head, shapes[used])
    variance = np.square(SHAPE_ERROR * reach)
    moved = np.linalg.norm(np.tensordot(weights, shapes, 1), axis=2)
    noise = np.square(INSTANT_ERROR * moved) + INSTANT_ERROR_M**2
    blocks = np.array_split(np.arange(rest.shape[1]), -(-rest.shape[1] // BLOCK))
    solved = np.concatenate([_explained(active, variance[:, block], noise[:, block], rest[:, block]) for block in blocks])
    found = {}
    for column, k in enumerate(used):
        own = variance[column][:, None] * np.einsum("i,vic->vc", active[:, column], solved)
        length = np.linalg.norm(own, axis=1)
        # What an instant shows of a shape at a tenth of its way says little of the whole way.
        own *= np.minimum(1.0, reach[column] / np.maximum(length, 1e-12))[:, None]
        if length.max(initial=0.0) > NEGLIGIBLE_M:
            found[ARKIT_BLENDSHAPES[k]] = own.astype(np.float32)
    return found


def _explained(active: np.ndarray, variance: np.ndarray, noise: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(B, I, 3) the x of `shape_corrections` at B vertices, from weights (I, K), variances (K, B) and (I, B), and rest (I, B, 3)."""
    system = np.einsum("ik,kv,jk->vij", active, variance, active, optimize=True)
    each = np.arange(len(active))
    expected = system[:, each, each] + noise.T
    # A residual of t times its standard deviation counts as one of OUTLYING: its variance is what would make it that.
    system[:, each, each] = np.maximum(expected, np.square(rest).sum(2).T / OUTLYING**2)
    return np.linalg.solve(system, rest.transpose(1, 0, 2).astype(np.float64))


def localised(head: HeadModel, shapes: np.ndarray) -> np.ndarray:
    """(K, V) metres: how far each of K shapes (K, V, 3) moves the mesh around each vertex.

    Root mean square over a lazy random walk along the edges, which reaches WIDTH_M: along the skin, so that what one lip does says
    nothing of the other.
    """
    edges = np.concatenate([head.triangles[:, [0, 1]], head.triangles[:, [1, 2]], head.triangles[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = sp.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(head.num_vertices, head.num_vertices))
    degree = np.maximum(np.asarray(graph.sum(1)).ravel(), 1.0)
    step = 0.5 * sp.identity(head.num_vertices) + 0.5 * sp.diags(1.0 / degree) @ graph
    on_face = (head.vertex_regions == REGIONS.index("face"))[edges].all(1)
    length = np.linalg.norm(np.diff(head.vertices[edges[on_face]], axis=1), axis=2)
    # A step that stays every other time adds a quarter of the squared edge to the variance along each axis.
    rounds = int(np.ceil(4.0 * WIDTH_M**2 / max(float(np.median(length)) ** 2, 1e-12))) if len(length) else 1
    squared = np.square(shapes.astype(np.float64)).sum(2).T
    for _ in range(min(rounds, 100)):
        squared = step @ squared
    return np.sqrt(squared).T


def patch_share(head: HeadModel) -> np.ndarray:
    """(V,) in (0, 1]: each vertex's share of the patch of WIDTH_M that says one thing, from the mean square length of its edges."""
    edges = np.concatenate([head.triangles[:, [0, 1]], head.triangles[:, [1, 2]], head.triangles[:, [2, 0]]])
    length2 = np.square(head.vertices[edges[:, 0]] - head.vertices[edges[:, 1]]).sum(1)
    total = np.bincount(edges.ravel(), length2.repeat(2), head.num_vertices)
    count = np.bincount(edges.ravel(), minlength=head.num_vertices)
    return np.clip(total / np.maximum(count, 1) / WIDTH_M**2, 1e-6, 1.0)
