"""COLMAP sparse models, text and binary: `cameras.*` and `images.*`, and a writer of the text form.

Published description: colmap.github.io/format.html (files), colmap.github.io/cameras.html (models); the binary layout is that of
COLMAP's src/colmap/scene/reconstruction_io_binary.cc. World to camera, quaternion (w, x, y, z), OpenCV axes.

Pixel centre: "the center of the upper left most pixel has coordinate (0.5, 0.5)" (colmap.github.io/database.html): no shift.
Unit: none stated; the scale of a reconstruction is free. `rigs.*` and `frames.*` of newer versions add nothing to the poses of
images. Tried on files written by COLMAP's own library (pycolmap 4.2), with each model listed in MODELS.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from assets.atomic import write_text
from assets.errors import InputError
from recon.lens import LensModel
from recon.rig.records import Rig, RigCamera, Sizes, make_camera, pinhole, refuse, require_finite, rigid
from render.camera import Camera

FORMAT = "COLMAP"

Lens = tuple[np.ndarray, LensModel, tuple[float, ...]]


@dataclasses.dataclass(frozen=True)
class Model:
    """A camera model of COLMAP."""

    number: int
    """Its identifier in binary files."""
    num_parameters: int
    to_lens: Callable[..., Lens] | None
    """Parameters in COLMAP's order to K, lens model and coefficients; None where no lens model here has them."""


def _one_focal(then: Callable[..., Lens]) -> Callable[..., Lens]:
    return lambda f, cx, cy, *rest: then(f, f, cx, cy, *rest)


def _opencv(fx: float, fy: float, cx: float, cy: float, *c: float) -> Lens:
    """(k1, k2, p1, p2[, k3, k4, k5, k6]) is OpenCV's own order; radial models leave the rest out."""
    padded = c if len(c) in (0, 4, 8) else (*c, *(0.0,) * (4 - len(c)))
    return pinhole(fx, fy, cx, cy), "opencv", tuple(padded)


def _fisheye(fx: float, fy: float, cx: float, cy: float, *k: float) -> Lens:
    return pinhole(fx, fy, cx, cy), "fisheye", (*k, *(0.0,) * (4 - len(k)))


def _division(fx: float, fy: float, cx: float, cy: float, k: float) -> Lens:
    return pinhole(fx, fy, cx, cy), "division", (k,)


MODELS: Mapping[str, Model] = {
    "SIMPLE_PINHOLE": Model(0, 3, _one_focal(_opencv)),
    "PINHOLE": Model(1, 4, _opencv),
    "SIMPLE_RADIAL": Model(2, 4, _one_focal(_opencv)),
    "RADIAL": Model(3, 5, _one_focal(_opencv)),
    "OPENCV": Model(4, 8, _opencv),
    "OPENCV_FISHEYE": Model(5, 8, _fisheye),
    "FULL_OPENCV": Model(6, 12, _opencv),
    "FOV": Model(7, 5, None),
    "SIMPLE_RADIAL_FISHEYE": Model(8, 4, _one_focal(_fisheye)),
    "RADIAL_FISHEYE": Model(9, 5, _one_focal(_fisheye)),
    "THIN_PRISM_FISHEYE": Model(10, 12, None),
    "RAD_TAN_THIN_PRISM_FISHEYE": Model(11, 16, None),
    "SIMPLE_DIVISION": Model(12, 4, _one_focal(_division)),
    "DIVISION": Model(13, 5, _division),
    "SIMPLE_FISHEYE": Model(14, 3, _one_focal(_fisheye)),
    "FISHEYE": Model(15, 4, _fisheye),
    "EUCM": Model(16, 6, None),
    "EQUIRECTANGULAR": Model(17, 2, None),
}
"""By name; numbers of parameters as in COLMAP's src/colmap/sensor/models.h."""


@dataclasses.dataclass(frozen=True)
class _Intrinsics:
    model: str
    size: tuple[int, int]
    parameters: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class _Image:
    name: str
    camera: int
    quaternion: tuple[float, ...]
    """(w, x, y, z)."""
    translation: tuple[float, ...]


def model_folder(path: Path) -> Path | None:
    """The folder with cameras.bin or cameras.txt at or below a path (itself, sparse/0, sparse); None where there is none."""
    start = path.parent if path.name in _FILES else path
    if not start.is_dir():
        return None
    return next((folder for folder in (start, start / "sparse" / "0", start / "sparse", start / "0") if _suffix(folder)), None)


_FILES = ("cameras.bin", "cameras.txt", "images.bin", "images.txt")


def model_files(path: Path) -> tuple[Path, ...]:
    """The two files that `read_colmap` reads."""
    folder = model_folder(path)
    return () if folder is None else tuple(folder / f"{name}{_suffix(folder)}" for name in ("cameras", "images"))


def _suffix(folder: Path) -> str:
    return next((suffix for suffix in (".bin", ".txt") if all((folder / f"{n}{suffix}").is_file() for n in ("cameras", "images"))), "")


def read_colmap(path: Path, sizes: Sizes) -> Rig:
    """The rig of a model's folder, or of a folder or file that `model_folder` leads from.

    Raises InputError where a file is broken or a camera has a model that no lens here has.
    """
    cameras_file, images_file = model_files(path)
    binary = cameras_file.suffix == ".bin"
    try:
        intrinsics = _read_cameras_bin(cameras_file) if binary else _read_cameras_txt(cameras_file)
        images = _read_images_bin(images_file) if binary else _read_images_txt(images_file)
    except (OSError, ValueError, IndexError, struct.error) as error:
        what = "a line with too few words" if isinstance(error, IndexError) else error
        raise InputError(
            expected="a complete COLMAP model", got=f"{cameras_file.parent}: {what}", do="export it again with `colmap model_converter`"
        ) from error
    entries = tuple(_rig_camera(images_file, image, intrinsics) for image in sorted(images, key=lambda image: image.name))
    return Rig(path, entries, f"{FORMAT} {'binary' if binary else 'text'}", unit="")


