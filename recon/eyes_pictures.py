"""What one picture shows of the eyes: each eyeball unwrapped, its iris found, and where it is eye and not lid."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.head_model import PARTS, REGIONS, HeadModel
from recon.eyes_chart import HALF, IRIS_RADIUS_M, STEP_DEG, EyeChart, angles_of, eye_charts, grid_directions, sample_chart
from recon.eyes_iris import FoundIris, find_iris
from render.camera import Camera
from render.mesh import Mesh, vertex_normals
from render.rasterize.embree import RayScene
from render.shading import srgb_to_linear

LID_M = 0.006
"""What covers an eyeball by no more than this is its own lid, and the picture decides whether it is open; a nose is farther."""
LID_SHARE = 0.35
"""Trust in what lies behind the fitted lids, for finding the iris."""
MIN_COSINE = 0.25
SKIN_NEAR_M, SKIN_FAR_M = 0.017, 0.030
"""Skin within these distances of an eyeball's centre, no higher than it, is what its lids look like."""
LASH_SHARE = 0.35
"""Outside the iris, what is darker than this share of the white is lashes or the lid's shadow line."""
RIM_PX = 4
"""Half a millimetre of the chart that is left out along the lids, where lashes and tears are."""
REACH_PX = 12
"""A millimetre and a half beyond the fitted lids colours may call a pixel eye, and not farther: lids in the brow's shadow look like one."""
OPEN_RADII = 1.4
"""Lids open no farther above and below the iris's middle, in iris radii, but in fright."""
FADE_PX = 10
"""Over so much more trust rises to full: what another picture shows farther from its lids goes first, and no seam is left."""


@dataclasses.dataclass(frozen=True, eq=False)
class EyeSighting:
    """One eye in one picture, on the eye's chart as the fit poses it."""

    view: str
    side: int
    colour_linear: np.ndarray
    """(S, S, 3) float32 in the picture's own exposure; 0 outside it."""
    trust: np.ndarray
    """(S, S) float32 in [0, 1]: cosine of the viewing angle where nothing but lids is in between, times being eye by its colour."""
    opening: np.ndarray
    """(S, S) bool: eye and not lid, up to the lid's edge."""
    px_per_step: float
    """Picture pixels per chart pixel at the iris."""
    iris: FoundIris
    centre_world: np.ndarray
    """(3,) metres: the eyeball's centre as posed."""
    R_world_eye: np.ndarray
    """(3, 3) rotation of the posed eyeball's chart to the world."""
    radius_m: float
    """Mean radius of the posed eyeball at its front."""


def look_at_eyes(
    name: str, image: np.ndarray, mesh: Mesh, camera: Camera, head: HeadModel, *, scene: RayScene | None = None
) -> tuple[EyeSighting, ...]:
    """The eyes that an (H, W, 3) uint8 RGB picture shows open, at most two, for the head as fitted to it (mesh in the world).

    `scene` is the mesh's, where the caller has it.
    """
    charts = eye_charts(head)
    if not charts:
        return ()
    scene = scene or RayScene(mesh.vertices, mesh.triangles)
    found = (_look(name, image, mesh, camera, head, chart, scene) for chart in charts)
    return tuple(sighting for sighting in found if sighting is not None)


