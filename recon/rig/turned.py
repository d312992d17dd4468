"""Cameras of pictures that are stored lying and shown upright: most tools calibrate the stored pixels and pass over EXIF's orientation."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.rig.records import RigCamera
from render.camera import Camera


def quarter_turn(turns: int) -> np.ndarray:
    """(4, 4) from the camera of the stored picture to that of the picture turned clockwise by so many quarters: (x, y) to (-y, x)."""
    once = np.array([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    return np.linalg.matrix_power(once, turns % 4)


def turned(entry: RigCamera, turns: int) -> RigCamera:
    """The camera of the picture turned clockwise by `turns` quarters, with its lens; K must be without skew, and so must the lens."""
    for _ in range(turns % 4):
        entry = _turned_once(entry)
    return entry


def _turned_once(entry: RigCamera) -> RigCamera:
    """A pixel (u, v) of a picture of height h goes to (h - v, u), with centres at +0.5 before and after."""
    camera, K = entry.camera, entry.camera.K
    turned_K = np.array([[K[1, 1], 0.0, camera.height - K[1, 2]], [0.0, K[0, 0], K[0, 2]], [0.0, 0.0, 1.0]])
    T_cam_world = quarter_turn(1) @ camera.T_cam_world
    moved = Camera(K=turned_K, T_cam_world=T_cam_world, width=camera.height, height=camera.width)
    return dataclasses.replace(entry, camera=moved, distortion=_turned_lens(entry))


def _turned_lens(entry: RigCamera) -> tuple[float, ...]:
    """Radial terms stay; the tangential pair and the thin prism's two pairs turn with the picture."""
    c = list(entry.distortion)
    if entry.lens in ("opencv", "brown") and c:
        c[2], c[3] = c[3], -c[2]
    if entry.lens == "opencv" and len(c) == 12:
        c[8:] = [-c[10], -c[11], c[8], c[9]]
    return tuple(c)
