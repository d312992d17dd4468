"""A person of known shape, rendered by the project from known cameras: what solver tests recover. Not a test itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from assets.head_model import PARTS, REGIONS, HeadModel
from assets.landmarks import LandmarkEmbedding
from recon.avatar import Avatar
from recon.capture import Detection, View
from recon.solve.prepare import Prepared, prepare
from render import DEFAULT_LIGHT, Camera, Frame, RayScene, look_at, render_buffers, vertex_normals

SIZE_PX = 400
FOCAL_PX = 620.0
YAWS_DEG = (-48.0, -30.0, -14.0, 2.0, 17.0, 33.0, 50.0)
TARGET = np.array([0.0, -0.03, -0.01])


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
    """The truth: shape, cameras relative to the head, pictures, and landmarks with noise."""

    avatar: Avatar
    cameras: tuple[Camera, ...]
    """World = the true head frame."""
    pictures: tuple[np.ndarray, ...]
    """(H, W, 3) uint8."""
    weights: tuple[dict[str, float], ...]
    landmarks_px: tuple[np.ndarray, ...]
    """(L, 2) with 1.2 px of noise."""


def skin_embedding(head: HeadModel, count: int = 140) -> LandmarkEmbedding:
    """Evenly spread points on the front of the face: stands in for a detector's scheme, so that no data file is needed."""
    centres = head.vertices[head.triangles].mean(1)
    normals = vertex_normals(head.vertices, head.triangles)[head.triangles].mean(1)
    on_face = (head.vertex_regions[head.triangles] == REGIONS.index("face")).all(1) & (head.triangle_parts == PARTS.index("skin"))
    candidates = np.flatnonzero(on_face & (normals[:, 2] > 0.3))
    start = centres[candidates] + 1e-3 * normals[candidates]
    open_ = ~np.isfinite(RayScene(head.vertices, head.triangles).cast(start, np.tile([0.0, 0.0, 1.0], (len(start), 1))).distance)
    candidates = candidates[open_]
    chosen = [0]
    distance = np.linalg.norm(centres[candidates] - centres[candidates[0]], axis=1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(centres[candidates] - centres[candidates[chosen[-1]]], axis=1))
    return LandmarkEmbedding(
        "mediapipe478",
        head.topology_hash,
        candidates[chosen].astype(np.int32),
        np.full((count, 3), 1 / 3, np.float32),
        np.full(count, 1.0, np.float32),
    )


def skin_texture(rng: np.random.Generator, size: int = 2048) -> np.ndarray:
    """(size, size, 3) uint8: skin colour with mottling from coarse to fine and a few thousand freckles."""
    picture = np.zeros((size, size), np.float32)
    for sigma, strength in ((24.0, 9.0), (8.0, 9.0), (3.0, 11.0), (1.2, 9.0)):
        noise = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), sigma)
        picture += strength * noise / noise.std()
    for x, y, radius in zip(*rng.integers(0, size, (2, 6000)), rng.uniform(1, 4, 6000), strict=True):
        cv2.circle(picture, (int(x), int(y)), int(radius), (-40.0,), -1, cv2.LINE_AA)
    return np.clip(picture[..., None] + np.array([190.0, 150.0, 130.0]), 0, 255).astype(np.uint8)


def true_offsets(head: HeadModel) -> np.ndarray:
    """(V, 3) metres: a bent nose, a fuller left cheek, a shallow right brow; none of them in the identity basis."""
    offsets = np.zeros_like(head.vertices)
    for centre, sigma, direction in (
        ((0.0, -0.045, 0.035), 0.018, (0.0025, 0.0, 0.001)),
        ((0.045, -0.05, 0.0), 0.02, (0.002, 0.0, 0.002)),
        ((-0.03, 0.025, 0.02), 0.015, (0.0, 0.0, -0.0018)),
    ):
        falloff = np.exp(-((head.vertices - np.array(centre)) ** 2).sum(1) / (2 * sigma**2))
        offsets += falloff[:, None] * np.array(direction)
    return offsets.astype(np.float32)


