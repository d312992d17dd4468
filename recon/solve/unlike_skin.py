"""Hair, beard, glasses and cloth by evidence: what has not this person's skin colour, or where views do not agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from assets.head_model import PARTS, HeadModel
from recon.solve.expected import excess_sd, local_mean, vertex_areas_m2
from recon.solve.normal_equations import cauchy_weight
from recon.solve.own_colour import beside_unlike, furthest_from_skin, weighed
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import SurfaceSamples
from recon.solve.skin_colour import (
    FEATURE_CORE_M,
    MIN_COSINE,
    SkinColour,
    bare_vertices,
    feature_vertices,
    fit_skin_colour,
    seen_colours,
)
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows, match_surface_rows
from render import vertex_normals

LABELS = ("unseen", "skin", "not skin: hair, beard, glasses or cloth")
"""What a vertex may be labelled; the label is the index in this tuple."""
NOT_SKIN = 2

# A colour further from the person's skin than this many standard deviations is not skin (chi with 3 degrees of freedom: 1 in 30); ...
MAX_SKIN_DISTANCE = 3.0
# ... where the region also lies outside of what the skin around it lets expect, by more than the second of these standard deviations,
# from this distance on. Light and shade alone reach it on bare faces in one place of a hundred.
MAX_DISTANCE_OUTSIDE, EXCESS_FROM_SD, EXCESS_TO_SD = 2.2, 0.8, 1.6
# A colour speaks for so much of the head around it: a highlight in a beard is no skin, a mole on a cheek no beard.
COHERENCE_M = 0.006
# Hair hangs over the skin beside it: so far around what is not skin the skin is not believed either.
OVERHANG_M = 0.004
# Matches are so many that even a tenth of their weight would decide: from this likeness to skin down they count for nothing.
MIN_LIKENESS = 0.25
# Around a place so much of COHERENCE_M squared has to be seen and be no feature, for it to be judged by that.
MIN_COHERENT_SHARE = 0.2
# Matches that miss by this many times their median, at the height that suits them best over the next distance, disagree by half.
MAX_MISFIT, AGREEING_M = 4.0, 0.004
# On skin nine places of ten agree better than the first; below the second views do not agree at all.
FULL_AGREEMENT, MIN_AGREEMENT = 0.8, 0.5
MIN_MATCHES_A_VERTEX = 3.0
# Where nothing else is known, a landmark on hair is still better than none.
MIN_LANDMARK_TRUST = 0.03


@dataclasses.dataclass(frozen=True, eq=False)
class SkinMap:
    """How much every vertex of the head looks and behaves like this person's skin."""

    distance: np.ndarray
    """(V,) float32: median over the views of the distance from the person's skin colour, in standard deviations, over about
    COHERENCE_M; nan where unseen."""
    is_feature: np.ndarray
    """(V,) bool: lips, eyes and brows, which colour says nothing about."""
    views: dict[int, SkinColour]
    """The person's skin in each view in which enough of it shows."""
    agreement: np.ndarray
    """(V,) float32 in [0, 1]: how well the views' matches agree there with the mesh and with each other; nan where none lie."""
    excess: np.ndarray | None = None
    """(V,) float32: how far the region lies outside of what the skin around it lets expect (recon/solve/expected.py), in standard
    deviations, as far as that was ever seen; nan or None: not known."""
    beside: np.ndarray | None = None
    """(V,) bool: so near to what is not skin, and no feature, that matches are judged by their own pixels too; None: nowhere."""

    @property
    def limit(self) -> np.ndarray:
        """(V,) distance from the skin's colour beyond which a vertex is not taken for skin."""
        return MAX_SKIN_DISTANCE + self.outside * (MAX_DISTANCE_OUTSIDE - MAX_SKIN_DISTANCE)

    @property
    def outside(self) -> np.ndarray:
        """(V,) in [0, 1]: how surely the region lies outside of what the skin around it lets expect; 0 where nothing is known."""
        excess = np.zeros(len(self.distance)) if self.excess is None else np.nan_to_num(self.excess)
        return np.clip((excess - EXCESS_FROM_SD) / (EXCESS_TO_SD - EXCESS_FROM_SD), 0.0, 1.0)

    @property
    def labels(self) -> np.ndarray:
        """(V,) uint8 into LABELS."""
        unlike = (self.distance > self.limit) & ~self.is_feature
        unlike |= np.nan_to_num(self.agreement, nan=1.0) < MIN_AGREEMENT
        return np.where(np.isnan(self.distance), 0, np.where(unlike, NOT_SKIN, 1)).astype(np.uint8)

    @property
    def trust(self) -> np.ndarray:
        """(V,) in [0, 1]: 1 on skin and features and where nothing is known, falling to 0 where colour or agreement are not skin's."""
        return self.trust_within(self.limit)

    def trust_within(self, limit: np.ndarray | float) -> np.ndarray:
        """(V,) `trust` with another limit of the distance from the skin's colour."""
        distance = np.where(np.isnan(self.distance) | self.is_feature, 0.0, self.distance)
        agreement = np.nan_to_num(self.agreement, nan=1.0)
        return counted_likeness(distance, limit) * np.clip(agreement / FULL_AGREEMENT, 0.0, 1.0) ** 4

    def heeded_by(self, problem: Problem) -> Problem:
        """The problem with its landmarks believed as far as they lie on skin: a detector puts the chin on the beard's edge."""
        samples = problem.landmarks
        trust = (self.trust[samples.corners] * samples.barycentric).sum(1)
        return dataclasses.replace(problem, landmark_trust=np.maximum(trust, MIN_LANDMARK_TRUST))

    def trusted(self, matches: Sequence[Matches], pictures: Sequence[WorkingPicture]) -> list[Matches]:
        """The matches, each with its weight times the trust of its place on the head and, beside what is not skin, of its own pixels."""
        trust = self.trust
        beside = np.zeros(len(trust), bool) if self.beside is None else self.beside
        own = furthest_from_skin(matches, pictures, self.views, beside)
        factors = [
            (trust[m.samples.corners] * m.samples.barycentric).sum(1) * counted_likeness(distance, MAX_DISTANCE_OUTSIDE)
            for m, distance in zip(matches, own, strict=True)
        ]
        return weighed(matches, factors)


