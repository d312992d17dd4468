"""The plain `cameras.json`, and its writer.

The file: `{"units": "metres", "cameras": {"images/a.jpg": {"K": 3x3, "world_to_camera": 4x4, "width": w, "height": h,
"distortion": [k1, k2, p1, p2, k3], "lens": "opencv"}}}`. OpenCV axes (+X right, +Y down, +Z forward), column vectors.
`distortion` and `lens` (a model of recon/lens.py) may be left out; picture names are relative to the file, or bare file names.

Pixel centre: +0.5, as everywhere here. Unit: stated; metres where `units` is left out. Published description: docs/cameras.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assets.atomic import write_text
from assets.errors import InputError
from recon.rig.records import Rig, RigCamera, Sizes, make_camera, require_finite, unit_named
from render.camera import Camera

FORMAT = "cameras.json"


def read_plain(path: Path, sizes: Sizes, content: Any) -> Rig:
    """The rig of a parsed cameras.json. Raises InputError (fields missing) or ConventionError (no rotation, unknown unit)."""
    entries = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise InputError(
            expected='"cameras": {picture: {"K": 3x3, "world_to_camera": 4x4, "width": w, "height": h}}',
            got=f"{path} without any cameras",
            do="see docs/cameras.md for the format",
        )
    unit = unit_named(content.get("units", "metres"), str(path))
    return Rig(path, tuple(_read_entry(path, name, entry) for name, entry in entries.items()), FORMAT, unit)


def save_cameras_json(path: Path, cameras: Mapping[str, Camera]) -> None:
    """Write cameras by picture name in the format of this module, exact to the bit; written beside and renamed."""
    entries = {
        name: {"K": camera.K.tolist(), "world_to_camera": camera.T_cam_world.tolist(), "width": camera.width, "height": camera.height}
        for name, camera in cameras.items()
    }
    content = {"units": "metres", "camera_convention": "OpenCV world-to-camera, x right, y down, z forward", "cameras": entries}
    write_text(path, json.dumps(content, indent=1))


def _read_entry(path: Path, name: str, entry: Any) -> RigCamera:
    where = f"{path}, camera {name}"
    if not isinstance(entry, dict):
        raise InputError(expected='an object with "K" and "world_to_camera"', got=f"{where}: {entry!r}", do="correct it")
    K, T_cam_world = _matrix(where, entry, "K", (3, 3)), _matrix(where, entry, "world_to_camera", (4, 4))
    size = _positive_int(where, entry, "width"), _positive_int(where, entry, "height")
    return make_camera(where, name, K, T_cam_world, size, entry.get("lens", "opencv"), _distortion(where, entry))


def _matrix(where: str, entry: dict[str, Any], key: str, shape: tuple[int, int]) -> np.ndarray:
    try:
        matrix = np.array(entry[key], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(expected=f'"{key}" as {shape[0]} rows of {shape[1]} numbers', got=f"{where}: {error!r}", do="add it") from error
    if matrix.shape != shape:
        raise InputError(
            expected=f'"{key}" as {shape[0]}x{shape[1]} finite numbers',
            got=f"{where}: shape {matrix.shape}, {matrix.ravel()[:4]}...",
            do="correct it",
        )
    require_finite(where, f'"{key}"', matrix)
    return matrix


def _positive_int(where: str, entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or value <= 0:
        raise InputError(expected=f'"{key}" of the picture in pixels', got=f"{where}: {value!r}", do="add the size that K belongs to")
    return value


def _distortion(where: str, entry: dict[str, Any]) -> list[float]:
    values = entry.get("distortion", [])
    if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
        raise InputError(
            expected='"distortion" as OpenCV\'s [k1, k2, p1, p2] or [k1, k2, p1, p2, k3]', got=f"{where}: {values!r}", do="correct it"
        )
    return [float(value) for value in values]
