"""Sweeps made in Python: orbits, head turns, expression ramps; framing and depth range are locked over each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from assets.errors import RangeError
from render.camera import Camera, look_at
from render.head_pose import Gaze, HeadPose
from render.mesh import vertex_normals
from render.sweep import Frame, Posable, Sweep

DEFAULT_FOV_Y_DEG = 20.0
"""A portrait lens: about 70 mm on a full-frame camera held upright."""

FILL = 0.9
"""Share of the picture's height or width that the head takes at most."""

ORBIT_DEG: tuple[tuple[float, float], ...] = tuple((float(yaw), 0.0) for yaw in range(-90, 91, 15))
"""(yaw, pitch) from which the resting head fits into the picture in every sweep."""

DEPTH_MARGIN_M = 0.01
"""Added before near and behind far: expressions move the surface by about this much beyond the neutral head."""

AHEAD = Gaze()
"""Eyes straight ahead in the head."""

MAX_POSES = 64
"""Head poses that are really posed to measure framing and depth range; longer sweeps are sampled evenly."""


def orbit(
    posable: Posable,
    *,
    yaw_deg: Sequence[float],
    pitch_deg: float | Sequence[float] = 0.0,
    weights: Mapping[str, float] | None = None,
    gaze: Gaze = AHEAD,
    width: int = 512,
    height: int = 512,
    fov_y_deg: float = DEFAULT_FOV_Y_DEG,
) -> Sweep:
    """The camera goes round the resting head; one frame for each yaw.

    The angles say what one sees, with the signs of HeadPose: at yaw +90 the camera stands at the subject's right (-X), the face
    points to the right side of the picture as if turned to the subject's own left, and the right ear shows. At positive pitch
    the camera stands lower, as if the subject looked up. The head's up stays up in the picture.

    Raises RangeError for no yaw, or for as many pitches as are neither one nor one a yaw.
    """
    yaws, pitches = _together(yaw_deg=yaw_deg, pitch_deg=pitch_deg)
    angles = list(zip(yaws, pitches, strict=True))
    framing = _Framing.of(posable, angles_deg=angles, width=width, height=height, fov_y_deg=fov_y_deg)
    cameras = [framing.camera(yaw, pitch) for yaw, pitch in angles]
    frames = [Frame("", camera, weights=dict(weights or {}), gaze=gaze) for camera in cameras]
    return _locked(posable, frames)


def head_turn(
    posable: Posable,
    *,
    yaw_deg: Sequence[float],
    pitch_deg: float | Sequence[float] = 0.0,
    roll_deg: float | Sequence[float] = 0.0,
    weights: Mapping[str, float] | None = None,
    gaze: Gaze = AHEAD,
    width: int = 512,
    height: int = 512,
    fov_y_deg: float = DEFAULT_FOV_Y_DEG,
) -> Sweep:
    """The head turns on its neck before a camera fixed straight in front; one frame for each yaw. Raises as orbit does."""
    angles = _together(yaw_deg=yaw_deg, pitch_deg=pitch_deg, roll_deg=roll_deg)
    poses = [HeadPose(*pose) for pose in zip(*angles, strict=True)]
    camera = _Framing.of(posable, poses=poses, width=width, height=height, fov_y_deg=fov_y_deg).camera(0.0, 0.0)
    return _locked(posable, [Frame("", camera, pose, dict(weights or {}), gaze) for pose in poses])


def expression_ramp(
    posable: Posable,
    *,
    weights: Mapping[str, float],
    num_frames: int,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    width: int = 512,
    height: int = 512,
    fov_y_deg: float = DEFAULT_FOV_Y_DEG,
) -> Sweep:
    """From neutral in the first frame to `weights` in the last, in equal steps, seen from one orbit camera; num_frames >= 2."""
    if num_frames < 2:
        raise RangeError(
            expected="num_frames of 2 or more", got=repr(num_frames), do="the first frame is neutral, the last the full expression"
        )
    framing = _Framing.of(posable, angles_deg=[(yaw_deg, pitch_deg)], width=width, height=height, fov_y_deg=fov_y_deg)
    camera = framing.camera(yaw_deg, pitch_deg)
    shares = np.linspace(0, 1, num_frames)
    ramp = [{name: float(share * weight) for name, weight in weights.items()} for share in shares]
    return _locked(posable, [Frame("", camera, weights=step) for step in ramp])


