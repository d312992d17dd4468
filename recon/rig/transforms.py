"""`transforms.json` of nerfstudio and instant-ngp, and its writer.

Published description: docs.nerf.studio/quickstart/data_conventions.html; instant-ngp's docs/nerf_dataset_tips.md. Camera to world,
OpenGL camera axes. Intrinsics are shared at the top or stand in each frame: `fl_x fl_y cx cy w h` (a missing `fl_x` is made from
`camera_angle_x`, a missing principal point is the middle), `k1 k2 k3 k4 p1 p2` in OpenCV's sense, k4 that of r^8; a `camera_model`
of OPENCV_FISHEYE (or `is_fisheye`) has `k1 k2 k3 k4` of OpenCV's fisheye. nerfstudio's `applied_transform` and `applied_scale`
are taken out again, so that the world is the one before `ns-process-data`.

Pixel centre: +0.5, no shift. nerfstudio shoots the ray of pixel 0 at 0.5, copies COLMAP's principal point as it is, and takes 0.5
off before it calls OpenCV (nerfstudio/data/utils/dataloaders.py). Unit: none, unless the key `units` of the writer here is there.
Tried on the Blender file of the original NeRF data (`lego`); not yet tried on one of ns-process-data or instant-ngp.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assets.atomic import write_text
from assets.errors import InputError
from recon.lens import LensModel
from recon.rig.records import (
    OPENGL_FROM_OPENCV,
    Rig,
    RigCamera,
    Sizes,
    check_rigid,
    inverted,
    make_camera,
    pinhole,
    refuse,
    require_finite,
    rigid,
    size_of,
    unit_named,
)
from render.camera import Camera

FORMAT = "transforms.json"

_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL")


def read_transforms(path: Path, sizes: Sizes, content: Any) -> Rig:
    """The rig of a parsed transforms.json. Raises InputError (fields missing or no numbers) or ConventionError (no rotation)."""
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        refuse(str(path), "no frames", "export the cameras again", expected='"frames": [{"file_path", "transform_matrix"}, ...]')
    T_original_saved, scale = _applied(path, content)
    cameras = []
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            refuse(f"{path}, frame {index}", "no file_path", "name the picture of each frame", expected='"file_path" in each frame')
        cameras.append(_read_frame(path, {**content, **frame}, sizes, T_original_saved, scale))
    unit = unit_named(content["units"], str(path)) if "units" in content else ""
    return Rig(path, tuple(cameras), FORMAT, unit, axes="opengl")


def _applied(path: Path, content: dict[str, Any]) -> tuple[np.ndarray, float]:
    """(4, 4) from the saved to the original world, and the factor that the saved lengths have."""
    where, scale = f"{path}, applied_transform", _number(f"{path}, applied_scale", content, "applied_scale", 1.0)
    if not scale > 0:
        refuse(f"{path}, applied_scale", f"{scale}", "correct it, or leave it out", expected="a scale above 0")
    if "applied_transform" not in content:
        return np.eye(4), scale
    T_saved_original = _pose(where, content["applied_transform"])
    check_rigid(where, T_saved_original)
    return inverted(T_saved_original), scale


def _read_frame(path: Path, values: dict[str, Any], sizes: Sizes, T_original_saved: np.ndarray, scale: float) -> RigCamera:
    name = values["file_path"]
    where = f"{path}, frame {name}"
    if "transform_matrix" not in values:
        refuse(where, "no transform_matrix", "export the cameras again", expected='"transform_matrix" as 4 rows of 4 numbers')
    T_world_camgl = _pose(where, values["transform_matrix"])
    check_rigid(where, T_world_camgl)
    T_world_camgl[:3, 3] /= scale
    T_cam_world = OPENGL_FROM_OPENCV @ inverted(T_original_saved @ T_world_camgl)
    if "w" in values and "h" in values:
        size = int(_number(where, values, "w")), int(_number(where, values, "h"))
    else:
        size = size_of(where, name, sizes)
    lens, distortion = _lens(where, values)
    return make_camera(where, name, _intrinsics(where, values, size), T_cam_world, size, lens, distortion)


def _pose(where: str, rows: Any) -> np.ndarray:
    try:
        matrix = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(expected="4 rows of 4 numbers", got=f"{where}: {error}", do="correct it") from error
    if matrix.shape not in ((4, 4), (3, 4)):
        refuse(where, f"a matrix of shape {matrix.shape}", "correct it", expected="4 rows (or 3) of 4 finite numbers")
    require_finite(where, "the matrix", matrix)
    return np.vstack([matrix, [[0.0, 0.0, 0.0, 1.0]]]) if matrix.shape == (3, 4) else matrix


def _intrinsics(where: str, values: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    focal = []
    for key, angle, side in (("fl_x", "camera_angle_x", size[0]), ("fl_y", "camera_angle_y", size[1])):
        if key in values:
            focal.append(_number(where, values, key))
        elif angle in values:
            focal.append(side / 2 / math.tan(_number(where, values, angle) / 2))
    if not focal:
        refuse(where, "neither", "export the cameras again", expected='"fl_x" in pixels, or "camera_angle_x" in radians')
    cx, cy = (_number(where, values, key, side / 2) for key, side in (("cx", size[0]), ("cy", size[1])))
    return pinhole(focal[0], focal[-1], cx, cy)


def _lens(where: str, values: dict[str, Any]) -> tuple[LensModel, tuple[float, ...]]:
    model = str(values.get("camera_model", "OPENCV")).upper()
    k1, k2, k3, k4, p1, p2 = (_number(where, values, key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if model == "OPENCV_FISHEYE" or (values.get("is_fisheye") and model == "OPENCV"):
        return "fisheye", (k1, k2, k3, k4)
    if model not in _PERSPECTIVE:
        refuse(where, f"the camera model {model}", "undistort the pictures and export again", expected="OPENCV, PINHOLE or OPENCV_FISHEYE")
    return ("brown", (k1, k2, p1, p2, k3, k4, 0.0)) if k4 else ("opencv", (k1, k2, p1, p2, k3))


def _number(where: str, values: dict[str, Any], key: str, default: float | None = None) -> float:
    value = values.get(key, default)
    if not isinstance(value, int | float) or not math.isfinite(value):
        refuse(where, f"{value!r}", "correct it", expected=f'"{key}" as a number')
    return float(value)


def write_transforms(path: Path, cameras: Mapping[str, Camera]) -> Path:
    """Write cameras by picture name as a transforms.json with intrinsics in each frame; written beside and renamed.

    Lengths are metres, which the key `units`, unknown to other readers, says. Raises InputError for a camera with skew.
    """
    frames = []
    for name, camera in cameras.items():
        if camera.K[0, 1] != 0:
            refuse(name, f"a skew of {camera.K[0, 1]} px", "undistort the pictures first", expected="cameras without skew")
        T_world_camgl = rigid(camera.T_world_cam[:3, :3], camera.T_world_cam[:3, 3]) @ OPENGL_FROM_OPENCV
        intrinsics = {"fl_x": camera.K[0, 0], "fl_y": camera.K[1, 1], "cx": camera.K[0, 2], "cy": camera.K[1, 2]}
        size = {"w": camera.width, "h": camera.height}
        frames.append({"file_path": name, **size, **intrinsics, "transform_matrix": T_world_camgl.tolist()})
    return write_text(path, json.dumps({"camera_model": "OPENCV", "units": "metres", "frames": frames}, indent=1))