def skin_likeness(distance: np.ndarray, limit: np.ndarray | float = MAX_SKIN_DISTANCE) -> np.ndarray:
    """(...) in [0, 1] from distances to the skin's colour: 1 for skin, 1/2 at the limit, then falling fast."""
    return 1.0 / (1.0 + (distance / limit) ** 16)


def counted_likeness(distance: np.ndarray, limit: np.ndarray | float) -> np.ndarray:
    """(...) in [0, 1]: likeness to skin, from MIN_LIKENESS down 0."""
    return np.clip((skin_likeness(distance, limit) - MIN_LIKENESS) / (1.0 - MIN_LIKENESS), 0.0, 1.0)


def map_skin(
    problem: Problem,
    state: HeadState,
    pictures: Sequence[WorkingPicture],
    views: list[int],
    matches: Sequence[Matches] = (),
    before: SkinMap | None = None,
) -> SkinMap:
    """Compare every vertex's colour in each view with the person's bare skin in that view, and, with matches, how well these agree.

    `before` is the map of an earlier mesh. What lay outside of the expected then is hair for good: a mesh that no longer follows it
    cannot show it any more.
    """
    head, posed = problem.deformable.head, problem.posed(state)
    bare, models, distances = bare_vertices(head), {}, []
    for v in views:
        seen = seen_colours(problem, state, pictures[v], v, posed[v])
        model = fit_skin_colour(seen.colour[bare[seen.cosine[bare] > MIN_COSINE]])
        if model is None:
            continue
        models[v] = model
        distances.append(np.where(seen.cosine > MIN_COSINE, model.distance(seen.colour), np.nan))
    agreement = agreement_of(problem, state, matches)
    distance, is_feature = coherent_distance(head, _median(distances, head.num_vertices), problem.landmarks)
    found = SkinMap(distance, is_feature, models, agreement)
    unlike = 1.0 - skin_likeness(np.where(np.isnan(distance) | is_feature, 0.0, distance), MAX_DISTANCE_OUTSIDE)
    excess = excess_sd(problem, state, np.where(np.isnan(distance), 0.0, 1.0 - unlike), unlike)
    if before is not None and before.excess is not None:
        excess = np.fmax(excess, before.excess)
    found = dataclasses.replace(found, excess=excess)
    return dataclasses.replace(found, beside=beside_unlike(head.vertices, found.labels == NOT_SKIN) & ~is_feature)


def coherent_distance(head: HeadModel, distance: np.ndarray, landmarks: SurfaceSamples) -> tuple[np.ndarray, np.ndarray]:
    """Distances (V,) from the skin's colour averaged over COHERENCE_M, features left out, and (V,) which vertices are features.

    The margin of a feature amid what is not skin is no feature: under a moustache it is as hairy as the rest.
    """
    areas, is_feature = vertex_areas_m2(head), feature_vertices(head, landmarks)
    plain = np.where(np.isfinite(distance) & ~is_feature, areas, 0.0)
    mean, weight = local_mean(head.vertices, np.nan_to_num(distance), plain, COHERENCE_M)
    known = np.isfinite(distance) & (weight > MIN_COHERENT_SHARE * COHERENCE_M**2)
    margin = is_feature & ~feature_vertices(head, landmarks, FEATURE_CORE_M)
    amid = margin & known & (mean > MAX_DISTANCE_OUTSIDE) & (np.nan_to_num(distance) > MAX_DISTANCE_OUTSIDE)
    found = np.where(known, mean, distance)
    return overhung(head, found, ~is_feature | amid).astype(np.float32), is_feature & ~amid


