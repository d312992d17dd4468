"""Photographs of the sample scene: rays and shading."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from render.camera import Camera
from studio.sample_backdrop import Backdrop, room_backdrop
from studio.sample_light import KEY_DIRECTION, RIM_DIRECTION
from studio.sample_noise import noise, smoothstep
from studio.sample_scene import EYE, HAIR, MOUTH, SHIRT, SKIN, TEETH, SampleScene
from studio.sample_skin import SkinTexture, eye_albedo

_GROUP_DIRECTION = np.stack(
    [KEY_DIRECTION / np.linalg.norm(KEY_DIRECTION), RIM_DIRECTION / np.linalg.norm(RIM_DIRECTION), np.array([-0.3, 0.62, 0.72])]
)
_GROUP_LIGHT = np.array([[0.74, 0.70, 0.65], [0.27, 0.31, 0.37], [0.34, 0.36, 0.39]])

_DIAGONAL = np.array([[-0.25, -0.25], [0.25, 0.25]])
_DEPTH_JUMP_M = 0.004


@dataclasses.dataclass(frozen=True, eq=False)
class _Surface:
    """What the rays of one tile hit."""

    position: np.ndarray
    normal: np.ndarray
    view: np.ndarray
    """(N, 3) unit, towards the camera."""
    light: np.ndarray
    gradient: np.ndarray
    visible: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray


def _interpolate(values: np.ndarray, scene: SampleScene, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nk...->n...", barycentric, values[scene.triangles[triangle]])


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def _sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear look-up of (H, W) or (H, W, C) at (N, 2) UV with the origin at the bottom left."""
    x = uv[:, 0] * image.shape[1] - 0.5  # cv2.remap counts pixel centres from 0.
    y = (1 - uv[:, 1]) * image.shape[0] - 0.5
    pad = -len(x) % 4096
    shape = (-1, 4096)
    grid = [np.pad(c, (0, pad)).reshape(shape).astype(np.float32) for c in (x, y)]
    found = cv2.remap(image, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, *image.shape[2:])[: len(uv)]


def _fresnel(cosine: np.ndarray, f0: float) -> np.ndarray:
    return f0 + (1 - f0) * np.clip(1 - cosine, 0, 1) ** 5


def _highlight(s: _Surface, normal: np.ndarray, roughness: float, f0: float, spread: tuple[float, float, float]) -> np.ndarray:
    """(N, 3) GGX highlights of the light groups, each roughened by the size of its lights."""
    total = np.zeros((len(normal), 3))
    n_v = np.clip(np.einsum("nk,nk->n", normal, s.view), 0.05, 1)
    for group in range(3):
        light = _GROUP_DIRECTION[group]
        half = _unit(light + s.view)
        n_h, n_l = np.clip(np.einsum("nk,nk->n", normal, half), 0, 1), np.clip(normal @ light, 0, 1)
        a2 = (roughness**2 + spread[group]) ** 2
        d = a2 / (np.pi * (n_h**2 * (a2 - 1) + 1) ** 2)
        k = (roughness + 1) ** 2 / 8
        g = 1 / ((n_v * (1 - k) + k) * (n_l * (1 - k) + k) * 4)
        f = _fresnel(np.einsum("nk,nk->n", half, s.view), f0)
        total += (d * g * f * n_l * np.pi * s.visible[:, group])[:, None] * _GROUP_LIGHT[group]
    return total


def _bent_normal(scene: SampleScene, s: _Surface, height_mm: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(N, 3) normals bent by the texture's relief: the surface gradient of the height in the chart (Mikkelsen 2010)."""
    corners = scene.vertices[scene.triangles[s.triangle]]
    chart = scene.uvs[s.triangle].astype(np.float64)
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    d1, d2 = chart[:, 1] - chart[:, 0], chart[:, 2] - chart[:, 0]
    determinant = d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]
    determinant = np.where(np.abs(determinant) < 1e-12, np.inf, determinant)[:, None]
    along_u = (e1 * d2[:, 1:] - e2 * d1[:, 1:]) / determinant
    along_v = (e2 * d1[:, :1] - e1 * d2[:, :1]) / determinant
    step = 1.0 / height_mm.shape[0]
    centre = _sample(height_mm, uv)
    slope_u = (_sample(height_mm, uv + (step, 0)) - centre) * 1e-3 / step
    slope_v = (_sample(height_mm, uv + (0, step)) - centre) * 1e-3 / step
    lu, lv = (np.maximum(np.einsum("nk,nk->n", a, a), 1e-8) for a in (along_u, along_v))
    bend = (slope_u / lu)[:, None] * along_u + (slope_v / lv)[:, None] * along_v
    return _unit(s.normal - np.clip(bend, -0.6, 0.6))