def _rig_camera(path: Path, image: _Image, intrinsics: Mapping[int, _Intrinsics]) -> RigCamera:
    where = f"{path}, image {image.name}"
    if image.camera not in intrinsics:
        refuse(where, f"camera {image.camera}", "export the model again", expected="a camera of the cameras file for each image")
    camera = intrinsics[image.camera]
    model = MODELS.get(camera.model)
    if model is None or model.to_lens is None:
        known = ", ".join(name for name, known in MODELS.items() if known.to_lens is not None)
        do = "run `colmap image_undistorter` and give the folder that it writes, with its pictures"
        refuse(where, f"the camera model {camera.model}", do, expected=f"one of {known}")
    if len(camera.parameters) != model.num_parameters:
        what = f"{len(camera.parameters)} parameters for {camera.model}"
        refuse(where, what, "export the model again", expected=f"{model.num_parameters} parameters")
    K, lens, coefficients = model.to_lens(*camera.parameters)
    w, x, y, z = image.quaternion
    require_finite(where, "the quaternion", image.quaternion)
    if np.linalg.norm(image.quaternion) < 1e-6:
        refuse(where, f"the quaternion {image.quaternion}", "export the model again", expected="a quaternion of a rotation")
    T_cam_world = rigid(Rotation.from_quat([x, y, z, w]).as_matrix(), np.array(image.translation))
    return make_camera(where, image.name, K, T_cam_world, camera.size, lens, coefficients)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]


def _read_cameras_txt(path: Path) -> dict[int, _Intrinsics]:
    cameras = {}
    for words in (line.split() for line in _lines(path) if line):
        cameras[int(words[0])] = _Intrinsics(words[1], (int(words[2]), int(words[3])), tuple(float(word) for word in words[4:]))
    return cameras


def _read_images_txt(path: Path) -> list[_Image]:
    """Every image has a second line with its points, which is empty where it has none."""
    images, lines = [], _lines(path)
    while lines and not lines[0]:
        lines.pop(0)
    for line, points in zip_longest(lines[::2], lines[1::2], fillvalue=""):
        words = line.split(maxsplit=9)
        # Some writers leave the second line out, and every other image would be lost.
        if len(points.split()) % 3:
            raise ValueError(f"{path.name} has no line of points after {line[:80]!r}")
        if len(words) == 10:
            values = tuple(float(word) for word in words[1:8])
            images.append(_Image(words[9], int(words[8]), values[:4], values[4:]))
        elif line:
            raise ValueError(f"{path.name} has a line that is no image: {line[:80]!r}")
    return images


class _Reader:
    """Little-endian numbers one after the other."""

    def __init__(self, path: Path) -> None:
        self._bytes, self._at = path.read_bytes(), 0

    def take(self, layout: str) -> tuple:
        values = struct.unpack_from(f"<{layout}", self._bytes, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def text(self) -> str:
        end = self._bytes.index(b"\0", self._at)
        text, self._at = self._bytes[self._at : end].decode("utf-8"), end + 1
        return text

    def skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._bytes):
            raise ValueError("the file ends too early")


def _read_cameras_bin(path: Path) -> dict[int, _Intrinsics]:
    reader, cameras = _Reader(path), {}
    by_number = {model.number: (name, model) for name, model in MODELS.items()}
    for _ in range(reader.take("Q")[0]):
        identifier, number, width, height = reader.take("IiQQ")
        if number not in by_number:
            raise ValueError(f"{path.name} has a camera model of number {number}")
        name, model = by_number[number]
        cameras[identifier] = _Intrinsics(name, (width, height), reader.take(f"{model.num_parameters}d"))
    return cameras


def _read_images_bin(path: Path) -> list[_Image]:
    reader, images = _Reader(path), []
    for _ in range(reader.take("Q")[0]):
        _, *pose, camera = reader.take("I7dI")
        name = reader.text()
        reader.skip(24 * reader.take("Q")[0])  # x, y, and the number of a 3D point for each keypoint.
        images.append(_Image(name, camera, tuple(pose[:4]), tuple(pose[4:])))
    return images


def write_colmap(folder: Path, cameras: Mapping[str, Camera]) -> tuple[Path, ...]:
    """Write cameras by picture name as a COLMAP text model: cameras.txt, images.txt, and a points3D.txt without points.

    Each picture gets a PINHOLE camera of its own; skew is refused with InputError, since no model of COLMAP has it. Lengths are
    metres, which the format cannot say.
    """
    camera_lines, image_lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"], ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"]
    for number, (name, camera) in enumerate(cameras.items(), start=1):
        if camera.K[0, 1] != 0:
            refuse(name, f"a skew of {camera.K[0, 1]} px", "undistort the pictures first", expected="cameras without skew for COLMAP")
        fx, fy, (cx, cy) = camera.K[0, 0], camera.K[1, 1], camera.K[:2, 2]
        camera_lines.append(f"{number} PINHOLE {camera.width} {camera.height} {_numbers(fx, fy, cx, cy)}")
        x, y, z, w = Rotation.from_matrix(camera.T_cam_world[:3, :3]).as_quat()
        image_lines += [f"{number} {_numbers(w, x, y, z, *camera.T_cam_world[:3, 3])} {number} {name}", ""]
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"cameras.txt": camera_lines, "images.txt": image_lines, "points3D.txt": ["# no points"]}
    return tuple(write_text(folder / name, "\n".join(lines) + "\n") for name, lines in texts.items())


def _numbers(*values: float) -> str:
    return " ".join(repr(float(value)) for value in values)
