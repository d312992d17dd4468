"""Eyelashes stay out of pictures and stay in exports; nothing else changes by it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, HeadModel, check_head
from recon import export_mesh
from render import Frame, look_at, render_buffers
from tests.recon.toy_head import toy_avatar, toy_head

BARE = toy_head(24, 32)


def with_lashes(head: HeadModel) -> HeadModel:
    """The head with a card of lashes 1 cm before its left eye, its triangles before all others in order."""
    centre = head.eye_centres()[0]
    card = (centre + np.array([[-0.01, -0.002, 0.022], [0.01, -0.002, 0.022], [0.01, 0.004, 0.022], [-0.01, 0.004, 0.022]])).astype(
        np.float32
    )
    first, lashes = head.num_vertices, PARTS.index("lashes")

    def longer(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.zeros((*values.shape[:-2], 4, 3), np.float32)], -2)

    return check_head(
        dataclasses.replace(
            head,
            vertices=np.concatenate([head.vertices, card]),
            triangles=np.concatenate([[[first, first + 1, first + 2], [first, first + 2, first + 3]], head.triangles]).astype(np.int32),
            triangle_uvs=np.concatenate([np.zeros((2, 3), np.int32), head.triangle_uvs]),
            triangle_parts=np.concatenate([np.full(2, lashes, np.uint8), head.triangle_parts]),
            vertex_parts=np.concatenate([head.vertex_parts, np.full(4, lashes, np.uint8)]),
            vertex_regions=np.concatenate([head.vertex_regions, np.zeros(4, np.uint8)]),
            identity_basis=longer(head.identity_basis),
            blendshape_deltas=longer(head.blendshape_deltas),
            mirror_vertices=np.concatenate([head.mirror_vertices, np.arange(first, first + 4, dtype=np.int32)]),
            absent_parts=tuple(part for part in head.absent_parts if part != "lashes"),
        )
    )


LASHED = with_lashes(BARE)


def avatars():
    """The same person with and without lashes; landmarks stay on the same surface points."""
    bare = toy_avatar(BARE, offsets=np.zeros_like(BARE.vertices))
    landmarks = dataclasses.replace(
        bare.landmarks, topology_hash=LASHED.topology_hash, triangle_index=(bare.landmarks.triangle_index + 2).astype(np.int32)
    )
    return bare, dataclasses.replace(bare, head=LASHED, offsets=np.zeros_like(LASHED.vertices), landmarks=landmarks)


def test_only_lashes_are_folded_away_and_every_triangle_keeps_its_place():
    drawn = drawn_triangles(LASHED)
    np.testing.assert_array_equal(drawn[2:], LASHED.triangles[2:])
    assert (drawn[:2] == drawn[:2, :1]).all() and drawn.dtype == LASHED.triangles.dtype
    np.testing.assert_array_equal(drawn_triangles(BARE), BARE.triangles)


def test_pictures_are_those_of_the_head_without_lashes_to_the_bit():
    bare, lashed = avatars()
    eye = bare.eye_centres[0].astype(float)
    camera = look_at(eye + (0, 0, 0.4), eye, up=(0.0, 1.0, 0.0), focal_px=900, width=160, height=120)
    frame = Frame(name="eye", camera=camera)
    expected, got = (render_buffers(avatar, frame, (0.2, 2.0)) for avatar in (bare, lashed))
    for name in ("depth", "normal_cam", "part_id", "alpha", "beauty_srgb", "landmarks_px"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    assert not (got.part_id == PARTS.index("lashes")).any() and (got.part_id == PARTS.index("eye_left")).any()


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb"])
def test_exports_keep_the_lashes(tmp_path, suffix):
    trimesh = pytest.importorskip("trimesh")
    _, lashed = avatars()
    mesh = trimesh.load(export_mesh(lashed, tmp_path / f"head.{suffix}"), process=False, force="mesh")
    assert len(mesh.faces) == len(LASHED.triangles)
    areas = np.sort(mesh.area_faces)
    assert np.count_nonzero(areas > 1e-9) == np.count_nonzero(BARE_AREAS > 1e-9) + 2


BARE_AREAS = np.linalg.norm(
    np.cross(
        BARE.vertices[BARE.triangles[:, 1]] - BARE.vertices[BARE.triangles[:, 0]],
        BARE.vertices[BARE.triangles[:, 2]] - BARE.vertices[BARE.triangles[:, 0]],
    ),
    axis=1,
)