def _relit(s: _Surface, normal: np.ndarray) -> np.ndarray:
    """(N, 3) irradiance for a bent normal, to first order."""
    return np.maximum(s.light + np.einsum("nck,nk->nc", s.gradient, normal - s.normal), 0.15 * s.light)


def _shade_skin(scene: SampleScene, s: _Surface, skin: SkinTexture) -> np.ndarray:
    uv = _interpolate_corners(scene.uvs, s)
    normal = _bent_normal(scene, s, skin.height_mm, uv)
    albedo, sheen = _sample(skin.albedo_linear, uv), _sample(skin.sheen, uv)
    # Light bounced between close surfaces turns shadows warm rather than black.
    light = _relit(s, normal)
    bounce = 0.05 * np.array([1.0, 0.55, 0.42]) * (1 - s.visible[:, 2:3])
    gloss = 0.62 * _highlight(s, normal, 0.46, 0.028, (0.06, 0.08, 0.3)) + 0.28 * _highlight(s, normal, 0.30, 0.028, (0.05, 0.07, 0.3))
    return albedo * (light + bounce) + sheen[:, None] * gloss


def _interpolate_corners(values: np.ndarray, s: _Surface) -> np.ndarray:
    return np.einsum("nk,nkc->nc", s.barycentric, values[s.triangle])


def _shade_eye(scene: SampleScene, s: _Surface) -> np.ndarray:
    """Sclera and iris, darkened below the lids, with mirrored softbox and window."""
    left = np.linalg.norm(s.position - scene.eye_centres[0], axis=1) < np.linalg.norm(s.position - scene.eye_centres[1], axis=1)
    centre = np.where(left[:, None], scene.eye_centres[0], scene.eye_centres[1])
    local = _unit(s.position - centre) @ scene.gaze
    albedo = np.where(left[:, None], eye_albedo(local, 1.0), eye_albedo(local, -1.0))
    open_ = np.clip(s.visible.max(1), 0, 1)[:, None]
    mirrored = 2 * np.einsum("nk,nk->n", s.normal, s.view)[:, None] * s.normal - s.view
    fresnel = _fresnel(np.einsum("nk,nk->n", s.normal, s.view), 0.03)[:, None]
    softbox = smoothstep(0.945, 0.96, mirrored @ _GROUP_DIRECTION[0])[:, None] * s.visible[:, :1] * 11.0
    room = (0.35 + 0.5 * np.clip(mirrored[:, 1:2], 0, 1)) * open_
    return albedo * s.light * (0.35 + 0.65 * open_) * 0.95 + fresnel * (softbox + room)


def _shade_hair(scene: SampleScene, s: _Surface) -> np.ndarray:
    """Kajiya and Kay's strand shading, darker towards the root."""
    tangent = _unit(_interpolate(scene.tangents, scene, s.triangle, s.barycentric))
    colour = _interpolate(scene.colour_linear, scene, s.triangle, s.barycentric)
    along = _interpolate(scene.along, scene, s.triangle, s.barycentric)[:, None]
    shade = 0.30 + 0.70 * along
    total = colour * s.light * shade * 1.25
    t_v = np.einsum("nk,nk->n", tangent, s.view)
    for group in range(3):
        t_l = tangent @ _GROUP_DIRECTION[group]
        mirror = np.sqrt(np.clip(1 - t_l**2, 0, 1)) * np.sqrt(np.clip(1 - t_v**2, 0, 1)) - t_l * t_v
        glint = 0.055 * np.clip(mirror, 0, 1) ** 38 + 0.03 * np.clip(mirror, 0, 1) ** 9
        total += (glint * s.visible[:, group])[:, None] * _GROUP_LIGHT[group] * shade
    return total


def _shade_shirt(s: _Surface) -> np.ndarray:
    p = s.position * 1e3
    weave = 1 + 0.10 * noise(p, 3.0, seed=210) + 0.06 * np.sin(p[:, 1] * 5.2)
    return (
        np.array([0.030, 0.038, 0.052]) * weave[:, None] * s.light
        + 0.012 * s.light * _fresnel(np.einsum("nk,nk->n", s.normal, s.view), 0.02)[:, None]
    )


def _shade(scene: SampleScene, s: _Surface, skin: SkinTexture) -> np.ndarray:
    colour = np.zeros((len(s.triangle), 3))
    material = scene.material[s.triangle]
    for value in np.unique(material):
        chosen = material == value
        part = _Surface(*(getattr(s, f.name)[chosen] for f in dataclasses.fields(_Surface)))
        if value == SKIN:
            colour[chosen] = _shade_skin(scene, part, skin)
        elif value == EYE:
            colour[chosen] = _shade_eye(scene, part)
        elif value == HAIR:
            colour[chosen] = _shade_hair(scene, part)
        elif value == SHIRT:
            colour[chosen] = _shade_shirt(part)
        elif value == TEETH:
            colour[chosen] = np.array([0.62, 0.56, 0.46]) * part.light + 0.4 * _highlight(part, part.normal, 0.25, 0.04, (0.05, 0.05, 0.2))
        elif value == MOUTH:
            colour[chosen] = np.array([0.30, 0.10, 0.09]) * part.light
    return colour


