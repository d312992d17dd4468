"""RealityCapture / RealityScan CSV, "Internal/External camera parameters" (Alignment > Registration).

Published description: the export template in RealityScan's own `calibration.xml` (columns
`#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2`, in newer versions `yaw`, `f_35mm`, `px_norm`, `py_norm`) and
"RealityCapture XMP Camera Math" (dev.epicgames.com/community/learning/knowledge-base/vzwB). x, y, alt is the camera's centre;

    R_world_camgl = Rz(-heading) Rx(pitch) Ry(roll)        (OpenGL camera axes, degrees)
    focal px = f max(w, h) / 36,        principal point = (w/2, h/2) + (px, py) max(w, h)

and Brown's lens with k1 to k4 on r^2 to r^8. The template "OpenCV-compliant" of the same file writes `k1,k2,t2,t1,k3`, so that t1 and
t2 are exchanged against OpenCV. The rotation is checked against a heading, pitch, roll and the matrix of the same camera's XMP as
a user published them (forums.unrealengine.com/t/710449). The file does not name its lens model: with "Division", export
undistorted pictures. It has no picture sizes either: they are those of the pictures.

Pixel centre: the principal point counts from the middle of the picture's area (w/2, h/2), taken as the corner rule of +0.5: no shift;
no published sentence on it was found. Unit: none stated. Not yet tried on a real file.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from assets.errors import InputError
from recon.rig.records import OPENGL_FROM_OPENCV, Rig, RigCamera, Sizes, inverted, make_camera, pinhole, refuse, rigid, size_of

FORMAT = "RealityScan CSV"

_ALIASES = {"yaw": "heading", "f_35mm": "f", "px_norm": "px", "py_norm": "py"}
_REQUIRED = ("name", "x", "y", "alt", "heading", "pitch", "roll", "f")
_OPTIONAL = ("px", "py", "k1", "k2", "k3", "k4", "t1", "t2")


def header(text: str) -> list[str] | None:
    """The columns of a CSV in this format, by their older names; None for another CSV. A line "#cameras N" may stand before."""
    for line in text.splitlines()[:3]:
        columns = [word.strip().lstrip("#").lower() for word in line.split(",")]
        columns = [_ALIASES.get(column, column) for column in columns]
        if all(column in columns for column in _REQUIRED):
            return columns
    return None


def read_realityscan(path: Path, sizes: Sizes, text: str) -> Rig:
    """The rig of a CSV's text; picture sizes come from `sizes`. Raises InputError for cells that are no numbers or missing."""
    columns = header(text)
    if columns is None:
        refuse(
            str(path), f"{text.splitlines()[:1]}", "export Internal/External camera parameters", expected=f"columns {', '.join(_REQUIRED)}"
        )
    rows = [row for row in csv.reader(text.splitlines()) if row and not row[0].lstrip().startswith("#") and any(map(str.strip, row))]
    if rows and [word.strip().lower() for word in rows[0][:2]] == ["name", "x"]:
        rows = rows[1:]
    return Rig(path, tuple(_read_row(path, dict(zip(columns, row, strict=False)), sizes) for row in rows), FORMAT, unit="")


def _read_row(path: Path, cells: dict[str, str], sizes: Sizes) -> RigCamera:
    name = cells["name"].strip()
    where = f"{path}, camera {name}"
    v = {key: _number(where, cells, key) for key in (*_REQUIRED[1:], *_OPTIONAL)}
    width, height = size_of(where, name, sizes)
    long_side = max(width, height)
    focal = v["f"] * long_side / 36
    K = pinhole(focal, focal, width / 2 + v["px"] * long_side, height / 2 + v["py"] * long_side)
    R_world_camgl = Rotation.from_euler("ZXY", [-v["heading"], v["pitch"], v["roll"]], degrees=True).as_matrix()
    T_world_camgl = rigid(R_world_camgl, np.array([v["x"], v["y"], v["alt"]]))
    distortion = (v["k1"], v["k2"], v["t2"], v["t1"], v["k3"], v["k4"], 0.0)
    return make_camera(where, name, K, OPENGL_FROM_OPENCV @ inverted(T_world_camgl), (width, height), "brown", distortion)


def _number(where: str, cells: dict[str, str], key: str) -> float:
    text = cells.get(key, "").strip()
    if key in _OPTIONAL and not text:
        return 0.0
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(expected=f"a number for {key}", got=f"{where}: {text!r}", do="export the cameras again") from error
    if not np.isfinite(value):
        refuse(where, f"{key} = {text}", "export the cameras again", expected=f"a finite number for {key}")
    return value
