"""What one picture of the capture shows of the head's texels: a colour and how far to trust it."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.errors import ShapeError
from assets.head_model import PARTS
from recon.texture_chart import Chart
from render.camera import Camera
from render.mesh import Mesh
from render.rasterize import rasterize
from render.rasterize.embree import RayScene
from render.shading import srgb_to_linear

EDGE_MAP_PX = 1024
"""Long side at which depth edges of a picture are found."""
PERSON_MAP_PX = 384
"""Long side at which the person is told from the background."""
DEPTH_STEP_M = 0.01
"""A step in depth from one pixel to the next, beyond what the slope explains, that counts as an edge."""
BURNT_SRGB = (240.0, 254.0)
"""A channel between these is on its way to being clipped."""
BURNT_DOUBT = 0.9
"""Share of its weight that a clipped pixel loses; not all, since in a picture far too bright it is still the only one."""
EYES = tuple(PARTS.index(name) for name in ("eye_left", "eye_right"))


@dataclasses.dataclass(frozen=True, eq=False)
class Observation:
    """One picture seen from the chart."""

    colour_linear: np.ndarray
    """(N, 3) float32 linear RGB; 0 where not seen."""
    weight: np.ndarray
    """(N,) float32 in [0, 1]: 1 seen straight on, far from any edge; 0 not seen."""


@dataclasses.dataclass(frozen=True)
class ViewingSettings:
    """When a texel counts as seen in a picture."""

    min_cosine: float = 0.2
    """Cosine between the normal and the direction to the camera below which a texel is not seen at all."""
    cosine_power: float = 2.0
    """Weight = cosine to this power."""
    edge_margin_mm: float = 3.0
    """Distance from an outline within which nothing is taken; over the next as many millimetres trust rises to full."""
    part_margin_mm: float = 0.7
    """The same where two parts meet, on the side of eyeballs, teeth and tongue; half of it on the skin's side (lids, lips)."""
    find_person: bool = True
    """Tell the person from the background in each picture, and take no background where the fitted head sticks out."""


