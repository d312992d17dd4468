"""Shooting plans of the stand-ins: a calibrated rig, loose photos of one phone, and a clip."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.stand_in_scene import Pose
from benchmarks.stand_in_specs import EXPRESSIONS
from render.camera import Camera, look_at
from studio.sample_develop import Exposure
from studio.sample_photos import focal_px

RIG_PX, RIG_FIELD_M = 640, 0.33
PHOTO_WIDTH, PHOTO_HEIGHT = 600, 800
CLIP_WIDTH, CLIP_HEIGHT, CLIP_FRAMES, CLIP_FPS = 432, 576, 96, 24
LENSES_35MM = (31.0, 46.0)
"""What EXIF says of the phone's two lenses; the true focal lengths are 1.2 % longer, as of lenses that breathe."""
BREATHING = 1.012
NEUTRAL_YAWS_DEG = (-80, -67, -53, -40, -27, -14, 1, 13, 26, 41, 54, 66, 80)
EXPRESSION_YAWS_DEG = {"smile": (-18, 22), "surprise": (-30, 8), "skeptic": (4, 33)}
_MIDDLE_M = np.array([0.0, -0.03, -0.02])
_INVOLUNTARY = (
    "browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "eyeSquintLeft", "eyeSquintRight", "mouthLeft",
    "mouthPressLeft", "mouthPressRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownRight", "mouthShrugLower", "noseSneerLeft",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class StandInShot:
    """One picture before it is rendered."""

    file: str
    expression: str
    pose: Pose
    camera: Camera
    """World = the rig's world for a rig, else the head frame."""
    T_world_head: np.ndarray
    """(4, 4)."""
    exposure: Exposure
    focal_35mm: float | None = None
    """What EXIF says; None for rigs and clips."""


def camera_at(
    yaw_deg: float,
    pitch_deg: float,
    distance_m: float,
    focal: float,
    size: tuple[int, int],
    *,
    aim_m: tuple[float, float] = (0.0, 0.0),
    roll_deg: float = 0.0,
) -> Camera:
    """A camera in the head frame that sees the head at a yaw and pitch (signs as HeadPose), its middle off the picture's by `aim_m`."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    away = np.array([-math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    side = np.array([math.cos(yaw), 0.0, math.sin(yaw)]) * aim_m[0] + np.array([0.0, aim_m[1], 0.0])
    camera = look_at(_MIDDLE_M + away * distance_m, _MIDDLE_M + side, focal_px=focal, width=size[0], height=size[1])
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", roll_deg, degrees=True).as_matrix()
    return Camera(camera.K, turn @ camera.T_cam_world, camera.width, camera.height)


def expressed(name: str, extra: dict[str, float] | None = None, *, gaze_deg: tuple[float, float] = (0.0, 0.0)) -> Pose:
    """The pose of a named expression, with the folds that are the person's own, and small weights more."""
    weights = dict(EXPRESSIONS[name])
    for shape, weight in (extra or {}).items():
        weights[shape] = round(weights.get(shape, 0.0) + weight, 4)
    return Pose(weights, smile=0.8 if name == "smile" else 0.0, skeptic=0.8 if name == "skeptic" else 0.0, gaze_deg=gaze_deg)


def rig_shots(seed: int) -> tuple[StandInShot, ...]:
    """Eleven fixed cameras over 180 degrees; neutral from all, the expressions from every second. The head moves a little between."""
    rng = np.random.default_rng((seed, 1))
    T_world_rest = np.eye(4)
    T_world_rest[:3, :3] = Rotation.from_euler("yxz", rng.uniform(-6, 6, 3), degrees=True).as_matrix()
    T_world_rest[:3, 3] = rng.uniform(-0.05, 0.05, 3) + (0.12, 1.31, -0.2)
    cameras = []
    for index, yaw in enumerate(np.linspace(-90, 90, 11)):
        distance = float(rng.uniform(0.72, 0.95))
        camera = camera_at(yaw, (3, -16, 12)[index % 3] + rng.uniform(-2, 2), distance, RIG_PX * distance / RIG_FIELD_M, (RIG_PX, RIG_PX))
        cameras.append(Camera(camera.K, camera.T_cam_world @ np.linalg.inv(T_world_rest), RIG_PX, RIG_PX))
    shots = []
    for name in EXPRESSIONS:
        moved = np.eye(4)
        if name != "neutral":
            moved[:3, :3] = Rotation.from_rotvec(np.radians(rng.uniform(-2.5, 2.5, 3))).as_matrix()
            moved[:3, 3] = rng.uniform(-0.004, 0.004, 3)
        for index in range(0, 11, 1 if name == "neutral" else 2):
            exposure = Exposure(1.05, noise=0.008, seed=seed * 1000 + len(shots))
            shots.append(
                StandInShot(f"images/{name}_cam{index:02d}.jpg", name, expressed(name), cameras[index], T_world_rest @ moved, exposure)
            )
    return tuple(shots)


def loose_shots(seed: int) -> tuple[StandInShot, ...]:
    """Thirteen photos of a face that means to be neutral and six of expressions: two lenses, hand-held, exposure drifting."""
    plan = [("neutral", yaw) for yaw in NEUTRAL_YAWS_DEG]
    plan += [(name, yaw) for name, yaws in EXPRESSION_YAWS_DEG.items() for yaw in yaws]
    shots = []
    for index, (name, yaw) in enumerate(plan):
        rng = np.random.default_rng((seed, 2, index))
        lens = LENSES_35MM[int(rng.random() < 0.35)]
        focal = BREATHING * focal_px(lens, PHOTO_WIDTH, PHOTO_HEIGHT)
        distance = focal * 0.34 / PHOTO_HEIGHT * rng.uniform(0.9, 1.25)
        camera = camera_at(
            yaw + rng.uniform(-2, 2), rng.uniform(-8, 8), distance, focal, (PHOTO_WIDTH, PHOTO_HEIGHT),
            aim_m=(rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)), roll_deg=rng.uniform(-4, 4),
        )  # fmt: skip
        names = rng.choice(_INVOLUNTARY, 6, replace=False)
        tremor = {str(n): round(float(w), 4) for n, w in zip(names, rng.uniform(0, 0.1, 6), strict=True)}
        gaze = (-0.8 * yaw, 0.0) if abs(yaw) < 28 else (float(rng.uniform(-6, 6)), float(rng.uniform(-3, 3)))
        warm = float(rng.uniform(-0.04, 0.04))
        exposure = Exposure(
            float(rng.uniform(0.85, 1.35)), (1 + warm, 1.0, 1 - warm), float(rng.uniform(0.008, 0.016)), seed * 1000 + 100 + index
        )
        pose = expressed(name, tremor, gaze_deg=gaze)
        shots.append(StandInShot(f"images/IMG_{2000 + index}.jpg", name, pose, camera, np.eye(4), exposure, lens))
    return tuple(shots)


