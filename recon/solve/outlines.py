"""The head's outline in every picture as evidence for shape, poses, expressions and focal lengths together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from assets.cores import num_cores
from assets.head_model import REGIONS
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Problem, add_blocks, shape_blocks, view_blocks
from recon.solve.residuals import SurfaceSamples, project, sample_surface
from recon.solve.silhouette import MAX_SPAN, Outline, find_outline, outline_rows
from recon.solve.state import HeadState
from recon.solve.unlike_skin import MAX_DISTANCE_OUTSIDE, SkinMap, skin_likeness

NOISE_PX = 5.0
"""Standard deviation of MAX_SPAN spacings of outline: its points share their error, which is that of the edge of hair and brows."""
ROBUST_PX = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class OutlineSamples:
    """N points of the mesh's rim in one view, and the picture's edge near each."""

    view: int
    samples: SurfaceSamples
    edge_px: np.ndarray
    """(N, 2) working pixels."""
    normal_px: np.ndarray
    """(N, 2) unit normal of the outline, away from the head."""
    weight: np.ndarray
    """(N,) in [0, 1]: how clear the edge is, how much outline the point stands for, and how far it is this person's head."""


def find_outlines(problem: Problem, state: HeadState, pictures: Sequence[WorkingPicture], views: list[int]) -> list[Outline]:
    """The outline of every view that has one."""
    posed, head = problem.posed(state), problem.deformable.head

    def one(v: int) -> Outline | None:
        return find_outline(head, posed[v], state.camera_in_head(problem.views[v]), pictures[v], v)

    with ThreadPoolExecutor(num_cores()) as pool:
        return [outline for outline in pool.map(one, views) if outline is not None]


def sample_outlines(problem: Problem, outlines: Sequence[Outline], skin: SkinMap) -> list[OutlineSamples]:
    """What outlines of face and scalp say where the colour inside of the edge is this person's skin.

    Neck and ears are left out: the one bends and wears a collar, the others are of many shapes that no mode has.
    """
    deformable = problem.deformable
    head, found = deformable.head, list[OutlineSamples]()
    counted = np.isin(head.vertex_regions, [REGIONS.index(region) for region in ("face", "scalp")])
    for outline in outlines:
        known = np.flatnonzero((outline.edges.weight > 0) & counted[outline.rim.corners[:, :2]].all(1))
        rim, edges, colour = outline.rim, outline.edges, skin.views.get(outline.view)
        likeness = np.zeros(len(known)) if colour is None else skin_likeness(colour.distance(edges.colour[known]), MAX_DISTANCE_OUTSIDE)
        likeness = likeness * skin_at(skin, rim.corners[known], rim.barycentric[known])
        samples = sample_surface(rim.corners[known], rim.barycentric[known], deformable.modes, deformable.shapes)
        # The edge of hair tells neither the skull nor the pose: a head moves until its skull fills its hair.
        weight = edges.weight[known] * rim.span[known] / MAX_SPAN * likeness
        found.append(OutlineSamples(outline.view, samples, outline.edge_px[known], rim.normal_px[known], weight))
    return found


def skin_at(skin: SkinMap, corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1]: how like skin surface points look in all the views that show them; one edge in one view may gleam."""
    return np.clip((skin.trust_within(MAX_DISTANCE_OUTSIDE)[corners] * barycentric).sum(1), 0.0, 1.0)


def add_outlines(
    equations: NormalEquations, problem: Problem, state: HeadState, outlines: Sequence[OutlineSamples], posed: list[np.ndarray]
) -> None:
    """Residuals of rim points against the picture's edges (recon/solve/silhouette.py), for all that moves the head in a view."""
    for outline in outlines:
        view = problem.views[outline.view]
        projection = project(outline.samples.points(posed[outline.view]), state, view)
        rows = outline_rows(projection, outline.edge_px, outline.normal_px)
        d_point = rows.d_point[:, None]
        blocks = [
            *shape_blocks(problem, state, outline.samples, d_point),
            *view_blocks(state.layout, view, outline.samples, projection, d_point, outline.normal_px[:, None]),
        ]
        weight = outline.weight * MAX_SPAN / NOISE_PX**2 * cauchy_weight(np.abs(rows.residual), ROBUST_PX)
        add_blocks(equations, "outlines", blocks, rows.residual[:, None], weight)