def _look(
    name: str, image: np.ndarray, mesh: Mesh, camera: Camera, head: HeadModel, chart: EyeChart, scene: RayScene
) -> EyeSighting | None:
    points = chart.points(mesh.vertices)
    centre, R_world_eye, radius_m = _placed(chart, points, mesh, head)
    visible, cosine = _visibility(chart, points, centre, camera, scene)
    if (visible > 0.1).sum() < 200:
        return None
    colour, px_per_step = _unwrap(image, camera, points, chart.size)
    brightness = np.maximum(cv2.GaussianBlur(colour[..., 0], (0, 0), 1.5), 0) ** (1 / 2.2)
    iris = find_iris(brightness, visible, float(np.arcsin(min(IRIS_RADIUS_M / radius_m, 0.6))))
    if iris is None:
        return None
    skin = _skin_near(image, camera, mesh, head, centre, scene)
    opening = eye_opening(colour, iris, skin, _may_be_open(visible, iris))
    from_lids = cv2.distanceTransform(np.pad(opening.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    inner = np.clip((from_lids - RIM_PX) / FADE_PX, 0, 1)
    trust = np.where(visible > 0, inner * cosine, 0).astype(np.float32)
    return EyeSighting(name, chart.side, colour, trust, opening, px_per_step, iris, centre, R_world_eye, radius_m)


def _placed(chart: EyeChart, points: np.ndarray, mesh: Mesh, head: HeadModel) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre, rotation and radius of the posed eyeball: the rotation that takes the chart's directions to its points best."""
    ball = head.vertex_parts == PARTS.index(("eye_left", "eye_right")[chart.side])
    centre = mesh.vertices[ball].mean(0).astype(np.float64)
    arms, directions = points[::17].astype(np.float64) - centre, grid_directions().reshape(-1, 3)[::17].astype(np.float64)
    u, _, vt = np.linalg.svd(arms.T @ directions)
    R = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return centre, R, float(np.median(np.linalg.norm(arms, axis=1)))


def _visibility(chart: EyeChart, points: np.ndarray, centre: np.ndarray, camera: Camera, scene: RayScene) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) float32: 1 seen between the fitted lids, LID_SHARE behind them, 0 turned away, behind a nose or outside the picture;
    and (S, S) float32 cosine of the angle of view. Both from every other pixel."""
    few = points.reshape(chart.size, chart.size, 3)[::2, ::2].reshape(-1, 3)
    px, depth = camera.project(few)
    inside = (px > 1).all(1) & (px < (camera.width - 1, camera.height - 1)).all(1) & (depth > 0)
    arm, rays = few - centre, few - camera.position_world
    length = np.linalg.norm(rays, axis=1)
    cosine = -np.einsum("nc,nc->n", arm, rays) / (np.linalg.norm(arm, axis=1) * length)
    share = np.zeros(len(few), np.float32)
    some = np.flatnonzero(inside & (cosine > MIN_COSINE))
    gap = length[some] - scene.cast(camera.position_world, rays[some]).distance
    share[some] = np.where(gap < 5e-4, 1.0, np.where(gap < LID_M, LID_SHARE, 0.0))
    both = np.stack([share, np.clip(cosine, 0, 1)], -1).reshape(HALF + 1, HALF + 1, 2).astype(np.float32)
    both = cv2.resize(both, (chart.size, chart.size), interpolation=cv2.INTER_LINEAR)
    return both[..., 0], both[..., 1]


def _unwrap(image: np.ndarray, camera: Camera, points: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """(S, S, 3) linear colours at the chart's points, and picture pixels per chart pixel; from a smaller picture where they are many."""
    px = camera.project(points)[0].reshape(size, size, 2)
    middle = px[HALF - 20 : HALF + 21, HALF - 20 : HALF + 21]
    step = max(float(np.median(np.linalg.norm(np.diff(middle, axis=axis), axis=-1))) for axis in (0, 1))
    low = np.clip(np.floor(np.nanmin(px, (0, 1))).astype(int) - 4, 0, None)
    high = np.minimum(np.ceil(np.nanmax(px, (0, 1))).astype(int) + 5, (camera.width, camera.height))
    if (high - low < 4).any():
        return np.zeros((size, size, 3), np.float32), step
    crop, shrink = srgb_to_linear(image[low[1] : high[1], low[0] : high[0]]), 1.0
    if step > 1.5:
        small = np.maximum(np.round((high - low) / step).astype(int), 4)
        shrink, crop = small / (high - low), cv2.resize(crop, (int(small[0]), int(small[1])), interpolation=cv2.INTER_AREA)
    place = ((px - low) * shrink - 0.5).astype(np.float32)
    return cv2.remap(crop, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), step  # type: ignore[call-overload]


def _skin_near(image: np.ndarray, camera: Camera, mesh: Mesh, head: HeadModel, centre: np.ndarray, scene: RayScene) -> np.ndarray | None:
    """(3,) linear colour of the skin under and beside an eye, as this picture has it; None where it shows none."""
    away = np.linalg.norm(mesh.vertices - centre, axis=1)
    low = head.vertices[:, 1] < head.eye_centres()[:, 1].mean()
    mine = np.flatnonzero((away > SKIN_NEAR_M) & (away < SKIN_FAR_M) & low & (head.vertex_regions == REGIONS.index("face")))
    towards = camera.position_world - mesh.vertices[mine]
    facing = np.einsum("nc,nc->n", vertex_normals(mesh.vertices, mesh.triangles)[mine], towards) > 0.4 * np.linalg.norm(towards, axis=1)
    mine = mine[facing]
    if len(mine) < 5:
        return None
    mine = mine[scene.visible(mesh.vertices[mine], camera, 1e-3)]
    px = np.floor(camera.project(mesh.vertices[mine])[0]).astype(int)
    px = px[((px >= 0) & (px < (camera.width, camera.height))).all(1)]
    return np.median(srgb_to_linear(image[px[:, 1], px[:, 0]]), 0) if len(px) >= 5 else None


def _may_be_open(visible: np.ndarray, iris: FoundIris) -> np.ndarray:
    """(S, S) bool: at most REACH_PX beyond the fitted lids, or on the iris, and no farther above or below it than lids open."""
    fitted = cv2.distanceTransform((visible < 0.9).astype(np.uint8), cv2.DIST_L2, 5) < REACH_PX
    radius, angle = polar_about(iris)
    return (visible > 0) & (fitted | (radius < 1.1)) & (np.abs(radius * np.sin(angle)) < OPEN_RADII)


def eye_opening(colour: np.ndarray, iris: FoundIris, skin: np.ndarray | None, candidates: np.ndarray) -> np.ndarray:
    """(S, S) bool: what is eye by its colour, in one piece with the iris.

    Within the iris's rim a pixel is lid where it looks more like the skin around the eye than like the lower half of the iris; beyond
    it where it is nearer to the skin's redness than to that of the white beside the iris, or as dark as lashes.
    """
    radius, angle = polar_about(iris)
    is_iris = radius < 1.0
    if skin is None:
        return candidates & (radius < 1.3)
    logs = np.log(np.maximum(cv2.GaussianBlur(colour, (0, 0), 1.0), 0) + 1e-3)
    log_skin = np.log(skin + 1e-3)
    redness, light = logs[..., 0] - logs[..., 2], logs.mean(-1)
    own = candidates & (radius > 0.5) & (radius < 0.9) & (np.sin(angle) < 0.3)
    log_iris = np.median(logs[own], 0) if own.sum() > 20 else log_skin - 1.5
    lid_in_iris = (((logs - log_skin) ** 2).sum(-1) < ((logs - log_iris) ** 2).sum(-1)) & (redness > log_skin[0] - log_skin[2] - 0.25)
    beside = candidates & (radius > 1.15) & (radius < 1.6) & (np.abs(np.sin(angle)) < 0.5)
    white_red, white_light = _white(redness[beside], light[beside], log_skin)
    lid_on_white = redness > 0.45 * white_red + 0.55 * (log_skin[0] - log_skin[2])
    lash = light < white_light + np.log(LASH_SHARE)
    eye = candidates & np.where(is_iris, ~lid_in_iris, ~lid_on_white & ~(lash & (radius > 1.1)))
    return _piece_with(eye, is_iris)


def _white(redness: np.ndarray, light: np.ndarray, log_skin: np.ndarray) -> tuple[float, float]:
    """Redness and lightness (logarithms) of the white beside the iris; guessed from the skin where hardly any is seen."""
    skin_red, skin_light = log_skin[0] - log_skin[2], log_skin.mean()
    if len(redness) < 50:
        return float(0.35 * skin_red), float(skin_light)
    pale = redness <= np.quantile(redness, 0.4)
    # Never so near to the skin's that no threshold would part them.
    return float(min(np.median(redness[pale]), 0.6 * skin_red)), float(np.median(light[pale]))


def _piece_with(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The connected piece of a mask that holds most of the seed, its small holes (highlights, veins) closed."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    _, labels = cv2.connectedComponents(opened, connectivity=4)
    inside = np.bincount(labels[seed & (labels > 0)], minlength=1)
    if not inside.any():
        return np.zeros(mask.shape, bool)
    piece = (labels == int(inside.argmax())).astype(np.uint8)
    closing = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    return cv2.morphologyEx(piece, cv2.MORPH_CLOSE, closing) > 0


def polar_about(iris: FoundIris) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) distance from the iris's centre in iris radii, and direction in radians, 0 to the right and positive upwards."""
    angle = np.radians(STEP_DEG) * (np.arange(2 * HALF + 1) - HALF)
    x, y = np.meshgrid(angle - iris.angles_rad[0], -angle - iris.angles_rad[1])
    return np.hypot(x, y) / iris.radius_rad, np.arctan2(y, x)


def shows_eye(points: np.ndarray, sightings: tuple[EyeSighting, ...], camera: Camera) -> np.ndarray:
    """(N,) bool: where the picture shows an open eye at points (N, 3) in the world, whatever the fit says lies there.

    Skin there was fitted beside its place: its colour would be that of the iris or the white.
    """
    is_eye = np.zeros(len(points), bool)
    for sighting in sightings:
        near = np.flatnonzero(np.linalg.norm(points - sighting.centre_world, axis=1) < 1.8 * sighting.radius_m)
        rays = points[near] - camera.position_world
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        arm = camera.position_world - sighting.centre_world
        along = rays @ arm
        inside = along**2 - (arm @ arm - sighting.radius_m**2)
        on_ball = arm + (-along - np.sqrt(np.maximum(inside, 0)))[:, None] * rays
        directions = on_ball @ sighting.R_world_eye / sighting.radius_m
        opening = cv2.dilate(sighting.opening.astype(np.float32), np.ones((9, 9)))
        is_eye[near] |= (inside > 0) & (sample_chart(opening, angles_of(directions)[None])[0] > 0.5)
    return is_eye
