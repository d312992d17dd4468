"""OpenCV calibration files (YAML or JSON of cv::FileStorage), one camera a file or several in one.

Published description: docs.opencv.org, "File Input and Output using XML / YAML / JSON files" and "Camera calibration With OpenCV"
(keys `camera_matrix`, `distortion_coefficients`, `image_width`, `image_height`, `fisheye_model`); calib3d for the models. OpenCV
names no key for a rig's extrinsics, so the usual ones are read: `rvec` and `tvec`, or `R` and `T`, which map the world to the
camera as solvePnP gives them. A camera is named by its key in a file of several, by `image` or `name`, else by the file's stem;
"cam04" then belongs to every picture whose name starts or ends in it.

Pixel centre: 0 (initUndistortRectifyMap evaluates the model at whole pixel indices), so half a pixel is added to the principal
point. Unit: none, unless the key `units` is there. Tried on files written by OpenCV's own FileStorage.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from assets.errors import InputError
from recon.lens import LensModel
from recon.rig.records import CameraUnit, Rig, RigCamera, Sizes, make_camera, refuse, require_finite, rigid, size_of, unit_named

FORMAT = "OpenCV"
SUFFIXES = (".yml", ".yaml")

_KEYS = {
    "K": ("camera_matrix", "cameraMatrix", "K", "M"),
    "distortion": ("distortion_coefficients", "distCoeffs", "dist_coeffs", "distortion", "D"),
    "rotation": ("rvec", "R", "rotation", "R_matrix"),
    "translation": ("tvec", "T", "t", "translation", "T_vector"),
    "width": ("image_width", "width"),
    "height": ("image_height", "height"),
    "name": ("image", "image_name", "file", "name", "camera_name"),
}
"""The first key that a camera has is read."""


def is_opencv(content: Any) -> bool:
    """Whether a parsed file holds an OpenCV camera, or cameras by name."""
    return isinstance(content, dict) and any(_has_camera(value) for value in (content, *content.values()))


def opencv_files(path: Path) -> tuple[Path, ...]:
    """The YAML files of a folder, or the file itself."""
    return (path,) if path.is_file() else tuple(sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES))


def read_opencv(path: Path, sizes: Sizes) -> Rig:
    """The rig of a file, or of a folder with one YAML file for each camera. Raises InputError for what is missing or broken."""
    cameras: list[RigCamera] = []
    units: set[CameraUnit] = set()
    for file in opencv_files(path):
        content = parse(file)
        if not is_opencv(content):
            refuse(str(file), _listed(content), "see docs/cameras.md", expected="camera_matrix and distortion_coefficients")
        if "units" in content or "unit" in content:
            units.add(unit_named(content.get("units", content.get("unit")), str(file)))
        named = {file.stem: content} if _has_camera(content) else {key: value for key, value in content.items() if _has_camera(value)}
        cameras += [_read_camera(file, key, values, {**content, **values}, sizes) for key, values in named.items()]
    if len(units) > 1:
        refuse(str(path), f"{sorted(units)}", "write them in one unit", expected="one unit for all cameras")
    return Rig(path, tuple(cameras), FORMAT, units.pop() if units else "")


def parse(path: Path) -> Any:
    """Dictionaries, lists and numbers of a FileStorage; a matrix is a dictionary of rows, cols and data. Raises InputError."""
    try:
        if path.suffix.lower() == ".json":
            return json.loads(path.read_text(encoding="utf-8-sig"))
        text = _LONG_INTEGER.sub(_as_real, path.read_text(encoding="utf-8-sig"))
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        return _plain(storage.root())
    except (OSError, ValueError, SystemError, cv2.error) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            expected="a file of OpenCV's FileStorage, whose YAML starts with %YAML:1.0",
            got=f"{path}: {first_line}",
            do="write it with cv2.FileStorage",
        ) from error


_LONG_INTEGER = re.compile(r"""\"[^"\n]*\"|'[^'\n]*'|(?<![\w.\-/])[+-]?[0-9]{10,}(?![\w.])""")
"""Quoted text, which stays, or a whole number of ten digits or more."""


