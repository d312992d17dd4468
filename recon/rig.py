"""Calibrated cameras from a plain `cameras.json`, and back.

The file: `{"units": "metres", "cameras": {"images/a.jpg": {"K": 3x3, "world_to_camera": 4x4, "width": w, "height": h,
"distortion": [k1, k2, p1, p2, k3]}}}`. OpenCV axes (+X right, +Y down, +Z forward), column vectors, pixel centres at +0.5.
`distortion` (OpenCV's order) may be left out; picture names are relative to the file, or bare file names.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assets.atomic import write_text
from assets.errors import ConventionError, InputError
from recon.capture import View
from render.camera import Camera

CAMERAS_FILE = "cameras.json"

_METRES: Mapping[str, float] = {"metres": 1.0, "meters": 1.0, "m": 1.0, "centimetres": 0.01, "cm": 0.01, "millimetres": 0.001, "mm": 0.001}


@dataclasses.dataclass(frozen=True, eq=False)
class RigCamera:
    image: str
    """Picture name as the file gives it: "images/neutral_cam00.jpg"."""
    camera: Camera
    distortion: tuple[float, ...] = ()
    """OpenCV's (k1, k2, p1, p2[, k3]); empty for none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rig:
    path: Path
    cameras: tuple[RigCamera, ...]

    def find(self, image_path: Path) -> RigCamera | None:
        """The camera of a picture: by its path relative to the file, else by its bare name where only one has it."""
        target = image_path.resolve()
        for entry in self.cameras:
            if (self.path.parent / entry.image).resolve() == target:
                return entry
        same_name = [entry for entry in self.cameras if Path(entry.image).name == image_path.name]
        return same_name[0] if len(same_name) == 1 else None


