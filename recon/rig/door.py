"""The one door for camera files: recognises the format, reads it, and applies what the user says about its conventions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np

from assets.errors import ConventionError, InputError
from recon.rig import colmap, metashape, opencv, plain, realityscan, transforms
from recon.rig.records import METRES, OPENGL_FROM_OPENCV, CameraAxes, CameraUnit, Rig, RigCamera, Sizes, check_unique, inverted

KNOWN_FORMATS = (
    "cameras.json",
    "a COLMAP model (cameras and images, .bin or .txt, or a folder with sparse/0)",
    "transforms.json of nerfstudio or instant-ngp",
    "OpenCV YAML or JSON",
    "Metashape XML",
    "RealityScan CSV",
)

# Double precision in metres is fine there, but a head's triangulation is not: positions on the globe.
_FARTHEST = 1e6


def load_rig(
    path: Path | str,
    *,
    sizes: Sizes | None = None,
    unit: CameraUnit | Literal["unknown"] | None = None,
    invert: bool = False,
    axes: CameraAxes | None = None,
) -> Rig:
    """Read calibrated cameras of any known format; `Rig.format` says which it was.

    Args:
        sizes: width and height of the pictures by name, for formats that do not state them.
        unit: of the camera positions, "m", "cm", "mm" or "unknown"; goes before what the file says. None: what the file says.
        invert: read the file's matrices in the direction opposite to what its format says.
        axes: camera axes of the file; None: what its format says.

    Positions are in metres where a unit is known; else `Rig.unit` is "" and they keep the file's own. Raises InputError (no file,
    unknown format, fields missing, duplicate names) or ConventionError (no rotation, unknown unit).
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            expected="a file or folder with cameras", got=f"{path}, which does not exist", do="check the path given for the cameras"
        )
    rig = _read(path, sizes or {})
    check_unique(path, rig.cameras)
    return _in_metres(_reread(rig, invert=invert, axes=axes or rig.axes), rig.unit if unit is None else "" if unit == "unknown" else unit)


def rig_files(path: Path) -> tuple[Path, ...]:
    """The files that `load_rig` reads from a path; empty where it leads to none."""
    if path.is_dir() and (path / "cameras.json").is_file():
        return (path / "cameras.json",)  # It states a unit, which a COLMAP model beside it does not.
    if path.is_dir() or path.name in ("cameras.bin", "cameras.txt", "images.bin", "images.txt"):
        return colmap.model_files(path) or _folder_files(path)
    return (path,)


def _folder_files(path: Path) -> tuple[Path, ...]:
    """A folder without a COLMAP model may hold one of the files with a fixed name, or OpenCV's, one for each camera."""
    if not path.is_dir():
        return ()
    named = next((path / name for name in ("cameras.json", "transforms.json") if (path / name).is_file()), None)
    return (named,) if named is not None else opencv.opencv_files(path)


def _read(path: Path, sizes: Sizes) -> Rig:
    files = rig_files(path)
    if not files:
        raise _unknown(path)
    if files == colmap.model_files(path):
        return colmap.read_colmap(path, sizes)
    if path.is_dir() and files[0].suffix.lower() in opencv.SUFFIXES:
        return opencv.read_opencv(path, sizes)
    file = files[0]
    suffix = file.suffix.lower()
    if suffix == ".json":
        return _read_json(file, sizes)
    if suffix in opencv.SUFFIXES:
        return opencv.read_opencv(file, sizes)
    if suffix == ".xml":
        return _read_xml(file, sizes)
    text = _text(file)
    if realityscan.header(text) is None:
        raise _unknown(file)
    return realityscan.read_realityscan(file, sizes, text)


def _read_json(path: Path, sizes: Sizes) -> Rig:
    try:
        content: Any = json.loads(_text(path))
    except ValueError as error:
        raise InputError(expected=f"{path.name} in JSON", got=f"{path}: {error}", do="write the file again") from error
    if isinstance(content, dict) and "frames" in content:
        return transforms.read_transforms(path, sizes, content)
    # A plain cameras.json has K in each camera as well, under its own key "cameras".
    if opencv.is_opencv(content) and "cameras" not in content:
        return opencv.read_opencv(path, sizes)
    if isinstance(content, dict) and ("cameras" in content or path.name == "cameras.json"):
        return plain.read_plain(path, sizes, content)
    raise _unknown(path)


def _read_xml(path: Path, sizes: Sizes) -> Rig:
    text = _text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        # Entities can grow without bound, and no exporter writes them.
        raise InputError(expected="an XML file without a document type", got=f"{path} with DOCTYPE or ENTITY", do="export it again")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(expected="a Metashape camera file in XML", got=f"{path}: {error}", do="export it again") from error
    if not metashape.is_metashape(root):
        raise _unknown(path)
    return metashape.read_metashape(path, sizes, root)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(expected="a camera file in text", got=f"{path}: {error}", do="export it again") from error


def _unknown(path: Path) -> InputError:
    what = "a folder without any of them" if path.is_dir() else f"{path.suffix or 'no suffix'} with other content"
    return InputError(
        expected="one of: " + "; ".join(KNOWN_FORMATS), got=f"{path}, {what}", do="export the cameras in one of these formats"
    )


def _reread(rig: Rig, *, invert: bool, axes: CameraAxes) -> Rig:
    """The rig with its matrices taken otherwise than its format says."""
    if axes not in ("opencv", "opengl"):
        raise ConventionError(expected="camera axes opencv or opengl", got=repr(axes), do="name one of them")
    if not invert and axes == rig.axes:
        return rig
    cameras = tuple(_with_pose(entry, reread(entry.camera.T_cam_world, rig.axes, False, axes, invert)) for entry in rig.cameras)
    return dataclasses.replace(rig, cameras=cameras, axes=axes, inverted=invert)


def reread(T_cam_world: np.ndarray, axes: CameraAxes, is_inverted: bool, new_axes: CameraAxes, new_inverted: bool) -> np.ndarray:
    """(4, 4) to OpenCV axes, of the matrix in a file that gave `T_cam_world` with one pair of readings, with another pair."""
    T_file = _axes(axes) @ T_cam_world
    T_file = inverted(T_file) if is_inverted != new_inverted else T_file
    return _axes(new_axes) @ T_file


def _axes(axes: CameraAxes) -> np.ndarray:
    return np.eye(4) if axes == "opencv" else OPENGL_FROM_OPENCV


def _in_metres(rig: Rig, unit: CameraUnit) -> Rig:
    if unit and unit not in METRES:
        raise ConventionError(expected=f"a unit of {', '.join(METRES)} or unknown", got=repr(unit), do="name one of them")
    factor = METRES.get(unit, 1.0)
    cameras = []
    for entry in rig.cameras:
        T_cam_world = entry.camera.T_cam_world.copy()
        T_cam_world[:3, 3] *= factor
        if not np.abs(T_cam_world[:3, 3]).max() < _FARTHEST:
            got = f"{rig.path}, camera {entry.image}: {np.abs(T_cam_world[:3, 3]).max():.3g} from the origin"
            raise ConventionError(
                expected="cameras near the origin of their world", got=got, do="export in a local coordinate system, or check the unit"
            )
        cameras.append(entry if factor == 1.0 else _with_pose(entry, T_cam_world))
    return dataclasses.replace(rig, cameras=tuple(cameras), unit=unit)


def _with_pose(entry: RigCamera, T_cam_world: np.ndarray) -> RigCamera:
    return dataclasses.replace(entry, camera=dataclasses.replace(entry.camera, T_cam_world=T_cam_world))