def make_person(head: HeadModel, *, scale: float = 1.0, yaws_deg: tuple[float, ...] = YAWS_DEG, seed: int = 3) -> Person:
    """Render a person whose head is `scale` times the shape; every view has a slightly different expression."""
    rng = np.random.default_rng(seed)
    coeffs = (0.4 * rng.standard_normal(head.num_identity)).astype(np.float32)
    shape = head.neutral(coeffs) + true_offsets(head)
    shape = scale * (shape - head.eye_centres(shape).mean(0))
    avatar = Avatar(
        head=head,
        identity_coeffs=coeffs,
        offsets=(shape - head.neutral(coeffs)).astype(np.float32),
        scale="metric",
        T_world_head=np.eye(4),
        landmarks=skin_embedding(head),
        albedo_srgb=skin_texture(rng),
        confidence=np.zeros((8, 8), np.uint8),
        light=DEFAULT_LIGHT,
        views=(),
    )
    cameras, pictures, weights, landmarks = [], [], [], []
    for k, yaw in enumerate(np.radians(yaws_deg)):
        distance, pitch = 0.38 + 0.02 * (k % 3), np.radians((-8.0, 4.0, 10.0, -3.0)[k % 4])
        away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        camera = look_at(
            TARGET + distance * away, TARGET, up=np.array([0.05 * (-1) ** k, 1.0, 0.0]), focal_px=FOCAL_PX, width=SIZE_PX, height=SIZE_PX
        )
        used = {"mouthSmileLeft": 0.06 * (k % 3), "browInnerUp": 0.05 * (k % 2), "jawOpen": 0.03 * ((k + 1) % 3)}
        buffers = render_buffers(avatar, Frame(str(k), camera, weights=used), (0.1, 2.0), supersample=2)
        cameras.append(camera)
        pictures.append(np.clip(buffers.beauty_srgb + rng.normal(0, 1.5, buffers.beauty_srgb.shape), 0, 255).astype(np.uint8))
        weights.append(used)
        landmarks.append(buffers.landmarks_px + rng.normal(0, 1.2, buffers.landmarks_px.shape))
    return Person(avatar, tuple(cameras), tuple(pictures), tuple(weights), tuple(landmarks))


def sketch_person(head: HeadModel, cameras: tuple[Camera, ...], *, noise_px: float = 1.2, seed: int = 4) -> Person:
    """A person of landmarks alone, with black pictures: made in no time, for tests of the first poses."""
    rng = np.random.default_rng(seed)
    coeffs = (0.4 * rng.standard_normal(head.num_identity)).astype(np.float32)
    neutral = head.neutral(coeffs)
    avatar = Avatar(
        head=head,
        identity_coeffs=coeffs,
        offsets=np.zeros_like(head.vertices),
        scale="metric",
        T_world_head=np.eye(4),
        landmarks=skin_embedding(head),
        albedo_srgb=np.full((8, 8, 3), 160, np.uint8),
        confidence=np.zeros((8, 8), np.uint8),
        light=DEFAULT_LIGHT,
        views=(),
    )
    points = avatar.landmarks.points(neutral, head.triangles).astype(np.float64)
    return Person(
        avatar,
        cameras,
        tuple(np.zeros((camera.height, camera.width, 3), np.uint8) for camera in cameras),
        tuple({} for _ in cameras),
        tuple(camera.project(points)[0] + rng.normal(0, noise_px, (len(points), 2)) for camera in cameras),
    )


def prepare_person(person: Person, *, rig: bool = False, focal_px: float | None = None, used: tuple[int, ...] | None = None) -> Prepared:
    """The solver's problem for the person's pictures, without running a detector."""
    indices = range(len(person.pictures)) if used is None else used
    views = [
        View(
            name=f"{k}.png", path=Path(f"{k}.png"), width=person.cameras[k].width, height=person.cameras[k].height,
            focal_px=focal_px, camera=person.cameras[k] if rig else None,
        )
        for k in indices
    ]  # fmt: skip
    detections = {
        view.name: Detection(view.name, "mediapipe478", person.landmarks_px[k], 1) for view, k in zip(views, indices, strict=True)
    }
    head, embedding = person.avatar.head, person.avatar.landmarks
    return prepare(views, detections, head, embedding, lambda view: person.pictures[int(Path(view.name).stem)], shape_precision=1.0)
