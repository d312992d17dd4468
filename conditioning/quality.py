"""How far a generated frame is from what was asked: landmarks and head pose, re-detected on the picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from assets.errors import ShapeError
from recon.capture import View
from recon.detect import detect
from render.camera import OPENGL_FROM_OPENCV, Camera
from render.head_pose import head_pose_from_matrix

DETECTION_SIDE_PX = 512
"""Pictures with a shorter side below this are enlarged to it before detection: the detector finds nothing on a 128 px picture."""

NUM_FACE_POINTS = 468
"""Points of the face surface; the ten points of the irises are left out of all measures."""

_OUTER_EYE_CORNERS = (33, 263)


@dataclasses.dataclass(frozen=True)
class FrameAdherence:
    name: str
    status: Literal["ok", "no_face"]
    """no_face: the detector found none, all numbers are nan. Counted apart, never as a large or a small error."""
    nme: float
    """Mean distance of the 468 face points from the asked ones, divided by the inter-ocular distance (1 = one such distance)."""
    yaw_error_deg: float
    """Found minus asked, about the viewer's vertical axis; signs as head poses have them (docs/conventions.md)."""
    pitch_error_deg: float
    roll_error_deg: float
    enlarged: float
    """Factor that the picture was enlarged by before detection; 1 where it was not."""


@dataclasses.dataclass(frozen=True)
class AdherenceSummary:
    num_frames: int
    num_no_face: int
    nme_median: float
    """Over the frames with a face; nan where there is none. So are the next ones."""
    nme_p95: float
    yaw_error_deg_median: float
    """Median of the absolute errors, as the next two."""
    pitch_error_deg_median: float
    roll_error_deg_median: float


def measure_adherence(
    rgb: np.ndarray, landmarks_px: np.ndarray, *, landmarks_world: np.ndarray, camera: Camera, name: str = ""
) -> FrameAdherence:
    """Detect the face on a generated frame and compare it with what was asked.

    Args:
        rgb: (H, W, 3) uint8 RGB, of the camera's size.
        landmarks_px: (478, 2) asked pixels, centres at +0.5 (RenderBuffers.landmarks_px).
        landmarks_world: (478, 3) metres, the same points on the posed mesh.
        camera: of the asked frame.
        name: frame name for the record.

    Distances are divided by the asked distance of the outer eye corners in space, as long as it would look face-on at that depth: in the
    picture it shrinks to nothing in profile. The rotation comes from PnP of the asked and of the found points on the same 3D points. The
    detector has an error of its own, which grows with yaw: measure the avatar's lit render in the same way for the floor. Raises ShapeError
    for a picture of another size than the camera's.
    """
    if rgb.shape != (camera.height, camera.width, 3):
        raise ShapeError(
            expected=f"a picture of the camera's size ({camera.height}, {camera.width}, 3)",
            got=str(rgb.shape),
            do="resize the camera first",
        )
    enlarged = max(1.0, DETECTION_SIDE_PX / min(camera.width, camera.height))
    found_px = _detect(rgb, enlarged, name)
    if found_px is None:
        return FrameAdherence(name, "no_face", math.nan, math.nan, math.nan, math.nan, enlarged)
    used = slice(NUM_FACE_POINTS)
    distances = np.linalg.norm(found_px[used] - landmarks_px[used], axis=1)
    nme = float(distances.mean() / _inter_ocular_px(landmarks_world, camera))
    error = _rotation_error(landmarks_world[used], landmarks_px[used], found_px[used], camera)
    return FrameAdherence(name, "ok", nme, *error, enlarged)


def summarise(frames: Sequence[FrameAdherence]) -> AdherenceSummary:
    """Medians over the frames that have a face; the others are counted."""
    good = [frame for frame in frames if frame.status == "ok"]

    def quantile(values: list[float], fraction: float) -> float:
        return float(np.quantile(values, fraction)) if values else math.nan

    nme = [frame.nme for frame in good]
    return AdherenceSummary(
        num_frames=len(frames),
        num_no_face=len(frames) - len(good),
        nme_median=quantile(nme, 0.5),
        nme_p95=quantile(nme, 0.95),
        yaw_error_deg_median=quantile([abs(frame.yaw_error_deg) for frame in good], 0.5),
        pitch_error_deg_median=quantile([abs(frame.pitch_error_deg) for frame in good], 0.5),
        roll_error_deg_median=quantile([abs(frame.roll_error_deg) for frame in good], 0.5),
    )


def _detect(rgb: np.ndarray, enlarged: float, name: str) -> np.ndarray | None:
    """(478, 2) float64 pixels of the original picture, or None."""
    height, width = rgb.shape[:2]
    picture = rgb
    if enlarged > 1:
        picture = cv2.resize(rgb, (round(width * enlarged), round(height * enlarged)), interpolation=cv2.INTER_CUBIC)
    detection = detect(View(name, Path(name), width=picture.shape[1], height=picture.shape[0]), picture)
    if detection is None:
        return None
    # cv2.resize keeps the outer corners of the picture together, so with centres at +0.5 coordinates only scale.
    return detection.landmarks_px.astype(np.float64) * (width / picture.shape[1], height / picture.shape[0])


def _inter_ocular_px(landmarks_world: np.ndarray, camera: Camera) -> float:
    """Distance of the outer eye corners in space, in pixels at the depth of their midpoint."""
    right, left = landmarks_world[list(_OUTER_EYE_CORNERS)].astype(np.float64)
    _, depth = camera.project((right + left) / 2)
    return float(np.linalg.norm(left - right) * camera.K[0, 0] / depth)


def _rotation_error(points: np.ndarray, asked_px: np.ndarray, found_px: np.ndarray, camera: Camera) -> tuple[float, float, float]:
    """(yaw, pitch, roll) degrees from the asked to the found head, in the viewer's axes (+X right, +Y up, +Z to the viewer)."""
    R_asked, R_found = (_solve_pose(points, pixels, camera) for pixels in (asked_px, found_px))
    flip = OPENGL_FROM_OPENCV[:3, :3]
    pose = head_pose_from_matrix(flip @ R_found @ R_asked.T @ flip)
    return pose.yaw_deg, pose.pitch_deg, pose.roll_deg


def _solve_pose(points: np.ndarray, pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """(3, 3) rotation from world to camera by PnP, started from the asked camera so that the mirrored solution is out of reach."""
    rotation, _ = cv2.Rodrigues(camera.T_cam_world[:3, :3])
    translation = camera.T_cam_world[:3, 3:].copy()
    _, rotation, _ = cv2.solvePnP(
        points.astype(np.float64),
        pixels.astype(np.float64),
        camera.K,
        np.zeros(4),
        rotation,
        translation,
        useExtrinsicGuess=True,
        flags=cv2.SOLVEPNP_ITERATIVE,
    )
    return cv2.Rodrigues(rotation)[0]
