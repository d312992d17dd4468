"""Agisoft Metashape's camera XML (File > Export > Export Cameras, "Agisoft XML").

Published description: Metashape User Manual, appendix "Camera models" (agisoft.com/pdf/metashape-pro_2_1_en.pdf), restated for
export in Agisoft's article 31000158119; the layout of the XML as read by nerfstudio's process_data/metashape_utils.py. With
x = X/Z, y = Y/Z and r their length (in `fisheye` sensors scaled to the angle):

    x' = x (1 + K1 r^2 + K2 r^4 + K3 r^6 + K4 r^8) + P1 (r^2 + 2 x^2) + 2 P2 x y
    y' = y (1 + K1 r^2 + K2 r^4 + K3 r^6 + K4 r^8) + P2 (r^2 + 2 y^2) + 2 P1 x y
    u = w/2 + cx + x' (f + B1) + y' B2        v = h/2 + cy + y' f

so that P1 and P2 are exchanged against OpenCV, K4 is no rational term, and cx, cy count from the picture's middle. Camera
transforms map the camera (OpenCV axes) to the chunk; the transform of the camera's component, else of the chunk, takes its scale,
rotation and translation from there to the world.

Pixel centre: the principal point counts from the middle (w/2, h/2) of the picture's area, which is the corner rule of +0.5: no
shift. The manual's sentence on it could not be checked. Unit: metres where that transform has a scale and the chunk's `reference`
is a local system in metres, else none. Tried on an excerpt of a real file that was published with its camera's satellite position
and yaw (position within 5 cm, axes right); not yet tried on a whole real file, and the lens on none.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from assets.counting import how_many
from assets.errors import InputError
from recon.lens import LensModel
from recon.rig.records import CameraUnit, Rig, RigCamera, Sizes, check_rigid, inverted, make_camera, pinhole, refuse, require_finite, rigid

FORMAT = "Metashape XML"


@dataclasses.dataclass(frozen=True, eq=False)
class _Sensor:
    size: tuple[int, int]
    K: np.ndarray
    lens: LensModel
    distortion: tuple[float, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Similarity:
    """Chunk to world."""

    scale: float
    T: np.ndarray
    """(4, 4) rotation and translation, applied after the scale."""
    has_scale: bool


def is_metashape(root: ElementTree.Element) -> bool:
    """Whether an XML file has a chunk with cameras."""
    return root.find(".//chunk/cameras") is not None or (root.tag == "chunk" and root.find("cameras") is not None)


def read_metashape(path: Path, sizes: Sizes, root: ElementTree.Element) -> Rig:
    """The rig of a parsed camera XML: cameras with a pose; the others are noted.

    Raises InputError (no sensor, no calibration, a sensor type or a coefficient without a lens model) or ConventionError (no rotation).
    """
    chunks = [chunk for chunk in root.iter("chunk") if chunk.find("cameras") is not None]
    if len(chunks) > 1:
        refuse(str(path), f"{len(chunks)} chunks", "export the chunk alone", expected="one chunk with cameras")
    chunk = chunks[0]
    sensors = {sensor.get("id"): sensor for sensor in chunk.iterfind("sensors/sensor")}
    of_chunk = _similarity(f"{path}, chunk", chunk.find("transform"))
    components = {c.get("id"): _similarity(f"{path}, component {c.get('id')}", c.find("transform")) for c in chunk.iter("component")}
    cameras, used, left_out = [], [], []
    for camera in chunk.iterfind("cameras//camera"):
        label = camera.get("label") or ""
        if camera.find("transform") is None or camera.get("enabled") in ("0", "false"):
            left_out.append(label)
            continue
        where = f"{path}, camera {label}"
        used.append(components.get(camera.get("component_id")) or of_chunk)
        cameras.append(_read_camera(where, camera, _sensor(where, sensors.get(camera.get("sensor_id"))), used[-1]))
    notes = (f"{how_many(len(left_out), 'camera')} of {path.name} not aligned, or disabled (such as {left_out[0]})",) if left_out else ()
    unit: CameraUnit = "m" if _is_in_metres(chunk) and all(similarity and similarity.has_scale for similarity in used) else ""
    return Rig(path, tuple(cameras), FORMAT, unit, notes=notes)


def _is_in_metres(chunk: ElementTree.Element) -> bool:
    """Whether the chunk's own reference is a local system whose unit is the metre; a camera's <reference> lies deeper."""
    text = "".join((chunk.findtext("reference") or "").split()).lower()
    return text.startswith("local_cs") and ('unit["metre",1' in text or 'unit["meter",1' in text)


def _similarity(where: str, transform: ElementTree.Element | None) -> _Similarity | None:
    if transform is None:
        return None
    scale = _floats(where, transform, "scale", 1)
    rotation, translation = _floats(where, transform, "rotation", 9), _floats(where, transform, "translation", 3)
    T = rigid(np.eye(3) if rotation is None else rotation.reshape(3, 3), np.zeros(3) if translation is None else translation)
    check_rigid(where, T)
    if scale is not None and not scale[0] > 0:
        refuse(where, f"a scale of {scale[0]}", "export the cameras again", expected="a scale above 0")
    return _Similarity(1.0 if scale is None else float(scale[0]), T, scale is not None)


def _read_camera(where: str, camera: ElementTree.Element, sensor: _Sensor, to_world: _Similarity | None) -> RigCamera:
    pose = _floats(where, camera, "transform", 16)
    T_chunk_cam = np.eye(4) if pose is None else pose.reshape(4, 4)
    check_rigid(where, T_chunk_cam)
    if to_world is not None:
        T_chunk_cam[:3, 3] *= to_world.scale
        T_chunk_cam = to_world.T @ T_chunk_cam
    label = camera.get("label") or ""
    return make_camera(where, label, sensor.K, inverted(T_chunk_cam), sensor.size, sensor.lens, sensor.distortion)


def _sensor(where: str, sensor: ElementTree.Element | None) -> _Sensor:
    calibrations = [] if sensor is None else sensor.findall("calibration")
    adjusted = [calibration for calibration in calibrations if calibration.get("class") == "adjusted"]
    if sensor is None or not calibrations:
        refuse(where, "no sensor with a calibration", "export the cameras after they were aligned", expected="a calibrated sensor")
    calibration = (adjusted or calibrations)[0]
    resolution = calibration.find("resolution")
    resolution = sensor.find("resolution") if resolution is None else resolution
    if resolution is None:
        refuse(where, "no resolution", "export the cameras again", expected="the resolution of the sensor")
    size = _side(where, resolution, "width"), _side(where, resolution, "height")
    kind = calibration.get("type") or sensor.get("type") or "frame"
    c = {name: _value(where, calibration, name) for name in ("f", *_COEFFICIENTS)}
    if not c["f"] > 0:
        refuse(where, f"f = {c['f']}", "export with Metashape 1.2 or newer", expected="the focal length f in pixels")
    lens, distortion = _lens(where, kind, c)
    return _Sensor(size, pinhole(c["f"] + c["b1"], c["f"], size[0] / 2 + c["cx"], size[1] / 2 + c["cy"]), lens, distortion)


_COEFFICIENTS = ("cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2", "p3", "p4")
"""Metashape leaves out those that are 0."""


def _lens(where: str, kind: str, c: dict[str, float]) -> tuple[LensModel, tuple[float, ...]]:
    higher = [name for name in ("p3", "p4") if c[name]]
    if kind == "frame" and not higher:
        return "brown", (c["k1"], c["k2"], c["p2"], c["p1"], c["k3"], c["k4"], c["b2"] / (c["f"] + c["b1"]))
    unfit = [name for name in ("p1", "p2", "b2", *higher) if c[name]]
    if kind == "fisheye" and not unfit:
        return "fisheye", (c["k1"], c["k2"], c["k3"], c["k4"])
    refuse(
        where,
        f"a {kind} sensor" + (f" with {', '.join(unfit)}" if unfit else ""),
        "export undistorted pictures and their cameras, or optimise the cameras without these coefficients",
        expected="a frame sensor without p3, p4, or a fisheye sensor without p1 to p4 and b2",
    )


def _side(where: str, resolution: ElementTree.Element, name: str) -> int:
    text = resolution.get(name) or ""
    if not text.isdecimal():
        refuse(where, f"{name} = {text!r}", "export the cameras again", expected="the resolution of the sensor in whole pixels")
    return int(text)


def _value(where: str, parent: ElementTree.Element, name: str) -> float:
    values = _floats(where, parent, name, 1)
    return 0.0 if values is None else float(values[0])


def _floats(where: str, parent: ElementTree.Element, name: str, count: int) -> np.ndarray | None:
    text = parent.findtext(name)
    if text is None or not text.strip():
        return None
    try:
        values = np.array(text.split(), np.float64)
    except ValueError as error:
        raise InputError(expected=f"numbers in <{name}>", got=f"{where}: {error}", do="export the cameras again") from error
    if values.size != count:
        refuse(where, f"<{name}> with {values.size} numbers", "export the cameras again", expected=f"{count} finite numbers")
    require_finite(where, f"<{name}>", values)
    return values
