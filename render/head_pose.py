"""Head pose and gaze as rotation matrices, in the head frame (+X the subject's left, +Y up, +Z out of the face)."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.errors import RangeError, ShapeError
from render.camera import OPENGL_FROM_OPENCV, Camera


@dataclasses.dataclass(frozen=True)
class HeadPose:
    """Rotation of the head about its neck joint; signs in docs/conventions.md (positive yaw: to the subject's own left)."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0


@dataclasses.dataclass(frozen=True)
class Gaze:
    """Rotation of both eyeballs about their centres, relative to the head; signs as HeadPose."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0


def head_pose_matrix(pose: HeadPose) -> np.ndarray:
    """(3, 3) float64 rotation `R = Ry(yaw) Rx(-pitch) Rz(-roll)` on column vectors of the head frame.

    Positive yaw turns the face to the subject's own left (+X), positive pitch up (+Y), positive roll tilts the crown to the
    subject's own left shoulder. Raises RangeError for angles that are not finite.
    """
    return _rotation(pose.yaw_deg, pose.pitch_deg, pose.roll_deg)


def gaze_matrix(gaze: Gaze) -> np.ndarray:
    """(3, 3) float64 rotation of an eyeball about its centre, in the head frame: `Ry(yaw) Rx(-pitch)`."""
    return _rotation(gaze.yaw_deg, gaze.pitch_deg, 0.0)


def head_pose_from_matrix(R: np.ndarray) -> HeadPose:
    """The inverse of head_pose_matrix: yaw and roll in (-180, 180], pitch in [-90, 90] degrees.

    At pitch +-90 yaw and roll turn about the same axis; roll is then 0 and yaw holds their sum. Raises ShapeError.
    """
    R = np.asarray(R, np.float64)
    if R.shape != (3, 3):
        raise ShapeError(expected="a rotation of shape (3, 3)", got=f"shape {R.shape}", do="give the rotation block alone")
    sine_pitch = np.clip(R[1, 2], -1, 1)
    pitch = np.arcsin(sine_pitch)
    if abs(sine_pitch) > 1 - 1e-12:
        yaw, roll = np.arctan2(-R[2, 0], R[0, 0]), 0.0
    else:
        yaw, roll = np.arctan2(R[0, 2], R[2, 2]), np.arctan2(-R[1, 0], R[1, 1])
    return HeadPose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))


def head_pose_seen(camera: Camera, T_world_head: np.ndarray) -> HeadPose:
    """Head pose relative to a camera: zero where the face looks straight against the optical axis with its crown up in the picture.

    A head turned by `pose` before a camera straight in front has just this pose; a camera moved round a resting head sees
    the pose that the head would need for the same picture.
    """
    return head_pose_from_matrix(OPENGL_FROM_OPENCV[:3, :3] @ camera.T_cam_world[:3, :3] @ np.asarray(T_world_head)[:3, :3])


def _rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    angles = np.radians([yaw_deg, -pitch_deg, -roll_deg])
    if not np.isfinite(angles).all():
        raise RangeError(expected="finite angles", got=f"{yaw_deg=}, {pitch_deg=}, {roll_deg=}", do="give degrees")
    (cy, cx, cz), (sy, sx, sz) = np.cos(angles), np.sin(angles)
    Ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    Rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    Rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return Ry @ Rx @ Rz
