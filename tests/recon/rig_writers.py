"""Cameras without any symmetry, and files in other tools' formats made from them by the formulas of the formats. Not a test itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from render.camera import Camera

FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """One camera as the writers get it: the formulas below never go through the library's own."""

    name: str
    T_cam_world: np.ndarray
    """(4, 4), OpenCV axes, metres."""
    fx: float
    fy: float
    cx: float
    cy: float
    """Pixels, centres at +0.5."""
    width: int
    height: int

    @property
    def camera(self) -> Camera:
        K = np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])
        return Camera(K=K, T_cam_world=self.T_cam_world, width=self.width, height=self.height)

    @property
    def T_world_cam(self) -> np.ndarray:
        return np.linalg.inv(self.T_cam_world)


def truths(count: int = 3, *, width: int = 1300, height: int = 900, square: bool = False) -> list[Truth]:
    """Cameras round (0.1, -0.2, 0.3) at about a metre, all looking roughly there, each with intrinsics of its own."""
    cameras = []
    rng = np.random.default_rng(12)
    for index in range(count):
        R = Rotation.from_euler("yxz", [40 * index - 50, 13 - 9 * index, 8 * index - 5], degrees=True).as_matrix()
        T = np.eye(4)
        T[:3, :3] = R
        T[:3, 3] = np.array([0.02, -0.03, 1.1 + 0.1 * index]) - R @ np.array([0.1, -0.2, 0.3])
        fx = 1210.5 + 31.25 * index
        fy = fx if square else fx - 7.5
        cx, cy = width / 2 + rng.uniform(-30, 30), height / 2 + rng.uniform(-30, 30)
        cameras.append(Truth(f"cam{index:02d}.png", T, fx, fy, cx, cy, width, height))
    return cameras


def some_points(seed: int = 5) -> np.ndarray:
    """(40, 3) world points before all of `truths`."""
    return np.array([0.1, -0.2, 0.3]) + np.random.default_rng(seed).uniform(-0.25, 0.25, (40, 3))


def brown(
    truth: Truth, points: np.ndarray, k: tuple[float, ...] = (), p: tuple[float, float] = (0.0, 0.0), *, skew_px: float = 0.0
) -> np.ndarray:
    """(N, 2) pixels by Brown's polynomial, k in r^2, r^4, ...; p in OpenCV's order, written out."""
    q = points @ truth.T_cam_world[:3, :3].T + truth.T_cam_world[:3, 3]
    x, y = q[:, 0] / q[:, 2], q[:, 1] / q[:, 2]
    r = np.hypot(x, y)
    radial = 1 + sum(value * r ** (2 * n) for n, value in enumerate(k, start=1))
    u = x * radial + 2 * p[0] * x * y + p[1] * (r**2 + 2 * x**2)
    v = y * radial + p[0] * (r**2 + 2 * y**2) + 2 * p[1] * x * y
    return np.stack([truth.fx * u + skew_px * v + truth.cx, truth.fy * v + truth.cy], 1)


def fisheye(truth: Truth, points: np.ndarray, k: tuple[float, ...]) -> np.ndarray:
    """(N, 2) pixels of an equidistant lens with a polynomial in the angle."""
    q = points @ truth.T_cam_world[:3, :3].T + truth.T_cam_world[:3, 3]
    angle = np.arctan2(np.hypot(q[:, 0], q[:, 1]), q[:, 2])
    bent = angle * (1 + sum(value * angle ** (2 * n) for n, value in enumerate(k, start=1)))
    slope = q[:, :2] / np.hypot(q[:, 0], q[:, 1])[:, None] * bent[:, None]
    return slope * [truth.fx, truth.fy] + [truth.cx, truth.cy]


def transforms_json(path: Path, cameras: list[Truth], lens: dict | None = None, *, edit=None) -> Path:
    """Camera to world in OpenGL axes, shared lens, intrinsics in each frame."""
    frames = [
        {
            "file_path": f"./images/{c.name}", "transform_matrix": (c.T_world_cam @ FLIP_YZ).tolist(),
            "fl_x": c.fx, "fl_y": c.fy, "cx": c.cx, "cy": c.cy, "w": c.width, "h": c.height,
        }
        for c in cameras
    ]  # fmt: skip
    content = {**(lens or {}), "frames": frames}
    if edit is not None:
        edit(content)
    path.write_text(json.dumps(content))
    return path


