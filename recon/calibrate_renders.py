"""Render people on a head model, each from another side and in another light, and let the detector look at them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.detector_model import seen_yaw_deg
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.landmarks import LandmarkEmbedding
from recon.calibrate_skin import chart_of, paint_skin
from render import Camera, Frame, HeadPose, Light, Mesh, aovs, gaze_matrix, head_pose_matrix, look_at, vertex_normals
from render.antialias import Shader, beauty_linear, edge_pixels
from render.rasterize import view_mesh
from render.shading import add_lights, ambient_light, distant_light, linear_to_srgb_bytes, srgb_to_linear
from render.sweep import Gaze
from render.texture import Texture

Progress = Callable[[str, int, int], None]

Detector = Callable[[np.ndarray], np.ndarray | None]
"""From (H, W, 3) uint8 RGB to (478, 2) float64 pixels, None where no face is found."""

_MILD_SHAPES = tuple(name for name in ARKIT_BLENDSHAPES if name.startswith(("mouth", "brow", "cheek", "nose", "eyeSquint", "eyeWide")))

MAX_GAZE_DEG = 30.0
"""Eyes look into the camera as far as this; further, only the head is turned."""

SUPERSAMPLE = 2
"""Points along the side of an edge pixel: the detector blurs more than that away."""

STAGE = "calibrate the detector"


@dataclasses.dataclass(frozen=True)
class CalibrationSettings:
    num_heads: int = 420
    """Pictures rendered, each of another person."""
    seed: int = 0
    num_skins: int = 24
    """Skins painted; the pictures take them in turn."""
    identity_scale: float = 0.7
    """Standard deviation of the identity coefficients."""
    min_yaw_deg: float = -16.0
    """The average head is symmetric and so is the detector, nearly: the other side comes from mirroring."""
    max_yaw_deg: float = 82.0
    max_pitch_deg: float = 15.0
    max_roll_deg: float = 8.0
    side_px: int = 448
    """Size of the pictures; the face takes about two thirds, and the detector's own crop is smaller."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sighting:
    """One rendered picture with what the detector saw in it."""

    image: np.ndarray | None
    """(H, W, 3) uint8 RGB; None where it was not kept."""
    camera: Camera
    """World = the head frame."""
    vertices: np.ndarray
    """(V, 3) float32 posed head."""
    landmarks_px: np.ndarray | None
    """(478, 2), None where no face was found."""
    mirrored_px: np.ndarray | None
    """(478, 2) of the mirrored picture, brought back to this one's pixels but with the numbers of the mirrored face; or None."""

    @property
    def yaw_deg(self) -> float:
        return seen_yaw_deg(self.camera.position_world)


def sight_heads(
    head: HeadModel,
    settings: CalibrationSettings,
    detector: Detector,
    *,
    textures: Sequence[np.ndarray] | None = None,
    keep_images: bool = False,
    progress: Progress | None = None,
) -> Iterator[Sighting]:
    """Yield one Sighting a rendered person; yaws are spread evenly, everything else is random. Deterministic for a seed.

    `textures` (H, W, 3) uint8 in the head's UV chart replace the painted skins.
    """
    skins = [(texture, Texture.from_srgb(texture)) for texture in textures or _painted(head, settings)]

    def one(index: int) -> Sighting:
        # A generator for each picture: what one draws does not shift the next, so fewer pictures are a part of more.
        rng = np.random.default_rng((settings.seed, index))
        texture, skin = skins[index % len(skins)]
        sitter, frame = random_sitter(head, texture, settings, rng, yaw_deg=_spread_yaw_deg(index, settings))
        image = photograph(sitter, frame.camera, skin, rng)
        landmarks_px, mirrored_px = detector(image), detector(np.ascontiguousarray(image[:, ::-1]))
        if mirrored_px is not None:
            mirrored_px = mirrored_px * (-1, 1) + (image.shape[1], 0)
        return Sighting(image if keep_images else None, frame.camera, sitter.mesh.vertices, landmarks_px, mirrored_px)

    # Two at a time: one is drawn while the detector, which takes one picture at a time, looks at the other.
    with ThreadPoolExecutor(2) as pool:
        for done, sighting in enumerate(pool.map(one, range(settings.num_heads)), 1):
            yield sighting
            if progress is not None:
                progress(STAGE, done, settings.num_heads)


def _spread_yaw_deg(index: int, settings: CalibrationSettings) -> float:
    """The golden ratio's multiples fill an interval evenly from any start to any end."""
    share = ((index + 0.5) * 0.6180339887498949 + settings.seed * 0.37) % 1.0
    return settings.min_yaw_deg + share * (settings.max_yaw_deg - settings.min_yaw_deg)


def _painted(head: HeadModel, settings: CalibrationSettings) -> Iterator[np.ndarray]:
    chart = chart_of(head)
    return (paint_skin(chart, np.random.default_rng((settings.seed, index, 1))) for index in range(settings.num_skins))


@dataclasses.dataclass(frozen=True, eq=False)
class Sitter:
    """One made-up person; satisfies render.Posable."""

    mesh: Mesh
    """World = the head frame."""
    albedo_srgb: np.ndarray
    """(H, W, 3) uint8."""
    light: Light
    landmarks: LandmarkEmbedding
    """One point that nobody asks for: rendering wants an embedding before there is one."""
    T_world_head: np.ndarray
    """(4, 4) identity."""

    def pose(self, frame: Frame) -> Mesh:
        return self.mesh


