"""Pictures of the heads for the documentation: landmark schemes with their numbers, and contact sheets of random identities."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from assets import HeadModel, LandmarkEmbedding, load_embedding
from assets.landmark_schemes import SCHEMES
from recon.calibrate_skin import SkinChart, chart_of, paint_skin
from render import Camera, Frame, Light, Mesh, RayScene, look_at, render_buffers
from render.shading import add_lights, ambient_light, distant_light

NUM_IDENTITIES = 12

STUDIO = add_lights(
    ambient_light((0.5, 0.5, 0.51)),
    add_lights(distant_light(np.array([-0.7, 0.6, 0.9]), (0.62, 0.61, 0.59)), distant_light(np.array([0.9, 0.2, 0.5]), (0.2, 0.21, 0.22))),
)
"""A soft key from the subject's right and a weak fill from the left."""

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_OPTIMIZE, 1]


@dataclasses.dataclass(frozen=True, eq=False)
class Bust:
    """A head at rest; satisfies render.Posable."""

    head: HeadModel
    vertices: np.ndarray
    """(V, 3) float32 metres, head frame."""
    albedo_srgb: np.ndarray
    landmarks: LandmarkEmbedding
    light: Light = STUDIO

    @property
    def T_world_head(self) -> np.ndarray:
        return np.eye(4)

    def pose(self, frame: Frame) -> Mesh:
        return Mesh(self.vertices, self.head.triangles, self.head.uvs, self.head.triangle_uvs, self.head.triangle_parts)


def photograph(bust: Bust, yaw_deg: float, *, target: np.ndarray, height_m: float, size: tuple[int, int]) -> tuple[np.ndarray, Camera]:
    """(H, W, 3) uint8 RGB from 1.2 m, with the camera turned by `yaw_deg` about the head; `height_m` fills the picture at the target."""
    turn, distance, (width, height) = np.radians(yaw_deg), 1.2, size
    position = target + distance * np.array([np.sin(turn), 0.0, np.cos(turn)])
    camera = look_at(position, target, focal_px=height * distance / height_m, width=width, height=height)
    image = render_buffers(bust, Frame(name="portrait", camera=camera), (0.5, 2.5), supersample=3).beauty_srgb
    return np.ascontiguousarray(image), camera


def identity_sheet(head: HeadModel, *, seed: int = 7, size: tuple[int, int] = (288, 330)) -> np.ndarray:
    """(3 H, 8 W, 3) uint8 RGB: twelve heads drawn at one standard deviation, each from the front and from three quarters."""
    rng, chart, landmarks = np.random.default_rng(seed), chart_of(head), no_landmarks(head)
    tiles = []
    for _ in range(NUM_IDENTITIES):
        vertices = head.neutral(rng.standard_normal(head.num_identity)).astype(np.float32)
        bust = Bust(head, vertices, paint_skin(chart, rng), landmarks)
        views = [photograph(bust, yaw, target=np.array([0.0, -0.02, -0.06]), height_m=0.32, size=size)[0] for yaw in (0, 38)]
        tiles.append(np.hstack(views))
    return np.vstack([np.hstack(tiles[row : row + 4]) for row in range(0, NUM_IDENTITIES, 4)])


def no_landmarks(head: HeadModel) -> LandmarkEmbedding:
    """An embedding of one point, for heads that are only looked at."""
    return LandmarkEmbedding("none", head.topology_hash, np.zeros(1, np.int32), np.array([[1, 0, 0]], np.float32), np.ones(1, np.float32))


def scheme_picture(head: HeadModel, scheme: str, chart: SkinChart, *, side: int) -> np.ndarray:
    """(side, 2 side, 3) uint8 RGB: a scheme's numbered points on the average head, from the front and at 45 degrees.

    Points that the head itself hides are drawn hollow and without a number.
    """
    embedding = load_embedding(head, scheme)
    bust = Bust(head, head.vertices, paint_skin(chart, np.random.default_rng(4)), no_landmarks(head))
    points = embedding.points(head.vertices.astype(np.float64), head.triangles)
    face = head.vertices[head.vertex_regions == 1]
    target = np.append((face.min(0) + face.max(0))[:2] / 2, 0.0) + (0.0, -0.008, -0.02)
    pictures = []
    for yaw in (0, 45):
        image, camera = photograph(bust, yaw, target=target, height_m=0.215, size=(side, side))
        visible = RayScene(head.vertices, head.triangles).visible(points, camera, offset_m=2.5e-3)
        _draw_numbers(image, camera.project(points)[0], visible, dense=len(points) > 100)
        cv2.putText(image, scheme, (12, side - 14), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA)
        pictures.append(image)
    return np.hstack(pictures)


def _draw_numbers(image: np.ndarray, points_px: np.ndarray, visible: np.ndarray, *, dense: bool) -> None:
    scale, radius = (0.27, 1) if dense else (0.36, 2)
    for index, ((x, y), seen) in enumerate(zip(points_px - 0.5, visible, strict=True)):
        centre = (round(x * 16), round(y * 16))
        cv2.circle(image, centre, (radius + (not seen)) * 16, (255, 235, 60) if seen else (90, 190, 255), -1 if seen else 1, cv2.LINE_AA, 4)
        if seen:
            place = (round(x + radius + 1), round(y - 2))
            cv2.putText(image, str(index), place, cv2.FONT_HERSHEY_SIMPLEX, scale, (10, 10, 40), 2, cv2.LINE_AA)
            cv2.putText(image, str(index), place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)


def write_pictures(head: HeadModel, folder: Path) -> list[Path]:
    """The contact sheet of a head, and its schemes where it has landmarks; returns the files."""
    family = head.name.partition(":")[0]
    chart = chart_of(head)
    sheets = {
        f"identities-{family}.jpg": lambda: identity_sheet(head),
        f"schemes-{family}.jpg": lambda: np.vstack([scheme_picture(head, scheme, chart, side=700) for scheme in SCHEMES[1:]]),
        f"schemes-{family}-mediapipe478.jpg": lambda: scheme_picture(head, SCHEMES[0], chart, side=1300),
    }
    files = []
    for name, draw in sheets.items():
        files.append(folder / name)
        cv2.imwrite(str(files[-1]), draw()[..., ::-1], _JPEG)
    return files
