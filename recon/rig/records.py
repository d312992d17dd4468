"""What every importer returns, and the checks that they share."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np

from assets.counting import how_many
from assets.errors import ConventionError, InputError, RangeError
from recon.lens import LensModel, check_lens
from recon.photo_formats import IMAGE_SUFFIXES
from render.camera import Camera

CameraUnit = Literal["", "m", "cm", "mm"]
"""Unit of camera positions; "" where the file states none."""
CameraAxes = Literal["opencv", "opengl"]

METRES: Mapping[CameraUnit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_UNIT_NAMES: Mapping[str, CameraUnit] = {
    "metres": "m", "meters": "m", "m": "m", "centimetres": "cm", "centimeters": "cm", "cm": "cm",
    "millimetres": "mm", "millimeters": "mm", "mm": "mm",
}  # fmt: skip

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])

Sizes = Mapping[str, tuple[int, int]]
"""Width and height of pictures by name, for formats that do not state them."""


@dataclasses.dataclass(frozen=True, eq=False)
class RigCamera:
    """One picture's camera, or that of all pictures which a name stands for."""

    image: str
    """Picture name as the file gives it: "images/neutral_cam00.jpg"; without suffix where the file names a camera ("cam00")."""
    camera: Camera
    """Of the undistorted picture. Metres, or the file's own unit where the rig's is ""."""
    distortion: tuple[float, ...] = ()
    """Coefficients of the lens model; empty for none."""
    lens: LensModel = "opencv"


@dataclasses.dataclass(frozen=True, eq=False)
class Rig:
    """The cameras of one file or folder, and how it was read."""

    path: Path
    """File or folder as it was given; pictures are looked for relative to its folder."""
    cameras: tuple[RigCamera, ...]
    format: str = "cameras.json"
    """Name of the format that was recognised, as in docs/cameras.md."""
    unit: CameraUnit = "m"
    """What the file's lengths were taken to be; "": unknown, and the cameras keep the file's own unit."""
    axes: CameraAxes = "opencv"
    """Camera axes that the file was read in."""
    inverted: bool = False
    """Whether the file's matrices were read in the direction opposite to what the format says."""
    notes: tuple[str, ...] = ()
    """What was left out of the file, and why."""

    @property
    def folder(self) -> Path:
        """The folder that picture names are relative to first."""
        return self.path if self.path.is_dir() else self.path.parent

    def find(self, image_path: Path) -> RigCamera | None:
        """The camera of a picture, by the first rule that gives exactly one.

        Its path relative to the file; the end of its path; its bare name; for names without a picture's suffix: its stem, the
        folder that it lies in, or a part of its stem ("smile_cam04.jpg" belongs to "cam04").
        """
        target = image_path.resolve()
        rules = (
            lambda name: (self.folder / name).resolve() == target,
            lambda name: target.parts[-len(name.parts) :] == name.parts,
            lambda name: name.name == target.name,
            lambda name: _has_no_suffix(name) and name.name == target.stem,
            lambda name: _has_no_suffix(name) and name.name == target.parent.name,
            lambda name: _has_no_suffix(name) and _is_part(name.name, target.stem),
        )
        for rule in rules:
            found = [entry for entry in self.cameras if rule(_as_path(entry.image))]
            if found:
                return found[0] if len(found) == 1 else None
        return None


def _as_path(image: str) -> Path:
    """A name in a file, which may have been written on Windows."""
    return Path(image.replace("\\", "/"))


def _has_no_suffix(name: Path) -> bool:
    return name.suffix.lower() not in IMAGE_SUFFIXES


def _is_part(name: str, stem: str) -> bool:
    """Whether a name stands at the start or end of a stem, set off by a sign that is no letter or digit."""
    if name == stem or not name:
        return False
    after = stem.startswith(name) and not stem[len(name)].isalnum()
    return after or (stem.endswith(name) and not stem[-len(name) - 1].isalnum())


def unit_named(name: object, where: str) -> CameraUnit:
    """The unit of a name such as "metres" or "mm". Raises ConventionError for another."""
    if not isinstance(name, str) or name.lower() not in _UNIT_NAMES:
        raise ConventionError(
            expected=f"units of {', '.join(sorted(_UNIT_NAMES))}", got=f"{name!r} in {where}", do="state the unit of the translations"
        )
    return _UNIT_NAMES[name.lower()]


def refuse(where: str, what: str, do: str, *, expected: str) -> NoReturn:
    """Raises InputError about a place in a file."""
    raise InputError(expected=expected, got=f"{where}: {what}", do=do)


def require_finite(where: str, what: str, values: np.ndarray | Sequence[float]) -> None:
    """Raises InputError that names file and camera (`where`), the field (`what`) and the place of a nan or infinity in (N,) or (R, C)."""
    table = np.asarray(values, np.float64)
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        first = tuple(bad[0])
        # Counted from one, as people count.
        place = ", ".join(f"{axis} {at + 1}" for axis, at in zip(("row", "column") if table.ndim == 2 else ("place",), first, strict=True))
        do = "calibrate this camera again, or take it out of the file: its pictures then go in as loose ones"
        refuse(where, f"{what} has {table[first]} in {place}", do, expected=f"finite numbers for {what}")


