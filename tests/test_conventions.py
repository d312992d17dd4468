"""One test for each numbered statement of docs/conventions.md: test_cN_... pins [CN]."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assets.blendshapes import ARKIT_BLENDSHAPES, weights_to_vector
from assets.errors import RangeError
from assets.head_model import PARTS
from assets.landmarks import load_embedding
from recon.export import export_mesh
from recon.ingest import load_capture
from render import (
    Camera,
    Gaze,
    HeadPose,
    concatenate,
    gaze_matrix,
    head_pose_from_matrix,
    head_pose_matrix,
    head_turn,
    irradiance,
    look_at,
    orbit,
    rasterize,
    render_buffers,
    render_sweep,
    sample_texture,
    save_buffers,
    save_sweep,
    sh_basis,
    srgb_to_linear,
)
from render.aovs import position_world
from render.shading import distant_light, linear_to_srgb_bytes
from render.writing import depth_to_uint16, load_depth16
from tests.recon.glb_reader import corners_by_material, read_glb
from tests.recon.toy_head import toy_avatar, toy_head
from tests.render.posables import Ball
from tests.render.test_sweep import nose_px, red_minus_blue, rig_world

PAGE = Path(__file__).parent.parent / "docs" / "conventions.md"
NOSE, CROWN, LEFT_EAR = np.array([0.0, 0, 1]), np.array([0.0, 1, 0]), np.array([1.0, 0, 0])


def asymmetric_camera() -> Camera:
    camera = look_at(np.array([0.3, -0.2, 0.9]), np.zeros(3), up=np.array([0.1, 1, 0.2]), focal_px=170.0, width=120, height=80)
    return Camera(np.array([[170.0, 0, 50.5], [0, 150.0, 43.25], [0, 0, 1]]), camera.T_cam_world, 120, 80)


@pytest.fixture(scope="module")
def front():
    return next(render_sweep(Ball(), orbit(Ball(), yaw_deg=[0], width=96, height=96)))


@pytest.fixture(scope="module")
def head():
    from assets import load_head

    return load_head()


def test_every_statement_has_a_test_and_every_test_a_statement() -> None:
    stated = re.findall(r"^- \[C(\d+)\]", PAGE.read_text(), re.MULTILINE)
    tested = re.findall(r"^def test_c(\d+)_", Path(__file__).read_text(), re.MULTILINE)
    assert [int(number) for number in stated] == list(range(1, len(stated) + 1))
    assert sorted(map(int, stated)) == sorted(map(int, tested))


def test_c1_the_head_is_in_metres_y_up_and_faces_z_with_its_left_at_x(head) -> None:
    size = np.ptp(head.vertices, axis=0)
    assert 0.12 < size[0] < 0.6 and 0.2 < size[1] < 0.6, "metres, not centimetres"
    eyes_left, eyes_right = head.eye_centres()
    assert 0.025 < eyes_left[0] < 0.04 and -0.04 < eyes_right[0] < -0.025
    regions = dict(zip(("face", "scalp", "neck"), (head.vertices[head.vertex_regions == i].mean(0) for i in (1, 3, 4)), strict=True))
    assert regions["face"][2] > regions["scalp"][2] + 0.03, "the face lies before the scalp"
    assert regions["scalp"][1] > regions["face"][1] > regions["neck"][1], "up is up"


def test_c2_the_origin_lies_midway_between_the_eyeballs(head) -> None:
    np.testing.assert_allclose(head.eye_centres().mean(0), 0, atol=1e-5)


def test_c3_transforms_apply_to_columns_and_chain_by_neighbouring_names() -> None:
    camera, T_world_head = asymmetric_camera(), rig_world()
    p_head = np.array([0.1, 0.2, 0.3, 1])
    p_world = T_world_head @ p_head
    T_cam_head = camera.T_cam_world @ T_world_head
    np.testing.assert_allclose(camera.to_camera(p_world[:3]), (T_cam_head @ p_head)[:3])
    np.testing.assert_allclose(camera.T_world_cam @ camera.T_cam_world, np.eye(4), atol=1e-12)


def test_c4_the_camera_has_x_right_y_down_z_forward() -> None:
    camera = Camera(np.array([[100.0, 0, 30], [0, 100, 20], [0, 0, 1]]), np.eye(4), 60, 40)
    px, depth = camera.project(np.array([[0.1, 0, 1], [0, 0.1, 1], [0, 0, 2]]))
    np.testing.assert_allclose(px, [[40, 20], [30, 30], [30, 20]])
    np.testing.assert_allclose(depth, [1, 1, 2])
    # World to camera: a camera at z = 3 that looks back along -Z has the origin 3 m before it.
    np.testing.assert_allclose(look_at(np.array([0, 0, 3.0]), np.zeros(3), focal_px=9, width=8, height=8).T_cam_world[:3, 3], [0, 0, 3])


def test_c5_opengl_cameras_differ_by_two_signs_on_the_camera_side() -> None:
    camera = asymmetric_camera()
    np.testing.assert_allclose(np.linalg.inv(camera.to_opengl()), np.diag([1, -1, -1, 1]) @ camera.T_cam_world, atol=1e-12)
    back = Camera.from_opengl(camera.to_opengl(), K=camera.K, width=120, height=80)
    np.testing.assert_allclose(back.T_cam_world, camera.T_cam_world, atol=1e-12)


def test_c6_a_rig_keeps_its_world_and_sees_the_same_head() -> None:
    loose, rig = Ball(), Ball(T_world_head=rig_world())
    frames = [orbit(ball, yaw_deg=[30], pitch_deg=10, width=64, height=64) for ball in (loose, rig)]
    a, b = (next(render_sweep(ball, sweep)) for ball, sweep in zip((loose, rig), frames, strict=True))
    assert np.linalg.norm(b.camera.position_world - rig_world()[:3, 3]) < 1
    assert (a.mask != b.mask).mean() < 0.002
    both = a.mask & b.mask
    difference = np.abs(a.depth[both] - b.depth[both])
    assert difference.max() < 2e-3 and np.median(difference) < 1e-5


def test_c7_the_top_left_pixels_centre_is_half_half() -> None:
    camera = asymmetric_camera()
    origins, directions = camera.rays()
    np.testing.assert_allclose(camera.project(origins[0, 0] + directions[0, 0])[0], [0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(camera.project(origins[7, 33] + directions[7, 33])[0], [33.5, 7.5], atol=1e-9)
    point = np.array([0.05, -0.02, 0.03])
    np.testing.assert_allclose(camera.resized(width=360, height=40).project(point)[0], camera.project(point)[0] * (3, 0.5))


def test_c8_samples_lie_at_pixel_centres() -> None:
    camera, mesh = asymmetric_camera(), Ball().neutral
    fragments = rasterize(mesh, camera)
    hit = fragments.face_id >= 0
    px, _ = camera.project(position_world(fragments, mesh)[hit])
    rows, columns = np.nonzero(hit)
    np.testing.assert_allclose(px, np.stack([columns + 0.5, rows + 0.5], -1), atol=2e-3)


def test_c9_texture_coordinates_start_bottom_left() -> None:
    image = np.zeros((10, 20, 1), np.float32)
    image[0, 0], image[9, 19], image[2, 5] = 1, 2, 3
    uv = np.array([[0.5 / 20, 1 - 0.5 / 10], [19.5 / 20, 0.5 / 10], [5.5 / 20, 1 - 2.5 / 10]])
    np.testing.assert_allclose(sample_texture(image, uv)[:, 0], [1, 2, 3], rtol=1e-5)


def test_c10_pictures_are_rows_columns_rgb(tmp_path: Path) -> None:
    buffers = next(render_sweep(Ball(), orbit(Ball(), yaw_deg=[-90], width=60, height=40)))
    assert buffers.beauty_srgb.shape == (40, 60, 3)
    assert buffers.albedo_srgb[20, 30, 0] > buffers.albedo_srgb[20, 30, 2] + 40, "the ball's left half is red"
    save_buffers(tmp_path, buffers, ["albedo"])
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "albedo" / "0000.png")), buffers.albedo_srgb)


def test_c11_positive_yaw_turns_the_nose_to_the_subjects_left() -> None:
    nose = head_pose_matrix(HeadPose(yaw_deg=20)) @ NOSE
    np.testing.assert_allclose(nose, [np.sin(np.radians(20)), 0, np.cos(np.radians(20))], atol=1e-12)
    sweep = head_turn(Ball(), yaw_deg=[0, 35], width=96, height=96)
    straight, turned = render_sweep(Ball(), sweep)
    assert nose_px(turned)[0] > nose_px(straight)[0] + 10, "to the right side of the picture"
    assert red_minus_blue(turned.albedo_srgb, turned.mask) < red_minus_blue(straight.albedo_srgb, straight.mask) - 20


def test_c12_positive_pitch_lifts_the_nose() -> None:
    nose = head_pose_matrix(HeadPose(pitch_deg=20)) @ NOSE
    np.testing.assert_allclose(nose, [0, np.sin(np.radians(20)), np.cos(np.radians(20))], atol=1e-12)
    straight, lifted = render_sweep(Ball(), head_turn(Ball(), yaw_deg=[0, 0], pitch_deg=[0, 25], width=96, height=96))
    assert nose_px(lifted)[1] < nose_px(straight)[1] - 8, "up in the picture"


def test_c13_positive_roll_tilts_the_crown_to_the_subjects_left() -> None:
    crown = head_pose_matrix(HeadPose(roll_deg=20)) @ CROWN
    np.testing.assert_allclose(crown, [np.sin(np.radians(20)), np.cos(np.radians(20)), 0], atol=1e-12)
    straight, tilted = render_sweep(Ball(), head_turn(Ball(), yaw_deg=[0, 0], roll_deg=[0, 30], width=96, height=96))
    lashes = [np.argwhere(view.part_id == 8).mean(0) for view in (straight, tilted)]  # The ball's crown has part 8.
    assert lashes[1][1] > lashes[0][1] + 15, "the crown moves to the right side of the picture"


def test_c14_the_order_is_yaw_after_pitch_after_roll() -> None:
    yaw, pitch, roll = (
        head_pose_matrix(HeadPose(**{name: angle})) for name, angle in (("yaw_deg", 25), ("pitch_deg", -40), ("roll_deg", 70))
    )
    R = head_pose_matrix(HeadPose(25, -40, 70))
    np.testing.assert_allclose(R, yaw @ pitch @ roll, atol=1e-12)
    assert np.abs(R - roll @ pitch @ yaw).max() > 0.3, "the tempting other order is something else"
    rng = np.random.default_rng(0)
    for angles in rng.uniform((-180, -89, -180), (180, 89, 180), (50, 3)):
        back = head_pose_from_matrix(head_pose_matrix(HeadPose(*angles)))
        np.testing.assert_allclose(dataclasses.astuple(back), angles, atol=1e-9)
    up = head_pose_from_matrix(head_pose_matrix(HeadPose(30, 90, 12)))
    np.testing.assert_allclose(head_pose_matrix(up), head_pose_matrix(HeadPose(30, 90, 12)), atol=1e-7)


def test_c15_gaze_has_the_signs_of_head_pose() -> None:
    np.testing.assert_allclose(gaze_matrix(Gaze(12, -34)), head_pose_matrix(HeadPose(12, -34)), atol=1e-15)
    looking = gaze_matrix(Gaze(20, 10)) @ NOSE
    assert looking[0] > 0.3 and looking[1] > 0.15


def test_c16_an_orbit_shows_the_pose_asked_for() -> None:
    sweep = orbit(Ball(), yaw_deg=[90], width=96, height=96)
    camera = sweep.frames[0].camera
    assert camera.position_world[0] < -0.4 and abs(camera.position_world[2]) < 0.03, "at the subject's right"
    view = next(render_sweep(Ball(), sweep))
    assert nose_px(view)[0] > 80
    assert red_minus_blue(view.albedo_srgb, view.mask) < -70, "the right half is blue"


def test_c17_from_the_front_the_subjects_left_is_on_the_right_side(front) -> None:
    left_ear_px, _ = front.camera.project(0.1 * LEFT_EAR)
    assert left_ear_px[0] > 70
    half = np.broadcast_to(np.arange(96) >= 48, (96, 96))
    assert red_minus_blue(front.albedo_srgb, front.mask & half) > 70 > -70 > red_minus_blue(front.albedo_srgb, front.mask & ~half)


def test_c18_expressions_are_arkits_52_names_in_live_link_order() -> None:
    assert len(ARKIT_BLENDSHAPES) == len(set(ARKIT_BLENDSHAPES)) == 52
    assert (ARKIT_BLENDSHAPES[0], ARKIT_BLENDSHAPES[7], ARKIT_BLENDSHAPES[17]) == ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen")
    assert (ARKIT_BLENDSHAPES[23], ARKIT_BLENDSHAPES[51]) == ("mouthSmileLeft", "tongueOut")
    assert all(name[0].islower() and name.isalpha() for name in ARKIT_BLENDSHAPES)


def test_c19_weights_go_by_name_and_unknown_names_are_errors(tmp_path: Path) -> None:
    vector = weights_to_vector({"mouthSmileLeft": 0.7, "jawOpen": 0.2})
    assert vector[23] == np.float32(0.7) and vector[17] == np.float32(0.2) and np.count_nonzero(vector) == 2
    with pytest.raises(RangeError, match="mouthSmileLeft"):
        weights_to_vector({"mouthSmile_L": 1.0})
    save_sweep(tmp_path / "s.json", orbit(Ball(), yaw_deg=[0], weights={"jawOpen": 0.5}))
    assert json.loads((tmp_path / "s.json").read_text())["frames"][0]["weights"] == {"jawOpen": 0.5}


def test_c20_depth_is_camera_z_and_distance_is_ray_length() -> None:
    frame = dataclasses.replace(orbit(Ball(), yaw_deg=[0]).frames[0], camera=asymmetric_camera())
    buffers = render_buffers(Ball(), frame, (0.1, 2))
    position = buffers.position_world[buffers.mask]
    np.testing.assert_allclose(buffers.depth[buffers.mask], buffers.camera.to_camera(position)[:, 2], rtol=1e-5)
    length = np.linalg.norm(position - buffers.camera.position_world, axis=-1)
    np.testing.assert_allclose(buffers.distance[buffers.mask], length, rtol=1e-5)
    assert (length - buffers.depth[buffers.mask]).max() > 1e-3


def test_c21_empty_pixels_hold_no_number_that_could_be_mistaken(front) -> None:
    empty = ~front.mask
    assert empty.any() and front.mask.any()
    for values in (front.depth, front.distance):
        assert np.isposinf(values[empty]).all() and np.isfinite(values[front.mask]).all()
    for values in (front.position_world, front.normal_world, front.normal_cam, front.uv, front.fragments.barycentric):
        assert np.isnan(values[empty]).all() and np.isfinite(values[front.mask]).all()
    assert (front.fragments.face_id[empty] == -1).all() and (front.part_id[empty] == 0).all()
    assert (front.alpha[empty] < 1).all() and (front.alpha[0] == 0).all()


def test_c22_normals_point_outward_and_towards_the_viewer_is_minus_z(front) -> None:
    outward = np.einsum("nc,nc->n", front.normal_world[front.mask], front.position_world[front.mask])
    assert outward.min() > 0
    middle = front.normal_cam[20, 48]
    assert middle[2] < 0 and middle[1] < 0, "the upper half of a ball faces the viewer and up, which is -Y"
    inside = look_at(np.zeros(3), np.array([0, 1.0, 0.2]), fov_y_deg=20, width=8, height=8)
    frame = dataclasses.replace(orbit(Ball(), yaw_deg=[0]).frames[0], camera=inside)
    assert (render_buffers(Ball(), frame, (0.01, 2)).normal_cam[..., 2] > 0.8).all(), "seen from inside they point away"


def test_c23_triangles_are_counter_clockwise_from_outside(head) -> None:
    for vertices, triangles in ((Ball().neutral.vertices, Ball().neutral.triangles), (head.vertices, head.triangles)):
        a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
        # The volume is positive when, taken together, normals point outward.
        assert np.einsum("nc,nc->", a, np.cross(b, c)) / 6 > 1e-4


def test_c24_ids_and_depth_are_never_averaged_but_colour_is() -> None:
    frame = orbit(Ball(), yaw_deg=[20], width=64, height=64).frames[0]
    sharp, smooth = (render_buffers(Ball(), frame, (0.1, 2), supersample=n) for n in (1, 4))
    np.testing.assert_array_equal(sharp.depth, smooth.depth)
    np.testing.assert_array_equal(sharp.part_id, smooth.part_id)
    assert ((smooth.alpha > 0) & (smooth.alpha < 1)).sum() > 50
    # Where the background meets black in equal parts, the mean in linear light is lighter than the mean of the sRGB values.
    half = linear_to_srgb_bytes(np.mean([srgb_to_linear(np.array([128], np.uint8)), [0.0]], 0).astype(np.float32))
    assert half[0] == 92, "64 would be the mean of the bytes"


def test_c25_barycentrics_are_perspective_correct() -> None:
    camera, mesh = asymmetric_camera(), Ball().neutral
    steep = dataclasses.replace(mesh, vertices=np.array([[-0.3, -0.3, 0.5], [0.4, -0.3, -4.0], [0, 0.9, -1]], np.float32))
    one = np.array([[0, 1, 2]], np.int32)
    steep = dataclasses.replace(steep, triangles=one, triangle_uvs=one, triangle_parts=np.ones(1, np.uint8))
    fragments = rasterize(steep, camera)
    hit = fragments.face_id == 0
    assert hit.sum() > 500
    position = fragments.barycentric[hit] @ steep.vertices
    np.testing.assert_allclose(camera.project(position)[0], camera.pixel_centres()[hit], atol=2e-3)
    np.testing.assert_allclose(fragments.barycentric[hit].sum(-1), 1, atol=1e-6)


def test_c26_the_depth_range_is_locked_over_a_sweep() -> None:
    sweep = concatenate([orbit(Ball(), yaw_deg=[-60, 0], width=32, height=32), head_turn(Ball(), yaw_deg=[70], width=32, height=32)])
    views = list(render_sweep(Ball(), sweep))
    assert {view.depth_range_m for view in views} == {sweep.depth_range_m}
    near, far = sweep.depth_range_m
    assert all(near < view.depth[view.mask].min() and view.depth[view.mask].max() < far for view in views)


def test_c27_colour_is_srgb_bytes_outside_and_linear_floats_inside(front) -> None:
    assert front.beauty_srgb.dtype == front.albedo_srgb.dtype == np.uint8
    linear = srgb_to_linear(np.array([0, 128, 255], np.uint8))
    assert linear.dtype == np.float32
    np.testing.assert_allclose(linear, [0, 0.215861, 1], atol=1e-5)
    np.testing.assert_array_equal(linear_to_srgb_bytes(linear), [0, 128, 255])


def test_c28_light_holds_the_cosine_lobe_in_the_stated_order() -> None:
    n = np.array([0.48, 0.6, 0.64])
    order = [1, n[1], n[2], n[0], n[0] * n[1], n[1] * n[2], 3 * n[2] ** 2 - 1, n[0] * n[2], n[0] ** 2 - n[1] ** 2]
    constants = [0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274]
    np.testing.assert_allclose(sh_basis(n), np.multiply(order, constants), rtol=1e-6)
    light = distant_light(n, (1.0, 0.5, 0.25))
    # Facing a distant light, second order gives 1/4 + 1/2 + 5/16 = 17/16 of the clamped cosine's 1.
    np.testing.assert_allclose(sh_basis(n) @ light.sh_linear, np.array([1, 0.5, 0.25]) * 17 / 16, atol=1e-5)
    np.testing.assert_allclose(irradiance(n, light), sh_basis(n) @ light.sh_linear, rtol=1e-6)


def test_c29_v_is_flipped_for_gltf_and_kept_for_obj(tmp_path: Path) -> None:
    import trimesh

    avatar = toy_avatar(toy_head(12, 16))
    read = trimesh.load(export_mesh(avatar, tmp_path / "head.obj"), process=False, force="mesh")
    texts = [line.split()[1:] for line in (tmp_path / "head.obj").read_text().splitlines() if line.startswith("vt ")]
    np.testing.assert_allclose(np.array(texts, float), avatar.head.uvs, atol=1e-5)
    assert len(read.faces) == len(avatar.head.triangles)
    document, binary = read_glb(export_mesh(avatar, tmp_path / "head.glb"))
    skin = avatar.head.triangle_parts == PARTS.index("skin")
    written = corners_by_material(document, binary, "TEXCOORD_0")["skin"]
    np.testing.assert_allclose(written, avatar.head.uvs[avatar.head.triangle_uvs[skin]] * (1, -1) + (0, 1), atol=1e-6)


def test_c30_meshes_are_written_in_the_head_frame_or_in_the_world(tmp_path: Path) -> None:
    import trimesh

    avatar = toy_avatar(toy_head(12, 16), T_world_head=rig_world())
    head, world = (
        trimesh.load(export_mesh(avatar, tmp_path / f"{frame}.ply", frame=frame), process=False).vertices for frame in ("head", "world")
    )
    np.testing.assert_allclose(head, avatar.neutral, atol=1e-6)
    np.testing.assert_allclose(world, avatar.neutral @ rig_world()[:3, :3].T + rig_world()[:3, 3], atol=1e-5)
    for frame in ("head", "world"):
        assert (
            f"relative scale (about metres: the size is the average head's), {frame} frame".encode()
            in (tmp_path / f"{frame}.ply").read_bytes()
        )


def write_rig(folder: Path, camera: Camera, metres_per_unit: float, units: str) -> None:
    T = camera.T_cam_world.copy()
    T[:3, 3] /= metres_per_unit
    entry = {"K": camera.K.tolist(), "world_to_camera": T.tolist(), "width": camera.width, "height": camera.height}
    (folder / "cameras.json").write_text(json.dumps({"units": units, "cameras": {"a.png": entry}}))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)).save(folder / "a.png")


@pytest.mark.parametrize(("units", "metres"), [("metres", 1.0), ("mm", 0.001), ("cm", 0.01)])
def test_c31_a_rig_file_holds_cameras_in_these_axes(tmp_path: Path, units: str, metres: float) -> None:
    camera = asymmetric_camera().resized(width=240, height=160)
    write_rig(tmp_path, camera, metres, units)
    (view,) = load_capture(tmp_path).views
    assert view.camera is not None
    np.testing.assert_allclose(view.camera.T_cam_world, camera.T_cam_world, atol=1e-12)
    np.testing.assert_array_equal(view.camera.K, camera.K)


def test_c32_scale_is_metric_only_with_calibrated_cameras(tmp_path: Path) -> None:
    write_rig(tmp_path, asymmetric_camera().resized(width=240, height=160), 1.0, "metres")
    assert load_capture(tmp_path).scale == "metric"
    (tmp_path / "cameras.json").unlink()
    assert load_capture(tmp_path).scale == "relative"


def test_c33_landmarks_lie_on_the_head_on_the_subjects_sides(head) -> None:
    embedding = load_embedding(head)
    points = embedding.points(head.vertices, head.triangles)
    assert embedding.scheme == "mediapipe478" and points.shape == (478, 3)
    # MediaPipe: 33 and 133 are the corners of the right eye, 263 and 362 of the left; 1 is the nose tip, 152 the chin.
    assert points[33, 0] < points[133, 0] < 0 < points[362, 0] < points[263, 0]
    assert points[1, 2] == pytest.approx(points[:, 2].max(), abs=6e-3)
    assert points[152, 1] < points[1, 1] < points[10, 1]


def test_c34_sixteen_bit_depth_is_linear_between_near_and_far(tmp_path: Path, front) -> None:
    assert depth_to_uint16(np.array([[1.0, 3.0, 2.0, np.inf]]), (1.0, 3.0)).tolist() == [[0, 65534, 32767, 65535]]
    (path,) = save_buffers(tmp_path, front, ["depth16"])
    step = (front.depth_range_m[1] - front.depth_range_m[0]) / 65534
    assert np.abs(load_depth16(path)[front.mask] - front.depth[front.mask]).max() < step