def load_rig(path: Path) -> Rig:
    """Read a cameras.json. Raises InputError (no file, no JSON, fields missing) or ConventionError (no rotation, wrong units)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            expected="a cameras.json", got=f"{path}, which does not exist", do="check the path given for the cameras"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(expected="a cameras.json in JSON", got=f"{path}: {error}", do="write the file again") from error
    entries = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise InputError(
            expected='"cameras": {picture: {"K": 3x3, "world_to_camera": 4x4, "width": w, "height": h}}',
            got=f"{path} without any cameras",
            do="see docs/conventions.md for the format",
        )
    metres = _metres_per_unit(path, content.get("units", "metres"))
    return Rig(path, tuple(_read_entry(path, name, entry, metres) for name, entry in entries.items()))


def save_cameras_json(path: Path, cameras: Mapping[str, Camera]) -> None:
    """Write cameras by picture name in the format of this module, exact to the bit; written beside and renamed."""
    entries = {
        name: {"K": camera.K.tolist(), "world_to_camera": camera.T_cam_world.tolist(), "width": camera.width, "height": camera.height}
        for name, camera in cameras.items()
    }
    content = {"units": "metres", "camera_convention": "OpenCV world-to-camera, x right, y down, z forward", "cameras": entries}
    write_text(path, json.dumps(content, indent=1))


def with_cameras(views: list[View], rig: Rig) -> tuple[list[View], list[str]]:
    """Views with their camera of the rig, and notes; a view without one, or of another size, is `rejected` with the reason."""
    matched = [(_with_camera(view, rig), rig.find(view.path) if view.frame_index is None else None) for view in views]
    if not any(view.camera is not None for view, _ in matched):
        raise InputError(
            expected=f"pictures named in {rig.path}, such as {rig.cameras[0].image}",
            got=f"{len(views)} pictures, the first {views[0].name}: {matched[0][0].reason or matched[0][0].status}",
            do="use the names of the pictures in the cameras file, at the size that was calibrated",
        )
    used = {entry.image for _, entry in matched if entry is not None}
    absent = [entry.image for entry in rig.cameras if entry.image not in used]
    notes = [f"{len(absent)} cameras of {rig.path.name} have no picture here (such as {absent[0]})"] if absent else []
    return [view for view, _ in matched], notes


def _with_camera(view: View, rig: Rig) -> View:
    if view.status != "ok":
        return view
    entry = rig.find(view.path) if view.frame_index is None else None
    if entry is None:
        return dataclasses.replace(view, status="rejected", reason=f"has no camera in {rig.path.name}")
    camera = entry.camera
    if (view.width, view.height) != (camera.width, camera.height):
        reason = f"is {view.width}x{view.height}, but {rig.path.name} was calibrated for {camera.width}x{camera.height}"
        return dataclasses.replace(view, status="rejected", reason=reason)
    return dataclasses.replace(view, camera=camera, distortion=entry.distortion, focal_px=float(camera.K[0, 0]))


def _metres_per_unit(path: Path, units: object) -> float:
    if not isinstance(units, str) or units.lower() not in _METRES:
        raise ConventionError(
            expected=f"units of {', '.join(sorted(set(_METRES)))}", got=f"{units!r} in {path}", do="state the unit of the translations"
        )
    return _METRES[units.lower()]


def _read_entry(path: Path, name: str, entry: Any, metres: float) -> RigCamera:
    where = f"{path}, camera {name}"
    K = _matrix(where, entry, "K", (3, 3))
    T_cam_world = _matrix(where, entry, "world_to_camera", (4, 4))
    _check_intrinsics(where, K)
    _check_rigid(where, T_cam_world)
    T_cam_world[:3, 3] *= metres
    width, height = (_positive_int(where, entry, key) for key in ("width", "height"))
    return RigCamera(name, Camera(K=K, T_cam_world=T_cam_world, width=width, height=height), _distortion(where, entry))


def _matrix(where: str, entry: Any, key: str, shape: tuple[int, int]) -> np.ndarray:
    try:
        matrix = np.array(entry[key], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(expected=f'"{key}" as {shape[0]} rows of {shape[1]} numbers', got=f"{where}: {error!r}", do="add it") from error
    if matrix.shape != shape or not np.isfinite(matrix).all():
        raise InputError(
            expected=f'"{key}" as {shape[0]}x{shape[1]} finite numbers',
            got=f"{where}: shape {matrix.shape}, {matrix.ravel()[:4]}...",
            do="correct it",
        )
    return matrix


def _positive_int(where: str, entry: Any, key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or value <= 0:
        raise InputError(expected=f'"{key}" of the picture in pixels', got=f"{where}: {value!r}", do="add the size that K belongs to")
    return value


def _distortion(where: str, entry: Any) -> tuple[float, ...]:
    values = entry.get("distortion", [])
    if (
        not isinstance(values, list)
        or len(values) not in (0, 4, 5)
        or not all(isinstance(v, int | float) and np.isfinite(v) for v in values)
    ):
        raise InputError(
            expected='"distortion" as OpenCV\'s [k1, k2, p1, p2] or [k1, k2, p1, p2, k3]', got=f"{where}: {values!r}", do="correct it"
        )
    return tuple(float(value) for value in values)


def _check_intrinsics(where: str, K: np.ndarray) -> None:
    if K[0, 0] <= 0 or K[1, 1] <= 0 or not np.allclose(K[2], (0, 0, 1)) or K[1, 0] != 0:
        raise ConventionError(
            expected="K = [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] with positive focal lengths",
            got=f"{where}: {K.tolist()}",
            do="is it transposed?",
        )


def _check_rigid(where: str, T_cam_world: np.ndarray) -> None:
    rotation = T_cam_world[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > 1e-3 or np.linalg.det(rotation) < 0 or not np.allclose(T_cam_world[3], (0, 0, 0, 1)):
        what = f"rows off orthonormal by {error:.3g}, determinant {np.linalg.det(rotation):.3f}, last row {T_cam_world[3].tolist()}"
        raise ConventionError(
            expected="world_to_camera as a rotation with a translation, last row 0 0 0 1",
            got=f"{where}: {what}",
            do="OpenCV axes have determinant +1; a mirrored axis (OpenGL to OpenCV flips two) or a scale must be taken out first",
        )