def overhung(head: HeadModel, distance: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Distances (V,) from the skin's colour, raised to the largest of a plain vertex (V,) within OVERHANG_M that is not skin's.

    Skin that no view shows, as under a jaw, takes its nearest seen neighbour's.
    """
    seen = np.flatnonzero(np.isfinite(distance))
    if len(seen) == 0:
        return distance
    is_skin = head.vertex_parts == PARTS.index("skin")
    out = np.where(np.isfinite(distance) | ~is_skin, distance, distance[seen[KDTree(head.vertices[seen]).query(head.vertices)[1]]])
    hair = np.flatnonzero(plain & (np.nan_to_num(out) > MAX_DISTANCE_OUTSIDE))
    if len(hair):
        near = KDTree(head.vertices[hair]).sparse_distance_matrix(KDTree(head.vertices), OVERHANG_M, output_type="coo_matrix")
        np.fmax.at(out, near.col, out[hair][near.row])
    return out


def agreement_of(problem: Problem, state: HeadState, matches: Sequence[Matches]) -> np.ndarray:
    """(V,) float32: how well the matches near each vertex agree with one another; nan where too few lie.

    The mean Cauchy weight, at MAX_MISFIT times their median, of what the matches miss by once the skin has gone to the height, over
    AGREEING_M, that suits them best: a bump that the modes lack is no disagreement, a gleam that wanders over hair is.
    """
    num_vertices = problem.deformable.head.num_vertices
    if not matches:
        return np.full(num_vertices, np.nan, np.float32)
    rows = match_surface_rows(problem, state, list(matches), noise_px=1.0, robust_px=1.0)
    normals = vertex_normals(problem.neutral(state), problem.deformable.head.triangles)
    normal = np.einsum("nk,nkc->nc", rows.barycentric, normals[rows.corners].astype(np.float64))
    along = np.einsum("nrc,nc->nr", rows.d_point, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9))
    robust_px = MAX_MISFIT * max(float(np.median(np.linalg.norm(rows.residual, axis=1))), 1e-6)
    near, weight = _nearness(problem.neutral(state), rows.corners), np.ones(len(rows.weight))
    for _ in range(2):
        height = _best_heights(rows, along, weight * rows.weight, near, num_vertices)
        left = rows.residual - along * (height[rows.corners] * rows.barycentric).sum(1)[:, None]
        weight = cauchy_weight(np.linalg.norm(left, axis=1), robust_px)
    total, count = np.zeros(num_vertices), np.zeros(num_vertices)
    np.add.at(total, rows.corners, rows.barycentric * weight[:, None])
    np.add.at(count, rows.corners, rows.barycentric)
    return np.where(count > MIN_MATCHES_A_VERTEX, total / np.maximum(count, 1e-9), np.nan).astype(np.float32)


def _nearness(vertices: np.ndarray, corners: np.ndarray) -> sp.csr_matrix:
    """(V, V) Gaussian of the distance between vertices, of AGREEING_M, among those that matches lie at."""
    used = np.unique(corners)
    tree = KDTree(vertices[used])
    pairs = tree.query_pairs(2 * AGREEING_M, output_type="ndarray")
    gauss = np.exp(-0.5 * np.square(np.linalg.norm(vertices[used[pairs[:, 0]]] - vertices[used[pairs[:, 1]]], axis=1) / AGREEING_M))
    shape = (len(vertices), len(vertices))
    upper = sp.coo_matrix((gauss, (used[pairs[:, 0]], used[pairs[:, 1]])), shape=shape)
    return sp.csr_matrix(upper + upper.T + sp.identity(len(vertices)))


def _best_heights(rows: SurfaceRows, along: np.ndarray, weight: np.ndarray, near: sp.csr_matrix, num_vertices: int) -> np.ndarray:
    """(V,) heights over the mesh, metres, that suit residuals with derivatives `along` (N, R) best, each vertex with its surroundings."""
    information, pull = np.zeros(num_vertices), np.zeros(num_vertices)
    np.add.at(information, rows.corners, rows.barycentric * (weight * (along**2).sum(1))[:, None])
    np.add.at(pull, rows.corners, rows.barycentric * (weight * (along * rows.residual).sum(1))[:, None])
    information, pull = near @ information, near @ pull
    # A little information that is not there keeps heights small where next to nothing is known.
    return pull / np.maximum(information + 0.02 * np.median(information[information > 0]), 1e-12)


def _median(rows: list[np.ndarray], count: int) -> np.ndarray:
    """(count,) float32 median of the known entries of rows (N, count); nan where none is known."""
    if not rows:
        return np.full(count, np.nan, np.float32)
    values = np.sort(np.stack(rows), axis=0)  # nan comes last.
    known = np.isfinite(values).sum(0)
    middle = values[np.maximum(known - 1, 0) // 2, np.arange(count)]
    return np.where(known > 0, middle, np.nan).astype(np.float32)