def concatenate(sweeps: Sequence[Sweep]) -> Sweep:
    """All frames one after the other, renamed "0000" onward, under the one depth range that holds them all."""
    if not sweeps:
        raise RangeError(expected="one sweep or more", got="none", do="give the sweeps to join")
    near, far = min(sweep.depth_range_m[0] for sweep in sweeps), max(sweep.depth_range_m[1] for sweep in sweeps)
    return Sweep(_numbered([frame for sweep in sweeps for frame in sweep.frames]), (near, far))


def resized(sweep: Sweep, *, width: int, height: int) -> Sweep:
    """The same sweep at another picture size, pixels kept square.

    Another aspect ratio shows more of the scene on two sides: the picture is scaled by the smaller ratio and stays centred.
    """
    return dataclasses.replace(sweep, frames=tuple(dataclasses.replace(f, camera=_refitted(f.camera, width, height)) for f in sweep.frames))


def depth_range(posable: Posable, frames: Sequence[Frame]) -> tuple[float, float]:
    """(near, far) in metres that hold what the cameras of all frames can see of the neutral head in each head pose.

    Far is the farthest point of the surface that faces a camera, not the back of the head: the range is used widely.
    """
    by_pose: dict[HeadPose, list[Frame]] = {}
    for frame in frames:
        by_pose.setdefault(frame.head_pose, []).append(frame)
    near, far = np.inf, -np.inf
    for pose in _some(list(by_pose)):
        mesh = posable.pose(dataclasses.replace(by_pose[pose][0], weights={}))
        normals = vertex_normals(mesh.vertices, mesh.triangles)
        for frame in by_pose[pose]:
            low, high = _facing_range(mesh.vertices, normals, frame.camera)
            near, far = min(near, low), max(far, high)
    near, far = near - DEPTH_MARGIN_M, far + DEPTH_MARGIN_M
    if not 0 < near < far:
        raise RangeError(
            expected="a head that lies before every camera", got=f"depth range {(near, far)}", do="move the cameras away from the head"
        )
    return float(near), float(far)


@dataclasses.dataclass(frozen=True, eq=False)
class _Framing:
    """One distance and one lens for a sweep: the middle of the neutral head in the middle of the picture."""

    T_world_head: np.ndarray
    centre_head: np.ndarray
    distance_m: float
    lens: dict[str, float]

    @classmethod
    def of(
        cls,
        posable: Posable,
        *,
        poses: Sequence[HeadPose] = (),
        angles_deg: Sequence[tuple[float, float]] = (),
        width: int,
        height: int,
        fov_y_deg: float,
    ) -> _Framing:
        """The smallest distance at which the head, resting or in one of `poses`, stays inside the picture from all angles.

        The angles of ORBIT_DEG always count, so that ordinary sweeps of one head share one framing; (yaw, pitch) are added to them.
        """
        T_world_head = np.asarray(posable.T_world_head, np.float64)
        eyes, front, up = T_world_head[:3, 3], T_world_head[:3, 2], T_world_head[:3, 1]
        lens = {"fov_y_deg": fov_y_deg, "width": width, "height": height}
        probe = Frame("probe", look_at(eyes + front, eyes, up=up, **lens))  # pyright: ignore[reportArgumentType]
        neutral, *posed = ((posable.pose(frame).vertices - eyes) @ T_world_head[:3, :3] for frame in _in_poses(probe, poses))
        centre = (neutral.min(0) + neutral.max(0)) / 2
        views = [_view_axes(yaw, pitch) for yaw, pitch in (*ORBIT_DEG, *angles_deg)]
        half_height = FILL * np.tan(np.radians(fov_y_deg) / 2)
        half_size = np.array([half_height * width / height, half_height])
        turned = [(points, _view_axes(0.0, 0.0)) for points in posed]
        distance = max(
            _needed_distance((points - centre) @ axes.T, half_size) for points, axes in [*((neutral, v) for v in views), *turned]
        )
        return cls(T_world_head, centre, distance, lens)

    def camera(self, yaw_deg: float, pitch_deg: float) -> Camera:
        """The camera that sees the resting head at this yaw and pitch."""
        _, up, away = _view_axes(yaw_deg, pitch_deg)
        R_world_head = self.T_world_head[:3, :3]
        target = R_world_head @ self.centre_head + self.T_world_head[:3, 3]
        position = target + self.distance_m * (R_world_head @ away)
        return look_at(position, target, up=R_world_head @ up, **self.lens)  # pyright: ignore[reportArgumentType]


