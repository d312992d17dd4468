"""Find where the detector's landmarks lie on a head model: render it, detect, cast the points back.

`python -m recon.calibrate` writes the file that the project ships for its default head.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import DetectionError
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.heads import load_head
from assets.landmarks import LandmarkEmbedding, save_embedding
from assets.mediapipe_edges import mediapipe_face_edges
from recon.calibrate_skin import chart_of, jaw_share, paint_skin
from recon.capture import View
from recon.detect import NUM_LANDMARKS, SCHEME, detect
from render import Camera, Frame, HeadPose, Light, Mesh, RayScene, gaze_matrix, head_pose_matrix, look_at, render_buffers
from render.shading import add_lights, ambient_light, distant_light
from render.sweep import Gaze

Progress = Callable[[str, int, int], None]

IRIS_RIGHT, IRIS_LEFT = range(468, 473), range(473, 478)
"""MediaPipe's refined irises: centre first, then the four points of its rim."""

UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)
"""Outer and inner line of each lip in MediaPipe's numbering (its FACEMESH_LIPS); the corners count as upper."""

_MILD_SHAPES = tuple(name for name in ARKIT_BLENDSHAPES if name.startswith(("mouth", "brow", "cheek", "nose", "eyeSquint", "eyeWide")))

MIN_COSINE = 0.3
"""Rays that meet the surface flatter than this say little about where on it they point."""

MAX_SNAP_M = 0.005
"""A ray that meets the wrong part (an eyeball behind a lid's rim) counts for the nearest allowed point up to this far away."""


NUM_MIRRORED = 16
"""Pictures that are also detected mirrored, to find the partners."""


@dataclasses.dataclass(frozen=True)
class CalibrationSettings:
    num_heads: int = 64
    """Pictures rendered, each of another person."""
    seed: int = 0
    identity_scale: float = 0.7
    """Standard deviation of the identity coefficients."""
    max_yaw_deg: float = 25.0
    max_pitch_deg: float = 12.0
    max_roll_deg: float = 8.0
    side_px: int = 640
    """Size of the pictures; the face takes about two thirds."""
    symmetric: bool = True
    """Average each landmark with the mirrored place of its partner, because the average head is symmetric.

    On 32 held-out renders the places are 0.42 mm (median) from those that the renders alone give, 0.46 mm without.
    """


@dataclasses.dataclass(frozen=True, eq=False)
class _Sitter:
    """One rendered person; satisfies render.Posable."""

    mesh: Mesh
    albedo_srgb: np.ndarray
    light: Light
    landmarks: LandmarkEmbedding
    T_world_head: np.ndarray

    def pose(self, frame: Frame) -> Mesh:
        return self.mesh


@dataclasses.dataclass(frozen=True, eq=False)
class Sighting:
    """One rendered picture with what the detector saw in it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    camera: Camera
    vertices: np.ndarray
    """(V, 3) float32 posed head, camera's world."""
    landmarks_px: np.ndarray | None
    """(478, 2), None where no face was found."""
    points: np.ndarray
    """(478, 3) float64 metres: the landmarks cast back and carried to the average head; nan where the ray met nothing usable."""


