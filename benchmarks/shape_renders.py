"""Pictures of a head's ARKit shapes: a few people before a camera, the same but for the expression; and contact sheets of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from assets import HeadModel
from assets.head_model import REGIONS
from recon.calibrate_skin import chart_of, paint_skin
from render import Camera, HeadPose, Light, Mesh, Texture, head_pose_matrix, look_at, vertex_normals
from render.antialias import Shader, beauty_linear, edge_pixels
from render.aovs import part_id, uv
from render.rasterize import view_mesh
from render.shading import add_lights, ambient_light, distant_light, linear_to_srgb_bytes

SUPERSAMPLE = 2
"""Points along the side of an edge pixel."""


@dataclasses.dataclass(frozen=True)
class Sitting:
    """One person before one camera in one light."""

    seed: int
    """Of the identity and of the painted skin."""
    identity_scale: float
    """Standard deviation of the identity coefficients; 0 is the average head."""
    yaw_deg: float
    pitch_deg: float
    key_light: tuple[float, float, float]
    """Direction towards the light, camera's side is +Z."""


SITTINGS: tuple[Sitting, ...] = (
    Sitting(1, 0.0, 0.0, 0.0, (0.5, 0.6, 1.0)),
    Sitting(2, 0.5, 8.0, 3.0, (-0.7, 0.4, 1.0)),
    Sitting(3, 0.5, -8.0, -4.0, (0.3, 0.9, 0.8)),
    Sitting(5, 0.5, 3.0, 6.0, (-0.2, 0.3, 1.0)),
)
"""Another face, skin, light and side each, all near the front: enough to tell a shape's own effect from that of one face."""


class Sitter:
    """A head model as one sitting sees it; `picture` differs from call to call in the expression alone."""

    def __init__(self, head: HeadModel, sitting: Sitting, *, side_px: int = 384, face_share: float = 0.62) -> None:
        rng = np.random.default_rng(sitting.seed)
        self.head = head
        self.neutral = head.neutral(rng.standard_normal(head.num_identity) * sitting.identity_scale)
        self._skin = Texture.from_srgb(paint_skin(chart_of(head), rng))
        self._camera = self._front_camera(sitting, side_px, face_share)
        turn = head_pose_matrix(HeadPose(sitting.yaw_deg, sitting.pitch_deg, 0.0)).T
        self._light = add_lights(ambient_light((0.45, 0.45, 0.45)), distant_light(turn @ np.array(sitting.key_light), (0.55, 0.55, 0.55)))

    def _front_camera(self, sitting: Sitting, side_px: int, face_share: float) -> Camera:
        """At 0.8 m; the face fills this share of the picture's height."""
        face = self.neutral[self.head.vertex_regions == REGIONS.index("face")]
        target, height_m = (face.max(0) + face.min(0)) / 2, float(np.ptp(face[:, 1]))
        turn = head_pose_matrix(HeadPose(sitting.yaw_deg, sitting.pitch_deg, 0.0)).T
        position = target + turn @ (0.0, 0.0, 0.8)
        return look_at(
            position, target, up=turn @ (0.0, 1.0, 0.0), focal_px=face_share * side_px * 0.8 / height_m, width=side_px, height=side_px
        )

    def picture(self, weights: Mapping[str, float]) -> np.ndarray:
        """(S, S, 3) uint8 sRGB of ARKit weights by name, lit and anti-aliased, on grey."""
        head = self.head
        vertices = (self.neutral + head.expression_offsets(weights)).astype(np.float32)
        mesh = Mesh(vertices, head.triangles, head.uvs, head.triangle_uvs, head.triangle_parts)
        return draw(mesh, self._camera, self._skin, self._light)


def draw(mesh: Mesh, camera: Camera, skin: Texture, light: Light) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, without the maps that `render_buffers` makes besides."""
    view = view_mesh(mesh, camera)
    fragments = view.sample(camera.pixel_centres())
    is_edge = edge_pixels(fragments, part_id(fragments, mesh), uv(fragments, mesh), camera)
    shader = Shader.of(mesh, vertex_normals(mesh.vertices, mesh.triangles), skin, light, camera)
    colour, _ = beauty_linear(view, camera, fragments, is_edge, shader, SUPERSAMPLE)
    return linear_to_srgb_bytes(colour)


CLOSED_JAW = 0.5
"""mouthClose closes the lips of an open mouth; its tile shows it with as much of jawOpen, as in life."""


def contact_sheet(head: HeadModel, names: Sequence[str], *, tile_px: tuple[int, int] = (208, 264), columns: int = 9) -> np.ndarray:
    """(H, W, 3) uint8: the average head at rest, then one tile a shape at weight 1, each with its name."""
    width, height = tile_px
    sitter = Sitter(head, SITTINGS[0], side_px=height, face_share=0.76)
    tiles = [_tile(sitter.picture({}), "neutral", width)]
    for name in names:
        weights, text = {name: 1.0}, f"{name} (absent)" if name in head.absent_blendshapes else name
        if name == "mouthClose":
            weights, text = {name: CLOSED_JAW, "jawOpen": CLOSED_JAW}, "mouthClose+jawOpen 0.5"
        tiles.append(_tile(sitter.picture(weights), text, width))
    tiles += [np.full_like(tiles[0], 128)] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[start : start + columns], 1) for start in range(0, len(tiles), columns)], 0)


def _tile(picture: np.ndarray, text: str, width: int) -> np.ndarray:
    spare = (picture.shape[1] - width) // 2
    tile = np.ascontiguousarray(picture[:, spare : spare + width])
    cv2.putText(tile, text, (5, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def save_sheet(head: HeadModel, names: Sequence[str], path: Path) -> Path:
    """Write the contact sheet as JPEG; shapes that the head declares absent keep their tile, with the face at rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(head, names)).save(path, quality=88, optimize=True)
    return path
