"""Buffers as files: pictures as PNG, exact numbers as compressed NPZ, one folder an AOV, one file a frame."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from assets.atomic import write_bytes
from assets.errors import ArtifactError, RangeError
from render.buffers import RenderBuffers
from render.sweep import check_frame_name

AovName = Literal[
    "mask", "alpha", "depth", "depth16", "distance", "position_world", "normal_world", "normal_cam", "uv", "part_id", "albedo", "beauty"
]
"""What save_buffers can write. `depth16` is a 16-bit PNG; normals come with a PNG preview beside the NPZ."""

DEFAULT_AOVS: tuple[AovName, ...] = get_args(AovName)

PNG_AOVS = ("mask", "alpha", "part_id", "albedo", "beauty", "depth16")

DEPTH16_EMPTY = 65535
"""Value of empty pixels in depth16; surfaces take 0 (near) to 65534 (far)."""


def save_buffers(folder: Path | str, buffers: RenderBuffers, aovs: Sequence[str] = DEFAULT_AOVS) -> tuple[Path, ...]:
    """Write AOVs to FOLDER/AOV/FRAME.png or .npz and return the paths; each file is written beside and then renamed.

    PNG: mask and alpha (8-bit, 255 = covered), part_id (8-bit ids), albedo and beauty (sRGB), depth16, and previews of the
    normals as in normal_to_rgb. NPZ: float32 under the key `values`, with K, T_cam_world and, for depth, `depth_range_m`.
    Raises RangeError for an unknown AOV, or a frame name that is no plain file stem.
    """
    unknown = [aov for aov in aovs if aov not in get_args(AovName)]
    if unknown:
        raise RangeError(expected=f"AOVs out of: {', '.join(get_args(AovName))}", got=repr(unknown), do="correct the name")
    check_frame_name(buffers.name)
    paths: list[Path] = []
    for aov in aovs:
        png_path = Path(folder) / aov / f"{buffers.name}.png"
        if aov in PNG_AOVS:
            paths.append(write_bytes(png_path, _png_bytes(buffers, aov)))
            continue
        values = getattr(buffers, aov)
        paths.append(write_bytes(png_path.with_name(f"{buffers.name}.npz"), _npz_bytes(buffers, values)))
        if aov in ("normal_world", "normal_cam"):
            preview = normal_to_rgb(values, in_camera=aov == "normal_cam")
            paths.append(write_bytes(png_path, _encode_png(preview)))
    return tuple(paths)


def depth_to_uint16(depth: np.ndarray, depth_range_m: tuple[float, float]) -> np.ndarray:
    """(H, W) uint16 linear in depth: near is 0, far is 65534, empty (inf) is 65535; depths outside the range are clipped."""
    near, far = depth_range_m
    with np.errstate(invalid="ignore"):
        levels = np.clip((depth.astype(np.float64) - near) / (far - near), 0, 1) * (DEPTH16_EMPTY - 1)
    return np.where(np.isfinite(depth), np.rint(levels), DEPTH16_EMPTY).astype(np.uint16)


def depth_from_uint16(levels: np.ndarray, depth_range_m: tuple[float, float]) -> np.ndarray:
    """(H, W) float32 metres, inf where empty: the inverse of depth_to_uint16, off by half a step of (far - near) / 65534 at most."""
    near, far = depth_range_m
    depth = near + levels.astype(np.float64) / (DEPTH16_EMPTY - 1) * (far - near)
    return np.where(levels == DEPTH16_EMPTY, np.inf, depth).astype(np.float32)


def load_depth16(path: Path | str) -> np.ndarray:
    """(H, W) float32 metres of a depth16 PNG, by the range that its own text chunk states; raises ArtifactError."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            near, far = (float(limit) for limit in picture.info["depth_range_m"].split())
            return depth_from_uint16(np.array(picture).astype(np.uint16), (near, far))
    except (OSError, KeyError, ValueError) as error:
        raise ArtifactError(expected="a depth16 PNG by save_buffers", got=f"{path}: {error!r}", do="render the frame again") from error


def normal_to_rgb(normals: np.ndarray, *, in_camera: bool) -> np.ndarray:
    """(H, W, 3) uint8 preview: red = +X, green = +Y up, blue = +Z, from -1 at 0 to 1 at 255; empty is black.

    Camera normals are turned to OpenGL axes for it, so that what faces the viewer is the familiar light blue.
    """
    axes = np.array([1, -1, -1] if in_camera else [1, 1, 1], np.float32)
    rgb = np.rint((normals * axes + 1) * 127.5)
    return np.where(np.isfinite(rgb), np.clip(rgb, 0, 255), 0).astype(np.uint8)


def _png_bytes(buffers: RenderBuffers, aov: str) -> bytes:
    match aov:
        case "mask":
            return _encode_png(buffers.mask.astype(np.uint8) * 255)
        case "alpha":
            return _encode_png(np.rint(buffers.alpha * 255).astype(np.uint8))
        case "part_id":
            return _encode_png(buffers.part_id)
        case "depth16":
            return _depth16_bytes(buffers)
        case _:
            return _encode_png(getattr(buffers, f"{aov}_srgb"))


def _encode_png(image: np.ndarray) -> bytes:
    # OpenCV orders channels blue, green, red. Level 3 is a third of the time of the default at almost its size.
    bgr = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def _depth16_bytes(buffers: RenderBuffers) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("depth_range_m", " ".join(repr(float(limit)) for limit in buffers.depth_range_m))
    info.add_text("encoding", "camera z, linear: near at 0, far at 65534, empty at 65535")
    stream = io.BytesIO()
    Image.fromarray(depth_to_uint16(buffers.depth, buffers.depth_range_m)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def _npz_bytes(buffers: RenderBuffers, values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    camera = buffers.camera
    np.savez_compressed(
        stream,
        values=values.astype(np.float32),
        K=camera.K,
        T_cam_world=camera.T_cam_world,
        depth_range_m=np.array(buffers.depth_range_m),
    )
    return stream.getvalue()