def _view_axes(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """(3, 3): rows are the picture's right, its up, and the direction towards the camera, in the head frame."""
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    # The camera moves against the turn that one sees: seen yaw +90 puts it at -X.
    right = np.array([np.cos(yaw), 0.0, np.sin(yaw)])
    away = np.array([-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    return np.stack([right, np.cross(away, right), away])


def _needed_distance(points: np.ndarray, half_size: np.ndarray) -> float:
    """How far from the middle the camera must be for points (V, 3) in view axes; half_size (2,) is that of the picture at depth 1."""
    return float((points[:, 2:] + np.abs(points[:, :2]) / half_size).max())


def _in_poses(frame: Frame, poses: Sequence[HeadPose]) -> list[Frame]:
    return [frame, *(dataclasses.replace(frame, head_pose=pose) for pose in _some(poses))]


def _some(poses: Sequence[HeadPose]) -> list[HeadPose]:
    """All poses, or MAX_POSES of them spread evenly, first and last among them."""
    chosen = np.linspace(0, len(poses) - 1, min(len(poses), MAX_POSES)).round().astype(int)
    return [poses[index] for index in chosen]


def _locked(posable: Posable, frames: list[Frame]) -> Sweep:
    return Sweep(_numbered(frames), depth_range(posable, frames))


def _numbered(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    digits = max(4, len(str(len(frames) - 1)))
    return tuple(dataclasses.replace(frame, name=f"{index:0{digits}d}") for index, frame in enumerate(frames))


def _facing_range(vertices: np.ndarray, normals: np.ndarray, camera: Camera) -> tuple[float, float]:
    depth = camera.to_camera(vertices)[:, 2]
    is_facing = np.einsum("vc,vc->v", camera.position_world - vertices, normals) > 0
    return float(depth.min()), float(depth[is_facing].max(initial=depth.min()))


def _refitted(camera: Camera, width: int, height: int) -> Camera:
    scale = min(width / camera.width, height / camera.height)
    K = np.diag([scale, scale, 1.0]) @ camera.K
    K[:2, 2] += (width - scale * camera.width) / 2, (height - scale * camera.height) / 2
    return Camera(K, camera.T_cam_world, width, height)


def _together(**angles: float | Sequence[float]) -> list[list[float]]:
    """Lists of equal length: single numbers are repeated as often as the first list is long."""
    lists = {name: np.atleast_1d(np.asarray(values, np.float64)) for name, values in angles.items()}
    num = len(next(iter(lists.values())))
    for name, values in lists.items():
        if values.ndim != 1 or len(values) not in (1, num) or num == 0 or not np.isfinite(values).all():
            got = f"{name} = {values.tolist()}"
            raise RangeError(expected=f"{name} with {num or 'some'} finite angles, or one", got=got, do="give one angle a frame")
    return [np.broadcast_to(values, num).tolist() for values in lists.values()]