def opencv_yaml(path: Path, camera: Truth, distortion: tuple[float, ...], *, rodrigues: bool = True, fisheye_model: bool = False) -> Path:
    """One camera by OpenCV's own FileStorage; its pixel centres are whole numbers."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", camera.width)
    storage.write("image_height", camera.height)
    storage.write("camera_matrix", np.array([[camera.fx, 0, camera.cx - 0.5], [0, camera.fy, camera.cy - 0.5], [0, 0, 1]]))
    storage.write("distortion_coefficients", np.array(distortion, np.float64).reshape(-1, 1))
    if fisheye_model:
        storage.write("fisheye_model", 1)
    rotation, translation = camera.T_cam_world[:3, :3], camera.T_cam_world[:3, 3:]
    storage.write("rvec" if rodrigues else "R", cv2.Rodrigues(rotation)[0] if rodrigues else rotation)
    storage.write("tvec" if rodrigues else "T", translation)
    storage.release()
    return path


def metashape_xml(
    path: Path,
    cameras: list[Truth],
    lens: dict[str, float],
    *,
    scale: float | None = 0.5,
    kind: str = "frame",
    reference: str = "local",
    in_component: bool = True,
    edit=None,
) -> Path:
    """A chunk whose component has a scale, a rotation and a translation; every camera has a sensor of its own."""
    R = Rotation.from_euler("xyz", [20, -35, 80], degrees=True).as_matrix()
    t = np.array([0.7, -1.3, 2.1])
    sensors, entries = [], []
    for index, c in enumerate(cameras):
        values = {"f": c.fy, "cx": c.cx - c.width / 2, "cy": c.cy - c.height / 2, "b1": c.fx - c.fy, **lens}
        calibration = "".join(f"<{name}>{value!r}</{name}>" for name, value in values.items() if value)
        size = f'<resolution width="{c.width}" height="{c.height}"/>'
        initial = f'<calibration type="{kind}" class="initial">{size}<f>1.0</f></calibration>'
        adjusted = f'<calibration type="{kind}" class="adjusted">{size}{calibration}</calibration>'
        sensors.append(f'<sensor id="{index}" type="{kind}">{size}{initial}{adjusted}</sensor>')
        # World = scale R p + t, so p = R^T (world - t) / scale; rotations go without the scale.
        T = np.eye(4)
        T[:3, :3] = R.T @ c.T_world_cam[:3, :3]
        T[:3, 3] = R.T @ (c.T_world_cam[:3, 3] - t) / (scale or 1.0)
        numbers = " ".join(repr(float(value)) for value in T.ravel())
        entries.append(
            f'<camera id="{index}" sensor_id="{index}" component_id="0" label="{Path(c.name).stem}"><transform>{numbers}</transform>'
            '<reference x="1" y="2" z="3" enabled="1"/></camera>'
        )
    entries.append('<camera id="77" sensor_id="0" component_id="0" label="lost"/>')
    rotation, translation = (" ".join(repr(float(value)) for value in values.ravel()) for values in (R, t))
    scale_text = "" if scale is None else f"<scale>{scale!r}</scale>"
    transform = f"<transform><rotation>{rotation}</rotation><translation>{translation}</translation>{scale_text}</transform>"
    component = f'<components><component id="0" label="Component 1">{transform if in_component else ""}</component></components>'
    local = 'LOCAL_CS["Local Coordinates (m)",LOCAL_DATUM["Local Datum",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]]]'
    references = {"local": f"<reference>{local}</reference>", "none": ""}
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><document version="2.0.0"><chunk label="Chunk 1" enabled="true"><sensors>{"".join(sensors)}'
        f"</sensors>{component}<cameras>{''.join(entries)}</cameras>{'' if in_component else transform}{references[reference]}"
        "</chunk></document>"
    )
    path.write_text(text if edit is None else edit(text))
    return path


def realityscan_csv(
    path: Path,
    cameras: list[Truth],
    k: tuple[float, ...] = (0, 0, 0, 0),
    t: tuple[float, float] = (0, 0),
    *,
    newer: bool = False,
    edit=None,
) -> Path:
    """Square pixels only, as the format has one focal length; px and py are shares of the longer side."""
    old, new = (
        "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2",
        "#name,x,y,alt,yaw,pitch,roll,f_35mm,px_norm,py_norm,k1,k2,k3,k4,t1,t2",
    )
    lines = [f"#cameras {len(cameras)}", new if newer else old]
    for c in cameras:
        R_world_camgl = (c.T_world_cam @ FLIP_YZ)[:3, :3]
        # Rz(-heading) Rx(pitch) Ry(roll), read off the matrix: its third row is (-cos p sin r, sin p, cos p cos r).
        pitch = np.degrees(np.arcsin(R_world_camgl[2, 1]))
        roll = np.degrees(np.arctan2(-R_world_camgl[2, 0], R_world_camgl[2, 2]))
        heading = np.degrees(np.arctan2(R_world_camgl[0, 1], R_world_camgl[1, 1]))
        side = max(c.width, c.height)
        offsets = (c.cx - c.width / 2) / side, (c.cy - c.height / 2) / side
        values = (*c.T_world_cam[:3, 3], heading, pitch, roll, c.fx * 36 / side, *offsets, *k, *t)
        lines.append(",".join([c.name, *(f"{value:.17e}" for value in values)]))
    text = "\n".join(lines) + "\n"
    path.write_text(text if edit is None else edit(text))
    return path
