"""How much of the sky each vertex of a mesh does not see: nostrils, ears, the inside of a mouth."""

from __future__ import annotations

import numpy as np

from render.mesh import vertex_normals
from render.rasterize.embree import RayScene

LIFT_M = 5e-4
"""Rays start this far above the surface, so that they do not meet the triangle they come from."""


def hidden_shares(vertices: np.ndarray, triangles: np.ndarray, *, reach_m: float = 0.03, num_rays: int = 64) -> np.ndarray:
    """(V,) float32 share of rays, cosine-weighted about the normal, that meet the mesh again within `reach_m`; 0 open, 1 closed.

    Vertices (V, 3) in metres. The directions are fixed, so the same mesh gives the same shares.
    """
    normals = vertex_normals(vertices, triangles).astype(np.float64)
    scene = RayScene(vertices, triangles)
    # A Fibonacci sphere added to the normal gives cosine-weighted directions.
    index = np.arange(num_rays) + 0.5
    polar, azimuth = np.arccos(1 - 2 * index / num_rays), np.pi * (1 + 5**0.5) * index
    sphere = np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], -1)
    blocked = np.zeros(len(normals), np.float32)
    for direction in sphere:
        rays = normals + 0.98 * direction
        blocked += scene.cast(vertices + LIFT_M * normals, rays).distance < reach_m
    return blocked / num_rays
