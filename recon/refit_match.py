"""Where each visible point of a rendered head lies in a picture: dense flow from the rendering to the picture."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.drawn import drawn_triangles
from recon.avatar import Avatar
from recon.solve.deformable import DeformableHead
from recon.solve.flow import CORRELATION_WINDOW, MAX_ROUND_TRIP_TEXELS, MIN_CORRELATION, correlation_of, dense_flow, warped
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Problem
from recon.solve.residuals import SurfaceSamples, sample_surface
from recon.solve.state import HeadState
from recon.solve.unwrap import normalise
from render import Camera, Mesh, Texture, irradiance, linear_to_srgb, vertex_normals
from render.aovs import interpolate, unit, uv
from render.buffers import Fragments
from render.rasterize import rasterize
from render.texture import texel_levels

STRIDE_PX, MAX_MATCHES, MIN_MATCHES = 3, 7000, 200
MIN_COSINE = 0.2
"""Skin seen more slantingly is too stretched to be matched."""
RIM_PX = CORRELATION_WINDOW // 2
"""So near to the rendering's outline a patch holds background."""


@dataclasses.dataclass(frozen=True)
class RefitRound:
    """One round of rendering, flow and solving."""

    blur_px: float
    """Gaussian on rendering and picture."""
    window_px: float
    """Sigma of the window for local mean and deviation."""
    robust_px: float
    """Scale of the Cauchy loss."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rendering:
    """The avatar in the place of a working picture."""

    fragments: Fragments
    triangles: np.ndarray
    """(F, 3) of the drawn mesh, which the fragments' ids count."""
    cosine: np.ndarray
    """(H, W) float32 between the normal and the direction to the camera; 0 where empty."""
    trust: np.ndarray
    """(H, W) float32 in [0, 1]: the texture's confidence; 0 where empty."""
    colour_linear: np.ndarray
    """(H, W, 3) float32 linear RGB, light x albedo; 0 where empty."""


@dataclasses.dataclass(frozen=True, eq=False)
class RefitMatches:
    """Surface points and where the picture shows them."""

    samples: SurfaceSamples
    """N points."""
    px: np.ndarray
    """(N, 2) float64 working pixels."""
    weight: np.ndarray
    """(N,) in [0, 1]."""


def render_working(avatar: Avatar, texture: Texture, problem: Problem, state: HeadState, size: float, *, is_in_world: bool) -> Rendering:
    """Draw the head of a one-picture problem as its state has it, with the avatar's texture under its light.

    `size` turns the solver's lengths into the avatar's; the picture is the same for both. `is_in_world` says that the problem's world is
    the avatar's, as with a calibrated camera; a loose picture's is its camera.
    """
    view, head = problem.views[0], avatar.head
    T_world_head, triangles = state.T_world_head(0), drawn_triangles(head)
    vertices = problem.posed(state)[0] @ T_world_head[:3, :3].T + T_world_head[:3, 3]
    in_head = state.camera_in_head(view)
    camera = Camera(K=in_head.K, T_cam_world=view.T_cam_world, width=view.width, height=view.height)
    mesh = Mesh((size * vertices).astype(np.float32), triangles, head.uvs, head.triangle_uvs, head.triangle_parts)
    camera = dataclasses.replace(camera, T_cam_world=_scaled(view.T_cam_world, size))
    fragments = rasterize(mesh, camera)
    normals = vertex_normals(mesh.vertices, triangles)
    levels = texel_levels(mesh, normals, camera, texture.size)
    filled = fragments.face_id >= 0
    values = interpolate(fragments, np.column_stack([mesh.vertices, normals, levels]), triangles)[filled]
    normal, places = unit(values[:, 3:6]), uv(fragments, mesh)[filled]
    towards = unit(camera.position_world - values[:, :3])
    # A loose picture's camera stands for the world, but its light was found in the avatar's: there its head is at rest.
    in_avatar_world = normal if is_in_world else normal @ T_world_head[:3, :3] @ avatar.T_world_head[:3, :3].T
    lit = texture.sample_linear(places, values[:, 6]) * irradiance(in_avatar_world.astype(np.float32), avatar.light)
    cosine, trust, colour = (np.zeros((*filled.shape, *rest), np.float32) for rest in ((), (), (3,)))
    cosine[filled], colour[filled] = np.einsum("nc,nc->n", normal, towards), lit
    rows = np.clip(((1 - places[:, 1]) * avatar.confidence.shape[0]).astype(int), 0, avatar.confidence.shape[0] - 1)
    columns = np.clip((places[:, 0] * avatar.confidence.shape[1]).astype(int), 0, avatar.confidence.shape[1] - 1)
    trust[filled] = avatar.confidence[rows, columns] / np.float32(255)
    return Rendering(fragments, triangles, cosine, trust, colour)


def match_rendering(rendering: Rendering, picture: WorkingPicture, round_: RefitRound, head: DeformableHead) -> RefitMatches | None:
    """Flow from the rendering to the picture, kept where it agrees with the way back and correlates; None with too little of it."""
    filled = rendering.fragments.face_id >= 0
    drawn = 255 * linear_to_srgb(rendering.colour_linear).mean(2)
    patterns = [_pattern(grey, filled, round_) for grey in (drawn, picture.grey)]
    forward, backward = dense_flow(*patterns), dense_flow(*patterns[::-1])
    height, width = filled.shape
    there = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32) + forward
    round_trip = np.linalg.norm(forward + warped(backward, there), axis=2)
    correlation = correlation_of(patterns[0], warped(patterns[1], there))
    inner = cv2.erode(np.pad(filled, 1).astype(np.uint8), np.ones((2 * RIM_PX + 1,) * 2, np.uint8))[1:-1, 1:-1] > 0
    good = inner & (rendering.cosine > MIN_COSINE) & (rendering.trust > 0)
    good &= (round_trip < MAX_ROUND_TRIP_TEXELS) & (correlation > MIN_CORRELATION)
    on_grid = np.zeros_like(good)
    on_grid[::STRIDE_PX, ::STRIDE_PX] = True
    rows, columns = np.nonzero(good & on_grid)
    if len(rows) < MIN_MATCHES:
        return None
    if len(rows) > MAX_MATCHES:
        chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:MAX_MATCHES])
        rows, columns = rows[chosen], columns[chosen]
    corners = rendering.triangles[rendering.fragments.face_id[rows, columns]].astype(np.int64)
    samples = sample_surface(corners, rendering.fragments.barycentric[rows, columns].astype(np.float64), head.modes, head.shapes)
    # A pixel's centre lies half a pixel beyond its index.
    px = np.stack([columns, rows], 1) + 0.5 + forward[rows, columns].astype(np.float64)
    weight = correlation[rows, columns] * rendering.cosine[rows, columns] * rendering.trust[rows, columns]
    return RefitMatches(samples, px, np.clip(weight, 0, 1).astype(np.float64))


def _pattern(grey: np.ndarray, filled: np.ndarray, round_: RefitRound) -> np.ndarray:
    """(H, W) uint8 locally normalised brightness inside the rendering's outline."""
    blurred = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), round_.blur_px)
    return np.clip(128 + 40 * normalise(blurred, filled, round_.window_px), 0, 255).astype(np.uint8)


def _scaled(T_a_b: np.ndarray, size: float) -> np.ndarray:
    scaled = T_a_b.copy()
    scaled[:3, 3] *= size
    return scaled
