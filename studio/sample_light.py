"""Light on the sample person: a softbox, a window and a dim room as many distant lights with ray-cast shadows."""

from __future__ import annotations

import dataclasses

import numpy as np

from render.rasterize.embree import RayScene

_WRAP = np.array([0.22, 0.09, 0.05])
"""How far light of each colour creeps around the terminator: a cheap stand-in for scattering below the skin."""

KEY_DIRECTION = np.array([0.52, 0.46, 0.72])
RIM_DIRECTION = np.array([-0.80, 0.25, -0.15])


@dataclasses.dataclass(frozen=True, eq=False)
class LightRig:
    """Distant lights in the head frame."""

    directions: np.ndarray
    """(M, 3) unit, towards the light."""
    radiance_linear: np.ndarray
    """(M, 3) irradiance / pi that each light gives a surface facing it."""
    group: np.ndarray
    """(M,) int: 0 softbox, 1 window behind, 2 room; highlights are computed once a group."""


@dataclasses.dataclass(frozen=True, eq=False)
class Irradiance:
    """Shadowed light at the vertices of a mesh."""

    diffuse: np.ndarray
    """(V, 3) float32 irradiance / pi for the vertex normal."""
    gradient: np.ndarray
    """(V, 3, 3) float32: change of `diffuse` colour (first axis) with the normal (second)."""
    visible: np.ndarray
    """(V, 3) float32 share of each light group that reaches the vertex."""


def _fibonacci(count: int) -> np.ndarray:
    """(count, 3) directions spread evenly over the sphere."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    turn = index * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(turn), z, ring * np.sin(turn)], 1)


def _disc(direction: np.ndarray, radius_deg: float, count: int) -> np.ndarray:
    """(count, 3) directions spread over a cone."""
    axis = direction / np.linalg.norm(direction)
    side = np.cross(axis, (0.1, 1, 0.2))
    side /= np.linalg.norm(side)
    index = np.arange(count) + 0.5
    r, turn = np.tan(np.radians(radius_deg)) * np.sqrt(index / count), index * 2.399963
    spread = axis + r[:, None] * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * np.cross(axis, side))
    return spread / np.linalg.norm(spread, axis=1, keepdims=True)


def room_rig() -> LightRig:
    """The light of all photos: softbox from the upper left, window from behind the right, a room that is brighter above."""
    key, rim, room = _disc(KEY_DIRECTION, 17, 20), _disc(RIM_DIRECTION, 20, 12), _fibonacci(44)
    up = room[:, 1:2] * 0.5 + 0.5
    sky = np.array([0.62, 0.66, 0.72]) * up + np.array([0.40, 0.31, 0.24]) * (1 - up) * 0.7
    sky = sky * (0.72 + 0.45 * np.clip(room @ np.array([-0.35, 0.1, 0.93]), 0, 1))[:, None] * (2.0 / len(room))
    key_light = np.tile(np.array([1.0, 0.95, 0.88]) * 0.74 / len(key), (len(key), 1))
    rim_light = np.tile(np.array([0.80, 0.92, 1.08]) * 0.34 / len(rim), (len(rim), 1))
    group = np.repeat([0, 1, 2], [len(key), len(rim), len(room)])
    return LightRig(np.concatenate([key, rim, room]), np.concatenate([key_light, rim_light, sky]), group)


def cast_irradiance(scene: RayScene, vertices: np.ndarray, normals: np.ndarray, rig: LightRig) -> Irradiance:
    """Light at vertices (V, 3) with normals (V, 3), with one shadow ray a vertex and light.

    A normal pointing away from a light by more than the wrap gets nothing, so no ray is cast there.
    """
    count = len(vertices)
    diffuse, gradient = np.zeros((count, 3), np.float32), np.zeros((count, 3, 3), np.float32)
    reached, asked = np.zeros((count, 3), np.float32), np.zeros(3, np.float32)
    origins = vertices + 4e-4 * normals
    for direction, radiance, group in zip(rig.directions, rig.radiance_linear, rig.group, strict=True):
        cosine = normals @ direction
        facing = np.flatnonzero(cosine > -_WRAP[0])
        hits = scene.cast(origins[facing] + 4e-4 * direction, np.broadcast_to(direction, (len(facing), 3)))
        lit = facing[~np.isfinite(hits.distance)]
        wrapped = np.maximum(cosine[lit, None] + _WRAP, 0) / (1 + _WRAP)
        diffuse[lit] += wrapped * radiance
        gradient[lit] += ((wrapped > 0) * radiance / (1 + _WRAP))[:, :, None] * direction
        reached[lit, group] += 1
        asked[group] += 1
    return Irradiance(diffuse, gradient, reached / asked)
