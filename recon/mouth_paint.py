"""Teeth, tongue and the inside of the mouth: as seen, else plain, and darker the less light falls in."""

from __future__ import annotations

import functools

import numpy as np

from assets.head_model import PARTS, HeadModel
from recon.eyes_complete import SCLERA_LINEAR
from recon.texture_chart import Chart
from render.mesh import vertex_normals
from render.rasterize.embree import RayScene

MOUTH_LINEAR = {
    "teeth_upper": (0.62, 0.55, 0.44),
    "teeth_lower": (0.57, 0.50, 0.40),
    "tongue": (0.36, 0.13, 0.12),
    "mouth_socket": (0.26, 0.075, 0.07),
    "lashes": (0.02, 0.015, 0.012),
}
"""Plain colours of what the pictures rarely show, linear RGB, in full light."""
TEETH, INSIDE = ("teeth_upper", "teeth_lower"), ("teeth_upper", "teeth_lower", "tongue", "mouth_socket")
OPEN = {"jawOpen": 0.7}
"""The mouth at which its light is taken: as far open as in speech and laughter; a closed one shows nothing."""
RAYS = 64
REDDENING = 0.35
"""Light that arrives from the mouth's own walls is red: what they take from green and blue, as a share of the light that does not come
straight from outside."""
DARKEST, DARKEST_TOOTH = 0.04, 0.2
"""What is left of the light at the back of the mouth; teeth pass it on."""
ROOT_M, ROOT_TINT = 0.009, np.array([0.92, 0.80, 0.62], np.float32)
"""Teeth are darker and more yellow towards the gum, a crown's height from the biting edge, where the enamel is thin."""
GROOVE_M = 0.0018
MIN_TOOTH_TEXELS = 150


def paint_mouth(colour: np.ndarray, seen: np.ndarray, head: HeadModel, chart: Chart, white_linear: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours with teeth, tongue and mouth where they were not seen, under the light in which the eye is white.

    Teeth are believed where they were seen and are not as red as lips; the others take the level of those.
    """
    colour, exposure = colour.copy(), white_linear / SCLERA_LINEAR
    light = chart.points(mouth_light(head)[:, None], head.triangles)[:, 0]
    skin = colour[(chart.part == PARTS.index("skin")) & (seen > 0.3)]
    lips = _redness(np.median(skin, 0)) if len(skin) else np.inf
    for name, plain in MOUTH_LINEAR.items():
        mine = np.flatnonzero(chart.part == PARTS.index(name))
        if not len(mine):
            continue
        trust = np.clip(seen[mine] / 0.3, 0, 1)
        if name in TEETH:
            trust *= _redness(colour[mine]) < 0.8 * lips
        painted = np.array(plain, np.float32) * exposure * _markings(name, chart, mine, head)
        if name in INSIDE:
            painted = painted * _lit(light[mine], DARKEST_TOOTH if name in TEETH else DARKEST)
        if name in TEETH and (trust > 0.5).sum() > MIN_TOOTH_TEXELS:
            painted = painted * np.clip(np.median(colour[mine[trust > 0.5]], 0) / np.median(painted[trust > 0.5], 0), 0.5, 1.6)
        colour[mine] = trust[:, None] * colour[mine] + (1 - trust[:, None]) * painted
    return colour


@functools.lru_cache(maxsize=4)
def mouth_light(head: HeadModel) -> np.ndarray:
    """(V,) float32 in [0, 1]: the share of a cosine-weighted hemisphere over each vertex of the mouth's inside that sees out of the
    average head's open mouth; 1 for everything else."""
    light = np.ones(head.num_vertices, np.float32)
    inside = np.flatnonzero(np.isin(head.vertex_parts, [PARTS.index(name) for name in INSIDE]))
    if not len(inside):
        return light
    vertices = (head.vertices + head.expression_offsets(OPEN)).astype(np.float64)
    normals = vertex_normals(vertices.astype(np.float32), head.triangles)[inside].astype(np.float64)
    scene, directions = RayScene(vertices, head.triangles), _hemisphere()
    side = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.9, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
    frames = np.stack([side, np.cross(normals, side), normals], 1)
    rays = np.einsum("rk,nkc->nrc", directions, frames)
    origins = np.repeat((vertices[inside] + 5e-4 * normals)[:, None], RAYS, 1)
    hits = scene.cast(origins.reshape(-1, 3), rays.reshape(-1, 3)).triangle_index.reshape(len(inside), RAYS)
    # The mouth's wall is a sheet without thickness: rays that leave it backwards, through the cheek, are no light.
    light[inside] = ((hits < 0) & (rays[..., 2] > -0.2)).mean(1)
    return _softened(light, inside, head)


def _softened(light: np.ndarray, inside: np.ndarray, head: HeadModel) -> np.ndarray:
    """Each vertex of the inside with its neighbours, twice over: single vertices in a crevice would show as spots."""
    edges = np.concatenate([head.triangles[:, pair] for pair in ((0, 1), (1, 2), (2, 0))])
    edges = edges[np.isin(edges, inside).all(1)]
    count = np.bincount(edges.ravel(), minlength=len(light)) + 1.0
    for _ in range(2):
        summed = np.bincount(edges[:, 0], light[edges[:, 1]], len(light)) + np.bincount(edges[:, 1], light[edges[:, 0]], len(light))
        light = np.where(count > 1, (summed + light) / count, light).astype(np.float32)
    return light


def _hemisphere() -> np.ndarray:
    """(RAYS, 3) directions about +Z, as dense as the cosine, in a golden spiral."""
    index = np.arange(RAYS) + 0.5
    radius, turn = np.sqrt(index / RAYS), np.pi * (1 + 5**0.5) * index
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)], -1)


def _lit(light: np.ndarray, darkest: float) -> np.ndarray:
    """(M, 3) factors on the colour for shares of light (M,) from outside; 1 where the opening fills half of the view, or more."""
    level = darkest + (1 - darkest) * np.clip(2 * light[:, None], 0, 1) ** 0.8
    return level * (1 - REDDENING * (1 - level) * np.array([0.0, 1.0, 1.0]))


def _markings(name: str, chart: Chart, mine: np.ndarray, head: HeadModel) -> np.ndarray:
    """(M, 3) what varies over a part: teeth towards their roots, the tongue's groove."""
    corners = head.triangles[chart.triangle[mine]]
    points = np.einsum("nk,nkc->nc", chart.barycentric[mine], head.vertices[corners])
    if name in TEETH:
        edge = np.percentile(points[:, 1], 2 if name == "teeth_upper" else 98)
        root = np.clip(np.abs(points[:, 1] - edge) / ROOT_M, 0, 1)[:, None]
        return 1 - root**1.5 * (1 - ROOT_TINT)
    if name == "tongue":
        return np.repeat(1 - 0.25 * np.exp(-0.5 * (points[:, :1] / GROOVE_M) ** 2), 3, 1)
    return np.ones((len(mine), 3), np.float32)


def _redness(colour: np.ndarray) -> np.ndarray:
    return colour[..., 0] / np.maximum(colour[..., 2], 1e-3)
