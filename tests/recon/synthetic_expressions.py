"""A toy head in a rig with planted expressions, landmark shifts and personal shapes: exact pixels without pictures. Not a test itself."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.head_model import PARTS
from recon.solve.deformable import DeformableHead, make_deformable
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import SurfaceSamples, project, sample_surface
from recon.solve.start import empty_state
from recon.solve.state import HeadState, SolveView
from render import look_at, vertex_normals
from tests.recon.toy_head import toy_head

FOCAL_PX = 900.0
YAWS_DEG = (-44.0, -17.0, 8.0, 37.0)
HEAD = toy_head(24, 32)


def deformable_head() -> DeformableHead:
    """The toy head with its modes and 50 shapes."""
    return make_deformable(HEAD)


def rig_view(instant: int, yaw_deg: float) -> SolveView:
    """A calibrated camera 0.6 m from the head, turned about it; not quite level."""
    yaw = np.radians(yaw_deg)
    position = np.array([-0.6 * np.sin(yaw), 0.05, 0.6 * np.cos(yaw)])
    camera = look_at(position, np.array([0.0, -0.01, -0.02]), focal_px=FOCAL_PX, width=600, height=560)
    focal, centre = np.full(2, FOCAL_PX), np.array([300.0, 280.0])
    return SolveView(f"{instant}_{yaw_deg:g}", instant, 0, focal, centre, camera.T_cam_world, 600, 560, None)


def front_samples(deformable: DeformableHead, count: int, seed: int) -> SurfaceSamples:
    """Random points of the skin's front, each sampled with all modes and shapes."""
    rng, head = np.random.default_rng(seed), deformable.head
    normals = vertex_normals(head.vertices, head.triangles)
    front = (head.triangle_parts == PARTS.index("skin")) & (normals[head.triangles].mean(1)[:, 2] > 0.35)
    corners = head.triangles[rng.choice(np.flatnonzero(front), count)].astype(np.int64)
    return sample_surface(corners, rng.dirichlet(np.ones(3), count), deformable.modes, deformable.shapes)


def rig_problem(deformable: DeformableHead, num_instants: int, num_landmarks: int = 90) -> tuple[Problem, HeadState]:
    """All cameras at every instant, the head at rest in the world's origin, no landmarks detected yet."""
    views = tuple(rig_view(instant, yaw) for instant in range(num_instants) for yaw in YAWS_DEG)
    samples = front_samples(deformable, num_landmarks, 4)
    problem = Problem(deformable, views, samples, np.ones(num_landmarks), np.zeros(num_landmarks, bool), np.array([0.1]), True)
    state = empty_state(problem, num_focals=1, num_instants=num_instants)
    return problem, dataclasses.replace(state, rotations=np.tile(np.eye(3), (num_instants, 1, 1)), translations=np.zeros((num_instants, 3)))


def with_landmarks(problem: Problem, state: HeadState, shifts_m: np.ndarray) -> Problem:
    """The problem with the landmarks that `state` shows, each off by its own shift (L, 3) in all views alike."""
    posed = problem.posed(state)
    views = tuple(
        dataclasses.replace(view, landmarks_px=project(problem.landmarks.points(vertices) + shifts_m, state, view).px)
        for view, vertices in zip(problem.views, posed, strict=True)
    )
    return dataclasses.replace(problem, views=views)


def exact_matches(problem: Problem, state: HeadState, surfaces: dict[int, np.ndarray], pairs: list[tuple[int, int]]) -> list[Matches]:
    """Matches of the given pairs of views between surfaces (V, 3) by instant, to the last digit."""
    out = []
    for seed, (a, b) in enumerate(pairs):
        samples = front_samples(problem.deformable, 500, 10 + seed)
        px = [project(samples.points(surfaces[problem.views[v].instant]), state, problem.views[v]).px for v in (a, b)]
        out.append(Matches(a, b, samples, px[0], px[1], np.ones(500), 1.0))
    return out
