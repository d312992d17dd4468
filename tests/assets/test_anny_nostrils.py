"""The default head's nostrils lead into the nose and stay inside it."""

from __future__ import annotations

import numpy as np
import pytest

from assets.detector_model import load_detector_model
from assets.head_model import PARTS, HeadModel
from assets.heads.anny import load_anny
from render import RayScene

ROOM_M = 0.006
"""Skin of the room behind a nostril lies at least this far from where the nostril opens."""


@pytest.fixture(scope="module")
def anny() -> HeadModel:
    return load_anny()


def _seen_from_below(head: HeadModel, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights (N,) at which level-spaced rays straight up under the nose meet the head, and their places (N, 2) in x and z."""
    tip = vertices[(head.vertex_parts == PARTS.index("skin")) & (np.abs(vertices[:, 0]) < 0.004)]
    tip = tip[tip[:, 2].argmax()]
    x, z = np.meshgrid(np.linspace(-0.016, 0.016, 65), np.linspace(tip[2] - 0.026, tip[2] - 0.004, 45))
    start = np.stack([x, np.full_like(x, tip[1] - 0.02), z], -1).reshape(-1, 3)
    found = RayScene(vertices, head.triangles).cast(start.astype(np.float32), np.broadcast_to([0.0, 1.0, 0.0], start.shape))
    return start[:, 1] + found.distance - tip[1], start[:, [0, 2]]


def test_a_ray_from_below_reaches_further_up_than_the_tip_of_the_nose_on_both_sides(anny):
    height, place = _seen_from_below(anny, anny.vertices)
    inside = height > 0.002
    for side in (place[:, 0] > 0, place[:, 0] < 0):
        # 0.5 mm by 0.5 mm a ray: an opening of 20 to 80 square millimetres, as adults have.
        assert 80 < np.count_nonzero(inside & side) < 320
        assert height[side].max() > ROOM_M


def test_no_identity_pushes_the_room_through_the_skin(anny):
    """From in front, above and the sides no part of the room is ever seen."""
    height, _ = _seen_from_below(anny, anny.vertices)
    assert height.max() > ROOM_M
    room = _room_triangles(anny)
    assert len(room) > 30
    rng = np.random.default_rng(7)
    for _ in range(12):
        vertices = anny.neutral(rng.normal(size=anny.num_identity).astype(np.float32))
        scene, middle = RayScene(vertices, anny.triangles), vertices[anny.triangles[room]].mean(1)
        for yaw in np.radians([-75.0, -30.0, 5.0, 40.0, 80.0]):
            for pitch in np.radians([5.0, 45.0]):
                towards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
                origin = (middle + 0.2 * towards).astype(np.float32)
                found = scene.cast(origin, np.broadcast_to(-towards, origin.shape))
                assert not np.isin(found.triangle_index, room).any()


def test_no_landmark_lies_in_the_room(anny):
    room = _room_triangles(anny)
    for detector in ("bundled", "tasks"):
        assert not np.isin(load_detector_model(anny, detector).triangle_index, room).any()


def _room_triangles(head: HeadModel) -> np.ndarray:
    """Skin triangles that lie above the nostrils' rims inside the nose: hidden from the front, near the tip, higher than it."""
    tip = head.vertices[(head.vertex_parts == PARTS.index("skin")) & (np.abs(head.vertices[:, 0]) < 0.004)]
    tip = tip[tip[:, 2].argmax()]
    middle = head.vertices[head.triangles].mean(1) - tip
    near = (np.abs(middle[:, 0]) < 0.013) & (np.abs(middle[:, 1]) < 0.012) & (middle[:, 2] > -0.03) & (middle[:, 2] < -0.006)
    candidates = np.flatnonzero(near & (head.triangle_parts == PARTS.index("skin")))
    origin = head.vertices[head.triangles[candidates]].mean(1)
    a, b, c = (head.vertices[head.triangles[candidates]][:, k].astype(float) for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    scene, free = RayScene(head.vertices, head.triangles), np.zeros(len(candidates), bool)
    for towards in ((0.0, 0.0, 1.0), (0.7, 0.0, 0.7), (-0.7, 0.0, 0.7), (0.0, -0.7, 0.7), (0.5, -0.7, 0.5), (-0.5, -0.7, 0.5)):
        start = (origin + 3e-4 * normal).astype(np.float32)
        free |= ~np.isfinite(scene.cast(start, np.broadcast_to(towards, start.shape)).distance)
    return candidates[~free & (origin[:, 1] - tip[1] > -0.003)]