def clip_shots(seed: int) -> tuple[StandInShot, ...]:
    """The camera swings to 68 degrees on both sides while expressions come and go, with three blinks."""
    focal, shots = 1.28 * CLIP_HEIGHT, []
    for index in range(CLIP_FRAMES):
        t = index / (CLIP_FRAMES - 1)
        yaw, pitch = -68 * math.cos(2 * math.pi * t), 5 * math.sin(4 * math.pi * t)
        weights: dict[str, float] = {}
        strengths = {
            name: math.sin(math.pi * min(max((t - a) / 0.32, 0), 1)) ** 2
            for name, a in (("smile", 0.02), ("surprise", 0.34), ("skeptic", 0.66))
        }
        for name, strength in strengths.items():
            for shape, weight in EXPRESSIONS[name].items():
                weights[shape] = weights.get(shape, 0.0) + 0.8 * strength * weight
        blink = max(math.exp(-(((t - at) * 40) ** 2)) for at in (0.21, 0.52, 0.83))
        weights |= {"eyeBlinkLeft": blink, "eyeBlinkRight": blink} if blink > 0.02 else {}
        weights = {shape: round(min(weight, 1.0), 4) for shape, weight in weights.items() if weight > 1e-3}
        distance = focal * 0.35 / CLIP_HEIGHT * (1 + 0.06 * math.sin(5 * t))
        aim = (0.008 * math.sin(9 * t), 0.006 * math.cos(7 * t))
        camera = camera_at(yaw, pitch, distance, focal, (CLIP_WIDTH, CLIP_HEIGHT), aim_m=aim, roll_deg=2 * math.sin(3 * t))
        pose = Pose(weights, 0.6 * strengths["smile"], 0.6 * strengths["skeptic"], (float(np.clip(-0.8 * yaw, -22, 22)), 0.0))
        shots.append(
            StandInShot(
                f"video.mp4#{index:06d}", "mixed", pose, camera, np.eye(4), Exposure(1.1, noise=0.010, seed=seed * 1000 + 300 + index)
            )
        )
    return tuple(shots)