class Picture:
    """A picture and the posed mesh, prepared once and observed from charts of any size."""

    def __init__(self, image: np.ndarray, mesh: Mesh, camera: Camera) -> None:
        """image (H, W, 3) uint8 RGB of the camera's size; mesh in the world."""
        if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
            raise ShapeError(
                expected=f"a uint8 RGB picture of {camera.width} x {camera.height} px as the view's camera has it",
                got=f"shape {image.shape}, dtype {image.dtype}",
                do="give the undistorted picture with its EXIF orientation applied",
            )
        self.mesh, self.camera = mesh, camera
        self._levels = [srgb_to_linear(image)]
        self._burnt = burnt(image)
        self.scene = RayScene(mesh.vertices, mesh.triangles)
        self._outline_px, self._rim_px, self._edge_scale = _edge_distances(mesh, camera)
        self._person, self._person_scale = find_person(image, mesh, camera)

    def observe(self, chart: Chart, settings: ViewingSettings) -> Observation:
        """Colour and weight of every texel of the chart."""
        vertices, triangles = self.mesh.vertices, self.mesh.triangles
        points = chart.points(vertices, triangles)
        px, depth = self.camera.project(points)
        towards = self.camera.position_world - points
        cosine = np.einsum("nc,nc->n", chart.normals(vertices, triangles), towards) / np.linalg.norm(towards, axis=1)
        inside = (px > 0.5).all(1) & (px < (self.camera.width - 0.5, self.camera.height - 0.5)).all(1)
        seen = np.flatnonzero((cosine > settings.min_cosine) & (depth > 0) & inside)
        seen = seen[self.scene.visible(points[seen], self.camera, 5e-4)]
        px_per_m = self.camera.K[0, 0] / depth[seen]
        trust = self._trust(px[seen], px_per_m, chart.part[seen], settings) * (
            1 - BURNT_DOUBT * _bilinear(self._burnt, px[seen].astype(np.float32))
        )
        colour, weight = np.zeros((len(points), 3), np.float32), np.zeros(len(points), np.float32)
        weight[seen] = cosine[seen] ** settings.cosine_power * trust
        seen, px_per_m, px = seen[trust > 0], px_per_m[trust > 0], px[seen[trust > 0]]
        colour[seen] = self._sample(px, np.log2(np.maximum(chart.texel_m[seen] * px_per_m, 1)))
        return Observation(colour, weight)

    def _trust(self, px: np.ndarray, px_per_m: np.ndarray, part: np.ndarray, settings: ViewingSettings) -> np.ndarray:
        """0 near an outline or the rim of another part, 1 far from both."""
        position = (px * self._edge_scale).astype(np.float32)
        outline_mm = 1000 * _bilinear(self._outline_px, position) / (self._edge_scale * px_per_m)
        trust = np.clip(outline_mm / settings.edge_margin_mm - 1, 0, 1)
        if settings.find_person:
            trust *= _bilinear(self._person, (px * self._person_scale).astype(np.float32))
        rim_mm = 1000 * _bilinear(self._rim_px, position) / (self._edge_scale * px_per_m)
        margin_mm = settings.part_margin_mm * np.where(part == PARTS.index("skin"), 0.5, 1.0)
        near_rim = np.clip(rim_mm / margin_mm - 1, 0, 1)
        # An eyeball's own outline is its lids', a step of a millimetre or two: the rim speaks for it alone.
        return np.where(np.isin(part, EYES), near_rim, trust * near_rim)

    def _sample(self, px: np.ndarray, level: np.ndarray) -> np.ndarray:
        """(N, 3) linear colour at pixels (N, 2), from the picture halved `level` times (between two levels a mixture).

        A texel that covers several pixels would otherwise pick one of them and flicker.
        """
        colour = np.zeros((len(px), 3), np.float32)
        for index in range(int(np.ceil(level.max(initial=0))) + 1):
            if index == len(self._levels):
                self._levels.append(cv2.resize(self._levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
            share = np.clip(1 - np.abs(level - index), 0, 1).astype(np.float32)
            used = np.flatnonzero(share > 0)
            height, width = self._levels[index].shape[:2]
            scaled = px[used] * (width / self.camera.width, height / self.camera.height)
            colour[used] += share[used, None] * _sampled(self._levels[index], scaled.astype(np.float32), cv2.INTER_CUBIC)
        # A cubic overshoots beside a bright line, at most by a few per cent.
        return np.maximum(colour, 0)


def burnt(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 in [0, 1]: 1 where a channel of an sRGB picture (H, W, 3) uint8 is clipped, whose colour nobody knows."""
    return np.clip((image.max(2).astype(np.float32) - BURNT_SRGB[0]) / (BURNT_SRGB[1] - BURNT_SRGB[0]), 0, 1)


def _bilinear(image: np.ndarray, px: np.ndarray) -> np.ndarray:
    return _sampled(image, px, cv2.INTER_LINEAR)


def _sampled(image: np.ndarray, px: np.ndarray, interpolation: int) -> np.ndarray:
    """(N[, C]) values of an image at pixel coordinates (N, 2), centres at +0.5."""
    columns = 4096  # cv2.remap wants a picture of at most 32767 px a side.
    rows = -(-len(px) // columns)
    if not rows:
        return np.zeros((0, *image.shape[2:]), image.dtype)
    # OpenCV puts pixel centres at whole numbers: half a pixel less here, and nowhere else.
    padded = np.zeros((rows * columns, 2), np.float32)
    padded[: len(px)] = px - 0.5
    grid = padded.reshape(rows, columns, 2)
    values = cv2.remap(image, grid, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return values.reshape(rows * columns, *image.shape[2:])[: len(px)]


def _edge_distances(mesh: Mesh, camera: Camera) -> tuple[np.ndarray, np.ndarray, float]:
    """Distance in px of each pixel from the nearest outline, and from the nearest rim between parts; the edge map's scale."""
    scale = min(1.0, EDGE_MAP_PX / max(camera.width, camera.height))
    small = camera.resized(width=max(1, round(camera.width * scale)), height=max(1, round(camera.height * scale)))
    fragments = rasterize(mesh, small)
    depth = np.where(np.isfinite(fragments.depth), fragments.depth, 1e3).astype(np.float32)
    part = np.where(fragments.face_id >= 0, mesh.triangle_parts[fragments.face_id], 0)
    outline = _steps(depth, DEPTH_STEP_M)
    return _distance(outline), _distance(_steps(part.astype(np.float32), 0.5)), small.width / camera.width


def find_person(image: np.ndarray, mesh: Mesh, camera: Camera) -> tuple[np.ndarray, float]:
    """(h, w) float32 in [0, 1], how surely a pixel is the person and not the background; and the map's size over the picture's.

    The fitted head may stick out of the real one by centimetres where no photo held it (back of the head, neck). GrabCut
    (Rother, Kolmogorov & Blake, SIGGRAPH 2004) decides in the rim of the projected head, with its middle as sure foreground
    and what lies well outside, above its lower end, as sure background. Below that there are shoulders and clothes.
    """
    scale = min(1.0, PERSON_MAP_PX / max(camera.width, camera.height))
    small = camera.resized(width=max(1, round(camera.width * scale)), height=max(1, round(camera.height * scale)))
    inside = (rasterize(mesh, small).face_id >= 0).astype(np.uint8)
    everyone = np.ones(inside.shape, np.float32)
    if not inside.any() or inside.all():
        return everyone, scale
    reach = np.sqrt(inside.sum())
    depth, outside = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (inside, 1 - inside))
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    lowest = np.nonzero(inside.any(1))[0].max()
    far = outside > 0.08 * reach
    far[int(lowest - 0.35 * reach) :] = False
    labels[far], labels[depth > 0.2 * reach] = cv2.GC_BGD, cv2.GC_FGD
    if not far.any() or not (depth > 0.2 * reach).any():
        return everyone, scale
    cv2.setRNGSeed(0)
    resized = cv2.resize(image, (small.width, small.height), interpolation=cv2.INTER_AREA)
    cv2.grabCut(resized[..., ::-1].copy(), labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    # The border itself is a mixture of both, and what is filled in later would spread it over everything behind.
    margin = cv2.distanceTransform(np.pad(person, 1), cv2.DIST_L2, 5)[1:-1, 1:-1] - 2
    return np.where(depth > 0.2 * reach, 1.0, np.clip(margin / 2, 0, 1)).astype(np.float32), scale


def _steps(image: np.ndarray, threshold: float) -> np.ndarray:
    """(H, W) bool: pixels on either side of a step larger than the threshold."""
    steps = np.zeros(image.shape, bool)
    across, down = np.abs(np.diff(image, axis=1)) > threshold, np.abs(np.diff(image, axis=0)) > threshold
    steps[:, 1:] |= across
    steps[:, :-1] |= across
    steps[1:] |= down
    steps[:-1] |= down
    return steps


def _distance(edges: np.ndarray) -> np.ndarray:
    if not edges.any():
        return np.full(edges.shape, 1e6, np.float32)
    return cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, 5)
