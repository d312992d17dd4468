"""The heat map of a fit: the head from three sides, coloured by how far its surface may be off, with a scale and figures by area."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recon.avatar import Avatar
from recon.uncertainty import HEAT_MM, Uncertainty, heat_srgb
from render.camera import Camera, look_at
from render.mesh import Mesh, vertex_normals
from studio.check_canvas import CARD, INK, SOFT, Canvas

SIDES_DEG: tuple[float, ...] = (60.0, 0.0, -60.0)
"""Yaws of the three pictures: the head turned to its own left (its right side seen), straight, and turned to its own right."""

TILE_PX = (430, 520)
"""Width and height of one picture."""


def draw_heat_map(avatar: Avatar, uncertainty: Uncertainty) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: three sides beside each other, the colour scale and the spread of each area below."""
    width, height = TILE_PX
    canvas = Canvas(3 * width + 60, height + 232)
    canvas.card(10, 10, canvas.width - 20, canvas.height - 20, fill=CARD)
    mesh = avatar.mesh()
    for k, (yaw_deg, words) in enumerate(zip(SIDES_DEG, ("right side", "front", "left side"), strict=True)):
        x = 30 + k * width
        canvas.paste(heat_picture(mesh, uncertainty, yaw_deg, width, height), x, 24)
        canvas.text(x + width / 2, height + 46, words, 20, SOFT, anchor="ms")
    _scale(canvas, 60, height + 84, canvas.width - 120)
    _areas(canvas, uncertainty, 60, height + 164, canvas.width - 120)
    return canvas.picture()


def heat_picture(mesh: Mesh, uncertainty: Uncertainty, yaw_deg: float, width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8: the mesh in the head frame as seen at a yaw, its skin coloured by the spread and shaded by its shape."""
    log_sd = np.log(np.maximum(uncertainty.vertex_sd_mm, 1e-4))

    def colours(corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        # The logarithm is interpolated, as the colours are.
        return heat_srgb(np.exp((log_sd[corners] * barycentric).sum(1)))

    return side_picture(mesh, colours, yaw_deg, width, height)


def side_picture(
    mesh: Mesh, colours: Callable[[np.ndarray, np.ndarray], np.ndarray], yaw_deg: float, width: int, height: int
) -> np.ndarray:
    """(H, W, 3) uint8: the mesh in the head frame as seen at a yaw, shaded by its shape.

    `colours` gives (N, 3) sRGB levels of points from their triangles' corners (N, 3) and barycentric coordinates (N, 3).
    """
    from render import rasterize

    camera = _camera(mesh, yaw_deg, 2 * width, 2 * height)
    fragments = rasterize(mesh, camera)
    hit = fragments.face_id >= 0
    corners, barycentric = mesh.triangles[fragments.face_id[hit]], fragments.barycentric[hit]
    normal = (vertex_normals(mesh.vertices, mesh.triangles)[corners] * barycentric[..., None]).sum(1)
    towards = camera.position_world / np.linalg.norm(camera.position_world)
    shade = 0.42 + 0.58 * np.clip(normal @ (0.8 * towards + np.array([0.0, 0.6, 0.0])), 0.0, 1.0)
    picture = np.full((2 * height, 2 * width, 3), CARD, np.float32)
    picture[hit] = colours(corners, barycentric) * shade[:, None]
    small = picture.reshape(height, 2, width, 2, 3).mean((1, 3))
    return np.rint(np.clip(small, 0, 255)).astype(np.uint8)


def _camera(mesh: Mesh, yaw_deg: float, width: int, height: int) -> Camera:
    """A long lens at eye height that shows the whole head."""
    middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    reach = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)[[1, 2]])) / 2
    distance, yaw = 8.0 * reach, np.radians(yaw_deg)
    position = middle + distance * np.array([-np.sin(yaw), 0.0, np.cos(yaw)])
    focal = 0.5 * min(width / 0.82, height) / reach * distance
    return look_at(position, middle, focal_px=float(focal), width=width, height=height)


def _scale(canvas: Canvas, x: float, y: float, width: float) -> None:
    """The colours from the smallest to the largest spread, labelled at the stops."""
    stops = np.log(HEAT_MM)
    bar = heat_srgb(np.exp(np.linspace(stops[0], stops[-1], round(width))))[None].repeat(16, 0)
    canvas.paste(bar, x, y)
    for value, stop in zip(HEAT_MM, stops, strict=True):
        place = x + (stop - stops[0]) / (stops[-1] - stops[0]) * width
        canvas.text(place, y + 40, f"{value:g} mm", 18, SOFT, anchor="ms")


def _areas(canvas: Canvas, uncertainty: Uncertainty, x: float, y: float, width: float) -> None:
    """Name and spread of each area, evenly over one line."""
    areas = list(uncertainty.region_sd_mm.items())
    step = width / max(len(areas), 1)
    for k, (name, sd_mm) in enumerate(areas):
        middle = x + (k + 0.5) * step
        r, g, b = (int(value) for value in heat_srgb(np.array(sd_mm)))
        canvas.disc(middle, y - 8, 6, (r, g, b))
        canvas.text(middle, y + 20, f"{sd_mm:.1f}" if sd_mm >= 1 else f"{sd_mm:.2f}", 18, INK, anchor="ms")
        canvas.text(middle, y + 40, name.replace("chin and jaw", "chin, jaw"), 15, SOFT, anchor="ms")