def _trace(scene: SampleScene, skin: SkinTexture, camera: Camera, px: np.ndarray, backdrop: Backdrop) -> np.ndarray:
    """(N, 3) linear colours at pixel coordinates (N, 2)."""
    directions = _unit(camera.directions_cam(px) @ camera.T_cam_world[:3, :3])
    hits = scene.rays.cast(camera.position_world, directions)
    colour = backdrop(directions)
    hit = np.flatnonzero(hits.triangle_index >= 0)
    if not len(hit):
        return colour
    triangle, barycentric = hits.triangle_index[hit], hits.barycentric[hit].astype(np.float64)
    view = -directions[hit]
    normal = _unit(_interpolate(scene.normals, scene, triangle, barycentric))
    light = scene.irradiance
    s = _Surface(
        position=_interpolate(scene.vertices, scene, triangle, barycentric),
        normal=normal,
        view=view,
        light=_interpolate(light.diffuse, scene, triangle, barycentric),
        gradient=_interpolate(light.gradient, scene, triangle, barycentric),
        visible=_interpolate(light.visible, scene, triangle, barycentric),
        triangle=triangle,
        barycentric=barycentric,
    )
    colour[hit] = _shade(scene, s, skin)
    return colour


def render_linear(
    scene: SampleScene,
    skin: SkinTexture,
    camera: Camera,
    *,
    supersample: int = 2,
    backdrop: Backdrop = room_backdrop,
    adaptive: bool = False,
) -> np.ndarray:
    """(H, W, 3) float32 linear picture, `supersample` squared rays a pixel; `backdrop` colours what they miss.

    With `adaptive`, only pixels on borders get them all, and others one (backdrop) or two: a third of the time.
    """
    if adaptive:
        return _render_adaptive(scene, skin, camera, supersample, backdrop)
    image = np.zeros((camera.height, camera.width, 3), np.float32)
    sub = (np.arange(supersample) + 0.5) / supersample
    rows = max(1, 400_000 // (camera.width * supersample**2))
    for top in range(0, camera.height, rows):
        bottom = min(top + rows, camera.height)
        y = (np.arange(top, bottom)[:, None] + sub).ravel()
        x = (np.arange(camera.width)[:, None] + sub).ravel()
        px = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        colour = _trace(scene, skin, camera, px, backdrop)
        shape = (bottom - top, supersample, camera.width, supersample, 3)
        image[top:bottom] = colour.reshape(shape).mean((1, 3))
    return image


def _render_adaptive(scene: SampleScene, skin: SkinTexture, camera: Camera, supersample: int, backdrop: Backdrop) -> np.ndarray:
    """One ray in the middle of each pixel tells what is near: one ray for the backdrop, two for a surface, more for its borders."""
    centres = camera.pixel_centres().reshape(-1, 2)
    directions = _unit(camera.directions_cam(centres) @ camera.T_cam_world[:3, :3])
    hits = scene.rays.cast(camera.position_world, directions)
    shape = (camera.height, camera.width)
    material = np.where(hits.triangle_index >= 0, scene.material[hits.triangle_index], 255).astype(np.uint8).reshape(shape)
    depth = np.where(np.isfinite(hits.distance), hits.distance, 0).astype(np.float32).reshape(shape)
    block = np.ones((3, 3), np.uint8)
    jump = (cv2.dilate(depth, block) - cv2.erode(depth, block) > _DEPTH_JUMP_M) | (
        cv2.dilate(material, block) != cv2.erode(material, block)
    )
    image = np.zeros((len(centres), 3), np.float32)
    empty = (material == 255) & ~jump
    image[empty.ravel()] = backdrop(directions[empty.ravel()])
    sub = (np.arange(supersample) + 0.5) / supersample - 0.5
    for chosen, offsets in ((jump, np.stack(np.meshgrid(sub, sub), -1).reshape(-1, 2)), (~jump & ~empty, _DIAGONAL)):
        index = np.flatnonzero(chosen)
        for part in np.array_split(index, max(1, len(index) * len(offsets) // 200_000)):
            px = (centres[part][:, None] + offsets).reshape(-1, 2)
            image[part] = _trace(scene, skin, camera, px, backdrop).reshape(len(part), -1, 3).mean(1)
    return image.reshape(*shape, 3)
