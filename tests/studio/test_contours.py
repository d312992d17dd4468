"""Contours over photos: where the mesh turns away, named by the part of the face, hidden ones left out."""

from __future__ import annotations

import numpy as np
import pytest

from assets import load_head
from assets.landmarks import load_embedding
from render import look_at, rasterize, vertex_normals
from render.mesh import Mesh
from studio.contours import CONTOUR_SRGB, Contour, draw_contours, head_contours, occluding_segments
from studio.wireframe import VISIBILITY_PX, for_visibility


@pytest.fixture(scope="module")
def head():
    return load_head()


def mesh_of(head) -> Mesh:
    return Mesh(head.vertices, head.triangles, head.uvs, head.triangle_uvs, head.triangle_parts)


def camera(yaw_deg: float):
    yaw = np.radians(yaw_deg)
    return look_at(np.array([-np.sin(yaw), 0.0, np.cos(yaw)]), np.array([0.0, -0.02, -0.05]), focal_px=1700.0, width=500, height=560)


def test_an_occluding_line_is_seen_edge_on(head):
    mesh, eye = mesh_of(head), camera(30.0).position_world
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    segments, triangles = occluding_segments(mesh, normals, eye)
    # Between the vertices of its triangle some face the camera and some do not.
    facing = np.einsum("vc,vc->v", normals, eye - mesh.vertices)[mesh.triangles[triangles]]
    assert (facing.max(1) > 0).all() and (facing.min(1) <= 0).all() and segments.shape == (len(triangles), 2, 3)


@pytest.mark.parametrize("yaw_deg", [0.0, 70.0])
def test_the_outline_runs_along_the_border_of_the_rendered_head(head, yaw_deg):
    import cv2

    mesh, seen = mesh_of(head), camera(yaw_deg)
    inside = (rasterize(mesh, seen).face_id >= 0).astype(np.uint8)
    border = inside - cv2.erode(inside, np.ones((3, 3), np.uint8))
    away = cv2.distanceTransform(1 - border, cv2.DIST_L2, 5)
    found = {contour.kind: contour.segments_px for contour in head_contours(mesh, seen, head, load_embedding(head))}
    middle = np.concatenate([found[kind] for kind in ("outline", "jaw", "ears")]).mean(1)
    distance = away[middle[:, 1].astype(int), middle[:, 0].astype(int)]
    # Creases inside the head are contours too, but most of the outline is the border.
    assert np.median(distance) < 2.0
    ys, xs = np.nonzero(border)
    drawn = np.zeros_like(inside)
    for a, b in np.concatenate(list(found.values())):
        cv2.line(drawn, tuple(np.rint(a - 0.5).astype(int)), tuple(np.rint(b - 0.5).astype(int)), (1,), 1)
    near = cv2.distanceTransform(1 - drawn, cv2.DIST_L2, 5)[ys, xs]
    # The neck is cut open below, where the head ends without turning away.
    assert (near[ys < 460] < 3.0).mean() > 0.9


def test_each_part_of_the_face_is_named_where_it_lies(head):
    seen = camera(0.0)
    found = {contour.kind: contour.segments_px.reshape(-1, 2) for contour in head_contours(mesh_of(head), seen, head, load_embedding(head))}
    assert set(found) == set(CONTOUR_SRGB) and all(len(points) for points in found.values())
    height = {kind: np.median(points[:, 1]) for kind, points in found.items()}
    assert height["lids"] < height["nose"] < height["lips"] < height["jaw"]
    eyes = np.abs(found["lids"][:, 0] - 250)
    assert (eyes > 15).mean() > 0.9 and np.ptp(found["ears"][:, 0]) > 200


def test_the_far_ear_of_a_profile_is_hidden(head):
    profile = {c.kind: c.segments_px for c in head_contours(mesh_of(head), camera(85.0), head, load_embedding(head))}
    front = {c.kind: c.segments_px for c in head_contours(mesh_of(head), camera(0.0), head, load_embedding(head))}
    assert np.ptp(profile["ears"].reshape(-1, 2)[:, 0]) < 0.5 * np.ptp(front["ears"].reshape(-1, 2)[:, 0])


def test_lines_are_drawn_in_their_colour_on_a_dark_rim():
    grey = np.full((60, 80, 3), 128, np.uint8)
    line = Contour("lips", np.array([[[10.0, 30.5], [70.0, 30.5]]]))
    drawn = draw_contours(grey, [line], width_px=3.0)
    np.testing.assert_allclose(drawn[30, 40], CONTOUR_SRGB["lips"], atol=3)
    assert drawn[33, 40].max() < 128 and (drawn[10] == 128).all()
    np.testing.assert_array_equal(draw_contours(grey, []), grey)


def test_visibility_is_settled_at_a_bounded_size():
    small, large = camera(0.0), camera(0.0).resized(width=5000, height=5600)
    assert for_visibility(small) is small
    assert max(for_visibility(large).width, for_visibility(large).height) == VISIBILITY_PX