def calibrate_embedding(
    head: HeadModel,
    *,
    settings: CalibrationSettings = CalibrationSettings(),
    textures: Sequence[np.ndarray] | None = None,
    progress: Progress | None = None,
) -> LandmarkEmbedding:
    """The mediapipe478 embedding of a head from `settings.num_heads` rendered pictures; deterministic for a seed.

    Per landmark the geometric median of its places on the average head, put on the part where it belongs (upper and lower
    lip apart, irises on the eyeballs, everything else on the skin); the outline of the face by `outline_places`. `spread_mm` is the
    median distance of the places from there, inf where no picture gave a place.
    `textures` (H, W, 3) uint8 in the head's UV chart replace the painted skins. Raises DetectionError where the detector
    sees too few faces, as with a head whose shapes or parts are broken.
    """
    sightings = list(sight_heads(head, settings, textures=textures, progress=progress))
    seen = [sighting for sighting in sightings if sighting.landmarks_px is not None]
    if len(seen) < max(4, len(sightings) // 2):
        raise DetectionError(
            expected="a face in most of the rendered pictures",
            got=f"{len(seen)} of {len(sightings)} for the head {head.name}",
            do="look at the head with `recon render`; its shapes or parts may be broken",
        )
    partner = mirror_landmarks(seen[:NUM_MIRRORED]) if settings.symmetric else None
    return embedding_of(head, np.array([sighting.points for sighting in seen]), partner, outline_places(head, seen))


def sight_heads(
    head: HeadModel, settings: CalibrationSettings, *, textures: Sequence[np.ndarray] | None = None, progress: Progress | None = None
):
    """Yield one Sighting a rendered person."""
    rng = np.random.default_rng(settings.seed)
    chart = chart_of(head)
    allowed = allowed_surfaces(head)
    for index in range(settings.num_heads):
        texture = paint_skin(chart, rng) if textures is None else textures[index % len(textures)]
        sitter, frame = random_sitter(head, texture, settings, rng)
        image = render_buffers(sitter, frame, (0.2, 2.0), supersample=2).beauty_srgb
        image = _as_photographed(image, rng)
        found = detect(View(frame.name, Path(frame.name)), image)
        landmarks_px = None if found is None else found.landmarks_px.astype(np.float64)
        points = np.full((NUM_LANDMARKS, 3), np.nan)
        if landmarks_px is not None:
            points = cast_back(head, sitter.mesh.vertices, frame.camera, landmarks_px, allowed)
        yield Sighting(image, frame.camera, sitter.mesh.vertices, landmarks_px, points)
        if progress is not None:
            progress("calibrate the detector", index + 1, settings.num_heads)


def random_sitter(head: HeadModel, texture: np.ndarray, settings: CalibrationSettings, rng: np.random.Generator) -> tuple[_Sitter, Frame]:
    """A random person with a mild expression, before a random camera in random light."""
    neutral = head.neutral(rng.standard_normal(head.num_identity) * settings.identity_scale)
    shapes = rng.choice(_MILD_SHAPES, 3, replace=False)
    weights = {str(name): float(rng.uniform(0, 0.25)) for name in shapes} | {"jawOpen": float(max(rng.uniform(-0.1, 0.2), 0))}
    vertices = neutral + head.expression_offsets(weights)
    limits = (settings.max_yaw_deg, settings.max_pitch_deg, settings.max_roll_deg)
    # The camera goes round the resting head, which is the same picture as the head turning the other way.
    turn = head_pose_matrix(HeadPose(*(float(rng.uniform(-limit, limit)) for limit in limits)))
    target = neutral[head.vertex_regions == 1].mean(0) + np.append(rng.uniform(-0.015, 0.015, 2), 0)
    distance_m = float(rng.uniform(0.5, 0.9))
    side = settings.side_px
    camera = look_at(
        target + turn @ (0.0, 0.0, distance_m),
        target,
        up=turn @ (0.0, 1.0, 0.0),
        focal_px=side * distance_m / rng.uniform(0.24, 0.32),
        width=side,
        height=side,
    )
    # Eyes look into the camera, as in photos.
    for part in ("eye_left", "eye_right"):
        is_eye = head.vertex_parts == PARTS.index(part)
        if is_eye.any():
            centre = vertices[is_eye].mean(0)
            x, y, z = camera.position_world - centre
            gaze = gaze_matrix(Gaze(float(np.degrees(np.arctan2(x, z))) * 0.8, float(np.degrees(np.arctan2(y, np.hypot(x, z)))) * 0.8))
            vertices[is_eye] = ((vertices[is_eye] - centre) @ gaze.T + centre).astype(np.float32)
    mesh = Mesh(vertices.astype(np.float32), head.triangles, head.uvs, head.triangle_uvs, head.triangle_parts)
    return _Sitter(mesh, texture, _light(rng), _no_landmarks(head), np.eye(4)), Frame(name="sitter", camera=camera)


def _light(rng: np.random.Generator) -> Light:
    key = np.array([rng.uniform(-1, 1), rng.uniform(0.1, 0.9), rng.uniform(0.6, 1.2)])
    ambient, strength = rng.uniform(0.35, 0.55), rng.uniform(0.35, 0.6)
    return add_lights(ambient_light((ambient, ambient, ambient)), distant_light(key, (strength, strength, strength)))


def _as_photographed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise, as in a photo."""
    return np.clip(image + rng.normal(0, 2.0, image.shape), 0, 255).astype(np.uint8)


def _no_landmarks(head: HeadModel) -> LandmarkEmbedding:
    """Rendering asks for an embedding before there is one."""
    return LandmarkEmbedding(
        SCHEME, head.topology_hash, np.zeros(1, np.int32), np.array([[1, 0, 0]], np.float32), np.full(1, np.inf, np.float32)
    )


# --- From picture to surface ----------------------------------------------------------------------------------------


def allowed_surfaces(head: HeadModel) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """((landmarks, triangles), ...): which triangles each group of landmarks may lie on. Together all 478, none twice."""
    corners = jaw_share(head)[head.triangles].mean(1)
    # Points on the face's outline must not jump to an ear or the neck behind it when the head is turned.
    behind = np.isin(head.vertex_regions, (REGIONS.index("ears"), REGIONS.index("neck")))[head.triangles].any(1)
    skin = np.flatnonzero((head.triangle_parts == PARTS.index("skin")) & ~behind)
    others = sorted(set(range(NUM_LANDMARKS)) - {*IRIS_RIGHT, *IRIS_LEFT, *UPPER_LIP, *LOWER_LIP})
    groups = [
        (np.array(others), skin),
        (np.array(UPPER_LIP), skin[corners[skin] < 0.3]),
        (np.array(LOWER_LIP), skin[corners[skin] >= 0.3]),
    ]
    for landmarks, part in ((IRIS_RIGHT, "eye_right"), (IRIS_LEFT, "eye_left")):
        eye = np.flatnonzero(head.triangle_parts == PARTS.index(part))
        groups.append((np.array(landmarks), eye if len(eye) else skin))
    return tuple(groups)


def cast_back(
    head: HeadModel,
    vertices: np.ndarray,
    camera: Camera,
    landmarks_px: np.ndarray,
    allowed: tuple[tuple[np.ndarray, np.ndarray], ...],
) -> np.ndarray:
    """(478, 3) places on the average head of landmarks (478, 2) seen on posed vertices (V, 3); nan where there is none."""
    directions = camera.directions_cam(landmarks_px) @ camera.T_cam_world[:3, :3]
    hits = RayScene(vertices, head.triangles).cast(camera.position_world, directions)
    met = camera.position_world + directions * (hits.distance / np.linalg.norm(directions, axis=1))[:, None]
    points = np.full((NUM_LANDMARKS, 3), np.nan)
    for landmarks, triangles in allowed:
        usable = landmarks[hits.triangle_index[landmarks] >= 0]
        nearest = RayScene(vertices, head.triangles[triangles]).closest(met[usable])
        chosen = triangles[nearest.triangle_index]
        corners = vertices[head.triangles[chosen]].astype(np.float64)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        cosine = (
            -np.einsum("lc,lc->l", normals, directions[usable])
            / np.linalg.norm(normals, axis=1)
            / np.linalg.norm(directions[usable], axis=1)
        )
        good = (nearest.distance < MAX_SNAP_M) & (cosine > MIN_COSINE)
        places = np.einsum("lk,lkc->lc", nearest.barycentric, head.vertices[head.triangles[chosen]])
        points[usable[good]] = places[good]
    return points


# --- From many places to one ----------------------------------------------------------------------------------------


def outline_landmarks() -> np.ndarray:
    """The 36 landmarks of the face's outline, ascending."""
    return np.unique([pair for line in mediapipe_face_edges() if line.part == "oval" for pair in line.pairs])


def outline_places(head: HeadModel, sightings: Sequence[Sighting]) -> np.ndarray:
    """(36, 3) places on the average head of `outline_landmarks()`, by least reprojection error instead of casting back.

    The outline lies where the surface turns away: a ray there meets the surface at a grazing angle, if at all, and the mean of
    what it meets lies well inside the face. The surface point that projects nearest to the detections of all pictures does not
    suffer from that. Candidates are the skin's vertices and points inside its triangles; distances are in metres at the head.
    """
    landmarks = outline_landmarks()
    triangles = allowed_surfaces(head)[0][1]
    corners = head.triangles[triangles]
    best = _nearest_in_pictures(sightings, landmarks, np.unique(corners)[:, None], np.ones(1))
    vertices = np.unique(corners)[best]
    inside = np.array([(i, j, 6 - i - j) for i in range(7) for j in range(7 - i)]) / 6
    places = np.zeros((len(landmarks), 3))
    for row, vertex in enumerate(vertices):
        around = corners[(corners == vertex).any(1)]
        candidates = np.repeat(around, len(inside), 0)
        shares = np.tile(inside, (len(around), 1))
        chosen = _nearest_in_pictures(sightings, landmarks[row : row + 1], candidates, shares)[0]
        places[row] = shares[chosen] @ head.vertices[candidates[chosen]]
    return places


def _nearest_in_pictures(sightings: Sequence[Sighting], landmarks: np.ndarray, corners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(L,) index of the candidate (C, k) vertices, mixed by `shares` (k,) or (C, k), whose pictures lie nearest to the landmarks."""
    cost = np.zeros((len(landmarks), len(corners)))
    for sighting in sightings:
        if sighting.landmarks_px is None:
            continue
        points = (sighting.vertices[corners] * np.broadcast_to(shares, corners.shape)[..., None]).sum(1)
        pixels, depth = sighting.camera.project(points.astype(np.float64))
        away_px = np.linalg.norm(sighting.landmarks_px[landmarks][:, None] - pixels, axis=-1)
        cost += away_px * depth / sighting.camera.K[0, 0]
    return cost.argmin(1)


def embedding_of(
    head: HeadModel, points: np.ndarray, partner: np.ndarray | None = None, outline: np.ndarray | None = None
) -> LandmarkEmbedding:
    """The embedding from places (N pictures, 478, 3) on the average head, nan where not seen.

    `outline` (36, 3) of `outline_places` stands in for the places of `outline_landmarks()`.

    With `partner` (478,) of `mirror_landmarks` each landmark is averaged with the mirrored place of its partner. A landmark
    that no picture shows keeps its partner's mirrored place, or else any, and a spread of inf.
    """
    centres = np.array([_geometric_median(points[:, landmark]) for landmark in range(NUM_LANDMARKS)])
    if outline is not None:
        centres[outline_landmarks()] = outline
    if partner is not None:
        mirrored = centres[partner] * (-1.0, 1.0, 1.0)
        centres = np.where(np.isnan(centres), mirrored, np.where(np.isnan(mirrored), centres, (centres + mirrored) / 2))
    triangle_index = np.zeros(NUM_LANDMARKS, np.int32)
    barycentric = np.zeros((NUM_LANDMARKS, 3), np.float32)
    for landmarks, triangles in allowed_surfaces(head):
        triangle_index[landmarks], barycentric[landmarks] = triangles[0], (1.0, 0.0, 0.0)
        placed = landmarks[np.isfinite(centres[landmarks, 0])]
        nearest = RayScene(head.vertices, head.triangles[triangles]).closest(centres[placed])
        triangle_index[placed] = triangles[nearest.triangle_index]
        barycentric[placed] = nearest.barycentric
    embedding = LandmarkEmbedding(SCHEME, head.topology_hash, triangle_index, barycentric, np.zeros(NUM_LANDMARKS, np.float32))
    off = np.linalg.norm(points - embedding.points(head.vertices, head.triangles), axis=-1) * 1000
    seen = np.isfinite(off).any(0)
    spread_mm = np.full(NUM_LANDMARKS, np.inf, np.float32)
    spread_mm[seen] = np.nanmedian(off[:, seen], axis=0)
    return dataclasses.replace(embedding, spread_mm=spread_mm)


def mirror_landmarks(sightings: Sequence[Sighting]) -> np.ndarray:
    """(478,) int: for each landmark its partner on the other side of the face; its own inverse.

    Found by detecting the mirrored pictures too: partners are the landmarks that fall on the same pixel.
    """
    cost = np.zeros((NUM_LANDMARKS, NUM_LANDMARKS))
    for sighting in sightings:
        mirrored = detect(View("mirrored", Path("mirrored")), np.ascontiguousarray(sighting.image[:, ::-1]))
        if sighting.landmarks_px is None or mirrored is None:
            continue
        back = mirrored.landmarks_px * (-1, 1) + (sighting.image.shape[1], 0)
        cost += np.linalg.norm(sighting.landmarks_px[:, None] - back[None], axis=-1)
    _, partner = linear_sum_assignment(cost + cost.T)
    return partner


def _geometric_median(points: np.ndarray, *, num_rounds: int = 30) -> np.ndarray:
    """(3,) point with the least sum of distances to points (N, 3), nan rows left out (Weiszfeld 1937)."""
    seen = points[np.isfinite(points[:, 0])]
    if not len(seen):
        return np.full(3, np.nan)
    centre = np.median(seen, axis=0)
    for _ in range(num_rounds):
        weights = 1 / np.maximum(np.linalg.norm(seen - centre, axis=1), 1e-5)
        centre = (seen * weights[:, None]).sum(0) / weights.sum()
    return centre


def main(head: str = "anny", *, num_heads: int = CalibrationSettings.num_heads, seed: int = 0) -> None:
    """Calibrate the detector on a head model and save the embedding where `load_embedding` looks for it."""

    def show(stage: str, done: int, total: int) -> None:
        sys.stderr.write(f"\r{stage} {done}/{total}" + ("\n" if done == total else ""))

    model = load_head(head)
    embedding = calibrate_embedding(model, settings=CalibrationSettings(num_heads=num_heads, seed=seed), progress=show)
    sys.stderr.write(f"{save_embedding(model, embedding)}: median spread {np.median(embedding.spread_mm):.2f} mm\n")


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