def make_camera(
    where: str,
    name: str,
    K: np.ndarray,
    T_cam_world: np.ndarray,
    size: tuple[int, int],
    lens: LensModel,
    distortion: Sequence[float],
) -> RigCamera:
    """A checked camera of a rig.

    Args:
        where: file and camera, for messages.
        K, T_cam_world: (3, 3) in pixels with centres at +0.5; (4, 4) to OpenCV axes.

    Raises ConventionError (intrinsics or rotation are none) or InputError (size or lens cannot be, or a number is nan).
    """
    for what, values in (("K", K), ("the pose", T_cam_world), ("the distortion", distortion)):
        require_finite(where, what, values)
    check_intrinsics(where, K)
    check_rigid(where, T_cam_world)
    if not all(int(side) == side and side > 0 for side in size):
        refuse(where, f"a picture of {size[0]} x {size[1]}", "correct width and height", expected="a picture size in whole pixels above 0")
    try:
        check_lens(lens, distortion, where=where)
    except RangeError as error:
        raise InputError(expected=error.expected, got=error.got, do=error.do) from error
    coefficients = tuple(float(value) for value in distortion)
    T_cam_world = rigid(nearest_rotation(T_cam_world[:3, :3]), T_cam_world[:3, 3])
    camera = Camera(K=K, T_cam_world=T_cam_world, width=int(size[0]), height=int(size[1]))
    return RigCamera(name, camera, coefficients if lens == "fisheye" or any(coefficients) else (), lens)


def check_unique(path: Path, cameras: Sequence[RigCamera]) -> None:
    """Raises InputError where no camera is left, or where two have one name."""
    if not cameras:
        refuse(str(path), "no camera with a pose in it", "export the cameras after they were aligned", expected="at least one posed camera")
    name, count = Counter(_as_path(entry.image) for entry in cameras).most_common(1)[0]
    if count > 1:
        do = "give each picture one camera, and pictures in different folders their folder in the name"
        refuse(str(path), f"{name} {count} times", do, expected="one camera for each picture name")


def check_intrinsics(where: str, K: np.ndarray) -> None:
    """Raises ConventionError where K is no upper triangle with positive focal lengths."""
    if not (np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0 and np.allclose(K[2], (0, 0, 1)) and K[1, 0] == 0):
        raise ConventionError(
            expected="K = [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] with positive focal lengths",
            got=f"{where}: {K.tolist()}",
            do="is it transposed?",
        )


def check_rigid(where: str, T_cam_world: np.ndarray) -> None:
    """Raises ConventionError where (4, 4) is no rotation with a translation."""
    rotation = T_cam_world[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if not error <= 1e-3 or np.linalg.det(rotation) < 0 or not np.allclose(T_cam_world[3], (0, 0, 0, 1)):
        what = f"rows off orthonormal by {error:.3g}, determinant {np.linalg.det(rotation):.3f}, last row {T_cam_world[3].tolist()}"
        raise ConventionError(
            expected="a pose as a rotation with a translation, last row 0 0 0 1",
            got=f"{where}: {what}",
            do="OpenCV axes have determinant +1; a mirrored axis (OpenGL to OpenCV flips two) or a scale must be taken out first",
        )


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(4, 4) of a rotation (3, 3) and a translation (3,)."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation, translation
    return T


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """(3, 3) rotation nearest to a matrix that was rounded when it was written (polar decomposition); exact ones stay to the bit."""
    if np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-12:
        return matrix
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def inverted(T: np.ndarray) -> np.ndarray:
    """(4, 4) inverse of a rigid transform whose rotation may have been rounded; its origin is met exactly."""
    rotation = nearest_rotation(T[:3, :3]).T
    return rigid(rotation, -rotation @ T[:3, 3])


def pinhole(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """(3, 3) intrinsics without skew."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def size_of(where: str, name: str, sizes: Sizes) -> tuple[int, int]:
    """Width and height of a picture that a file names without its size, by name, bare name or stem. Raises InputError where none is."""
    bare = Path(name)
    for key in (name, bare.name):
        if key in sizes:
            return sizes[key]
    stems = {size for key, size in sizes.items() if Path(key).stem in (bare.name, bare.stem)}
    if len(stems) == 1:
        return stems.pop()
    known = f"{how_many(len(sizes), 'picture')} known, such as {next(iter(sizes))}" if sizes else "no pictures known"
    return refuse(
        where,
        f"no picture {name} to take its size from ({known})",
        "put the pictures into the folder of the capture under the names in the file",
        expected="pictures of the names in the file, since this format does not state their size",
    )