def _as_real(found: re.Match[str]) -> str:
    """A whole number beyond 32 bits (a time stamp, a serial number) as a real one: FileStorage never ends on the former."""
    text = found[0]
    return text if text[0] in "\"'" or abs(int(text)) < 2**31 else f"{text}."


def _plain(node: cv2.FileNode) -> Any:
    if node.isMap():
        return {key: _plain(node.getNode(key)) for key in list(node.keys())}
    if node.isSeq():
        return [_plain(node.at(index)) for index in range(node.size())]
    if node.isString():
        return node.string()
    return int(node.real()) if node.isInt() else node.real()


def _has_camera(values: Any) -> bool:
    return isinstance(values, dict) and _key(values, "K") is not None


def _key(values: dict[str, Any], what: str) -> str | None:
    return next((key for key in _KEYS[what] if key in values), None)


def _listed(content: Any) -> str:
    return f"the keys {', '.join(sorted(content))}" if isinstance(content, dict) and content else "no keys"


def _read_camera(path: Path, key: str, own: dict[str, Any], values: dict[str, Any], sizes: Sizes) -> RigCamera:
    """`own` is the camera's part of the file, `values` that with what the file states for all."""
    where = f"{path}, camera {key}"
    name_key = _key(own, "name")
    name = str(own[name_key]) if name_key else key
    K = _matrix(where, values, "K", 9).reshape(3, 3)
    K[:2, 2] += 0.5
    width, height = (_key(values, side) for side in ("width", "height"))
    size = (_side(where, values, width), _side(where, values, height)) if width and height else size_of(where, name, sizes)
    lens, distortion = _lens(where, values)
    if _key(own, "rotation") is None or _key(own, "translation") is None:
        do = "write rvec and tvec (solvePnP) or R and T of each camera beside its camera_matrix"
        refuse(where, _listed(own), do, expected="the pose of each camera, world to camera")
    rotation, translation = _matrix(where, own, "rotation", 3, 9), _matrix(where, own, "translation", 3)
    R = cv2.Rodrigues(rotation)[0] if rotation.size == 3 else rotation.reshape(3, 3)
    return make_camera(where, name, K, rigid(R, translation), size, lens, distortion)


def _lens(where: str, values: dict[str, Any]) -> tuple[LensModel, tuple[float, ...]]:
    key = _key(values, "distortion")
    numbers = _numbers(where, key, values[key]) if key else np.zeros(0)
    if values.get("fisheye_model") or str(values.get("distortion_model", "")).lower() in ("fisheye", "equidistant"):
        return "fisheye", tuple(numbers)
    if numbers.size == 14 and not numbers[12:].any():
        numbers = numbers[:12]
    return "opencv", tuple(numbers)


def _side(where: str, values: dict[str, Any], key: str) -> int:
    value = values[key]
    if not isinstance(value, int | float) or not float(value).is_integer():
        refuse(
            where, f"{key} = {value!r}", "write the size that the camera matrix belongs to", expected="the picture's size in whole pixels"
        )
    return int(value)


def _matrix(where: str, values: dict[str, Any], what: str, *sizes: int) -> np.ndarray:
    key = _key(values, what)
    numbers = _numbers(where, key, values[key]) if key else np.zeros(0)
    if numbers.size not in sizes:
        counts = " or ".join(map(str, sizes))
        refuse(where, f"{numbers.size} in {key}", "write the whole matrix", expected=f"{counts} finite numbers for {_KEYS[what][0]}")
    require_finite(where, str(key), numbers)
    return numbers


def _numbers(where: str, key: str | None, value: Any) -> np.ndarray:
    """The numbers of a matrix, of nested lists, or of one list."""
    try:
        return np.array(value["data"] if isinstance(value, dict) else value, np.float64).ravel()
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(expected=f"numbers for {key}", got=f"{where}: {error!r}", do="write the whole matrix") from error
