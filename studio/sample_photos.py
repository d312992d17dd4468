"""The shooting plan of the sample capture: who does what before which camera."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from render.camera import Camera, look_at
from studio.sample_develop import Exposure
from studio.sample_shape import EXPRESSIONS, Expression

PHOTO_WIDTH, PHOTO_HEIGHT = 720, 960
CLIP_WIDTH, CLIP_HEIGHT, CLIP_FRAMES, CLIP_FPS = 540, 720, 48, 24
FOCAL_35MM = 52
"""What EXIF says; the true focal length is a little longer, as in phones whose lens breathes when focused near."""
TRUE_FOCAL_35MM = 52.5

_INVOLUNTARY = (
    "browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "eyeSquintLeft", "eyeSquintRight", "mouthLeft",
    "mouthPressLeft", "mouthPressRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownRight", "mouthShrugLower", "noseSneerLeft",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """One photo or clip frame before it is rendered."""

    file: str
    """Name in the capture folder; for the clip with its frame number."""
    expression_name: str
    expression: Expression
    camera: Camera
    gaze_deg: tuple[float, float]
    exposure: Exposure


# File stem, expression, yaw of the head as the camera sees it, pitch of the same, distance in metres.
PLAN: tuple[tuple[str, str, float, float, float], ...] = (
    ("neutral_00", "neutral", -80, 2, 0.72),
    ("neutral_01", "neutral", -60, -4, 0.66),
    ("neutral_02", "neutral", -40, 3, 0.78),
    ("neutral_03", "neutral", -20, -7, 0.60),
    ("neutral_04", "neutral", 1, 0, 0.68),
    ("neutral_05", "neutral", 20, 6, 0.62),
    ("neutral_06", "neutral", 41, -3, 0.84),
    ("neutral_07", "neutral", 59, 4, 0.70),
    ("neutral_08", "neutral", 80, -2, 0.75),
    ("skeptic_00", "skeptic", 5, -2, 0.64),
    ("smile_00", "smile", -15, 3, 0.70),
    ("smile_01", "smile", 25, -5, 0.66),
)


def focal_px(focal_35mm: float, width: int, height: int) -> float:
    """Pixels of a 35 mm equivalent focal length, by the diagonal (CIPA DC-008)."""
    return focal_35mm / math.hypot(36, 24) * math.hypot(width, height)


def sample_camera(
    yaw_deg: float, pitch_deg: float, distance_m: float, *, width: int, height: int, aim_m: tuple[float, float] = (0.0, -0.028)
) -> Camera:
    """A camera that sees the still head at a yaw and pitch (signs as HeadPose); the face's middle lies at `aim_m` (x, y) of the head."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    middle = np.array([0.0, aim_m[1], -0.045])
    # The head seems turned to its left (+X) where the camera stands on its right, and looks up where the camera stands below.
    away = np.array([-math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    side = np.array([math.cos(yaw), 0.0, math.sin(yaw)]) * aim_m[0]
    focal = focal_px(TRUE_FOCAL_35MM, width, height)
    return look_at(middle + away * distance_m, middle + side, focal_px=focal, width=width, height=height)


def _tremor(expression: Expression, rng: np.random.Generator) -> Expression:
    """A face never holds still: a few small weights more."""
    names = rng.choice(_INVOLUNTARY, 5, replace=False)
    extra = {str(name): float(weight) for name, weight in zip(names, rng.uniform(0, 0.09, 5), strict=True)}
    weights = {name: round(expression.weights.get(name, 0.0) + extra.get(name, 0.0), 4) for name in {**expression.weights, **extra}}
    return dataclasses.replace(expression, weights=weights)


def photo_shots(*, width: int = PHOTO_WIDTH, height: int = PHOTO_HEIGHT) -> tuple[Shot, ...]:
    """The twelve photos: same phone, hand-held, exposure and white balance drifting a little."""
    shots = []
    for index, (stem, name, yaw, pitch, distance) in enumerate(PLAN):
        rng = np.random.default_rng(4000 + index)
        aim = (float(rng.uniform(-0.018, 0.018)), float(-0.03 + rng.uniform(-0.014, 0.014)))
        camera = sample_camera(yaw + rng.uniform(-1.5, 1.5), pitch + rng.uniform(-1, 1), distance, width=width, height=height, aim_m=aim)
        rolled = _rolled(camera, float(rng.uniform(-2.5, 2.5)))
        gain, warm = float(rng.uniform(0.9, 1.12)), float(rng.uniform(-0.03, 0.03))
        exposure = Exposure(gain * 1.18, (1 + warm, 1.0, 1 - warm), noise=float(rng.uniform(0.009, 0.014)), seed=index)
        gaze = (-0.8 * yaw, -0.8 * pitch) if abs(yaw) < 26 else (float(rng.uniform(-5, 5)), float(rng.uniform(-2, 2)))
        shots.append(Shot(f"{stem}.jpg", name, _tremor(EXPRESSIONS[name], rng), rolled, gaze, exposure))
    return tuple(shots)


def _rolled(camera: Camera, roll_deg: float) -> Camera:
    """The same camera turned about its own axis."""
    roll = math.radians(roll_deg)
    T = np.eye(4)
    T[:2, :2] = [[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]]
    return Camera(camera.K, T @ camera.T_cam_world, camera.width, camera.height)


def _blended(strengths: Mapping[str, float]) -> Expression:
    """A mixture of the named expressions."""
    weights: dict[str, float] = {}
    for name, strength in strengths.items():
        for shape, weight in EXPRESSIONS[name].weights.items():
            weights[shape] = round(weights.get(shape, 0.0) + strength * weight, 4)
    return Expression(weights, smile=strengths.get("smile", 0.0), skeptic=strengths.get("skeptic", 0.0))


def clip_shots(*, width: int = CLIP_WIDTH, height: int = CLIP_HEIGHT, num_frames: int = CLIP_FRAMES) -> tuple[Shot, ...]:
    """The clip: the camera swings from -45 to 45 degrees while a smile comes and goes and the right brow rises."""
    shots = []
    for index in range(num_frames):
        t = index / max(num_frames - 1, 1)
        yaw, pitch = -45 * math.cos(math.pi * t), 4 * math.sin(2 * math.pi * t)
        smile = math.sin(math.pi * min(t / 0.6, 1)) ** 2
        skeptic = math.sin(math.pi * min(max((t - 0.55) / 0.45, 0), 1)) ** 2
        camera = sample_camera(
            yaw, pitch, 0.70 + 0.05 * math.sin(5 * t), width=width, height=height, aim_m=(0.006 * math.sin(9 * t), -0.03)
        )
        expression = _blended({"smile": smile, "skeptic": skeptic})
        gaze = (float(np.clip(-0.8 * yaw, -20, 20)), -0.8 * pitch)
        shots.append(Shot(f"clip.mp4#{index:06d}", "mixed", expression, camera, gaze, Exposure(1.1, noise=0.009, seed=900 + index)))
    return tuple(shots)