def random_sitter(
    head: HeadModel, texture: np.ndarray, settings: CalibrationSettings, rng: np.random.Generator, *, yaw_deg: float | None = None
) -> tuple[Sitter, Frame]:
    """A random person with a mild expression before a random camera in random light.

    Args:
        texture: (H, W, 3) uint8 in the head's UV chart.
        yaw_deg: the yaw that the camera sees; None draws one of the settings' range to either side.
    """
    yaw_deg = float(rng.uniform(-settings.max_yaw_deg, settings.max_yaw_deg)) if yaw_deg is None else yaw_deg
    neutral = head.neutral(rng.standard_normal(head.num_identity) * settings.identity_scale)
    vertices = neutral + head.expression_offsets(_mild_expression(head, rng))
    camera = _random_camera(head, neutral, yaw_deg, settings, rng)
    for part in ("eye_left", "eye_right"):
        is_eye = head.vertex_parts == PARTS.index(part)
        if is_eye.any():
            vertices[is_eye] = _looking(vertices[is_eye], camera.position_world)
    mesh = Mesh(vertices.astype(np.float32), head.triangles, head.uvs, head.triangle_uvs, head.triangle_parts)
    nowhere = LandmarkEmbedding(
        "mediapipe478", head.topology_hash, np.zeros(1, np.int32), np.array([[1, 0, 0]], np.float32), np.full(1, np.inf, np.float32)
    )
    return Sitter(mesh, texture, _random_light(camera, rng), nowhere, np.eye(4)), Frame(name="sitter", camera=camera)


def _mild_expression(head: HeadModel, rng: np.random.Generator) -> dict[str, float]:
    """Three shapes a little, the jaw open by up to a fifth, the lids lowered by as much; shapes that the head lacks are left out."""
    weights = {str(name): float(rng.uniform(0, 0.25)) for name in rng.choice(_MILD_SHAPES, 3, replace=False)}
    weights |= {"jawOpen": float(max(rng.uniform(-0.1, 0.2), 0))}
    weights |= dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight"), float(rng.uniform(0, 0.2)))
    return {name: weight for name, weight in weights.items() if name not in head.absent_blendshapes}


def _random_camera(head: HeadModel, neutral: np.ndarray, yaw_deg: float, settings: CalibrationSettings, rng: np.random.Generator) -> Camera:
    """Aimed at the face from 0.45 to 1 m; the face takes half to three quarters of the picture."""
    pitch_deg, roll_deg = (float(rng.uniform(-limit, limit)) for limit in (settings.max_pitch_deg, settings.max_roll_deg))
    # The camera goes round the resting head: the same picture as the head turning before a camera that rests.
    turn = head_pose_matrix(HeadPose(yaw_deg, pitch_deg, roll_deg)).T
    target = neutral[head.vertex_regions == REGIONS.index("face")].mean(0) + turn @ np.append(rng.uniform(-0.015, 0.015, 2), 0)
    distance_m, side = float(rng.uniform(0.45, 1.0)), settings.side_px
    return look_at(
        target + turn @ (0.0, 0.0, distance_m),
        target,
        up=turn @ (0.0, 1.0, 0.0),
        focal_px=side * distance_m / rng.uniform(0.25, 0.36),
        width=side,
        height=side,
    )


def _looking(eyeball: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N, 3) vertices of an eyeball turned about their middle towards a point, as far as eyes turn."""
    centre = eyeball.mean(0)
    x, y, z = target - centre
    angles = np.degrees([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))])
    gaze = Gaze(*(float(angle) for angle in np.clip(0.8 * angles, -MAX_GAZE_DEG, MAX_GAZE_DEG)))
    return ((eyeball - centre) @ gaze_matrix(gaze).T + centre).astype(np.float32)


def photograph(sitter: Sitter, camera: Camera, skin: Texture, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: a sitter with a skin's pyramid before a random background, with sensor noise; colour alone, no other buffers."""
    mesh = sitter.mesh
    view = view_mesh(mesh, camera)
    fragments = view.sample(camera.pixel_centres())
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    is_edge = edge_pixels(fragments, aovs.part_id(fragments, mesh), aovs.uv(fragments, mesh), camera)
    shader = Shader.of(mesh, normals, skin, sitter.light, camera)
    colour, alpha = beauty_linear(view, camera, fragments, is_edge, shader, SUPERSAMPLE)
    behind = srgb_to_linear(_background(colour.shape[:2], rng))
    # Empty pixels and the empty share of edge pixels hold the renderer's own grey, which the background replaces.
    grey = srgb_to_linear(np.full(3, 128, np.uint8))
    image = linear_to_srgb_bytes(colour + (1 - alpha[..., None]) * (behind - grey))
    return np.clip(image + rng.normal(0, rng.uniform(1, 4), image.shape), 0, 255).astype(np.uint8)


def _random_light(camera: Camera, rng: np.random.Generator) -> Light:
    """Soft light from all sides, a key light on the camera's side of the head and sometimes a weaker one; slightly tinted."""
    to_world = camera.T_cam_world[:3, :3].T
    ambient = rng.uniform(0.3, 0.55) * rng.uniform(0.95, 1.05, 3)
    lights = [ambient_light(tuple(ambient))]
    for strength in (rng.uniform(0.3, 0.65), rng.uniform(-0.3, 0.3)):
        direction = to_world @ np.array([rng.uniform(-1.2, 1.2), rng.uniform(-1.0, 0.1), -rng.uniform(0.4, 1.2)])
        lights.append(distant_light(direction, tuple(max(strength, 0.0) * rng.uniform(0.93, 1.07, 3))))
    return add_lights(*lights)


def _background(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: a wall, a gradient or blurred shapes of any colour."""
    cells = int(rng.choice((1, 2, 5)))
    coarse = rng.uniform(20, 235, (cells, cells, 3)) if rng.random() < 0.5 else np.repeat(rng.uniform(20, 235, (cells, cells, 1)), 3, 2)
    return cv2.resize(coarse.astype(np.uint8), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
