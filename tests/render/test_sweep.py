"""Sweeps: what orbits and head turns show, locked framing and depth, streaming, files."""

from __future__ import annotations

import dataclasses
import gc
import json
import re
import weakref
from pathlib import Path

import numpy as np
import pytest

from assets.errors import ArtifactError, InputError, RangeError
from render import (
    Gaze,
    Light,
    Sweep,
    concatenate,
    depth_range,
    expression_ramp,
    head_pose_seen,
    head_turn,
    load_sweep,
    orbit,
    render_buffers,
    render_sweep,
    resized,
    save_sweep,
)
from tests.render.posables import Ball


def rig_world() -> np.ndarray:
    """A rest pose of the head in a rig's world: no axis is along another, the head metres from the origin."""
    R, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R * np.linalg.det(R), (2.0, -3.0, 1.5)
    return T


def red_minus_blue(image: np.ndarray, mask: np.ndarray) -> float:
    """The ball is red on its left half and blue on its right half."""
    return float((image[mask][:, 0].astype(float) - image[mask][:, 2]).mean())


def nose_px(buffers) -> np.ndarray:
    """Where the ball's nose, the vertex farthest from its centre, lands."""
    vertices = buffers.mesh.vertices.astype(np.float64)
    tip = np.argmax(np.linalg.norm(Ball().neutral.vertices, axis=-1))
    return buffers.camera.project(vertices[tip])[0]


@pytest.mark.parametrize("T_world_head", [np.eye(4), rig_world()], ids=["head world", "rig world"])
@pytest.mark.parametrize("make", [orbit, head_turn])
def test_yaw_plus_90_shows_the_subjects_right_side_with_the_nose_to_the_right(make, T_world_head: np.ndarray) -> None:
    ball = Ball(T_world_head=T_world_head)
    sweep = make(ball, yaw_deg=[-90, 0, 90], width=96, height=96)
    left, front, right = render_sweep(ball, sweep)
    assert red_minus_blue(right.albedo_srgb, right.mask) < -70 < 70 < red_minus_blue(left.albedo_srgb, left.mask)
    assert nose_px(right)[0] > 80 and nose_px(left)[0] < 16
    np.testing.assert_allclose(nose_px(front), [48, 48], atol=2)


@pytest.mark.parametrize("T_world_head", [np.eye(4), rig_world()], ids=["head world", "rig world"])
def test_orbit_and_head_turn_of_the_same_angles_see_the_same_pose(T_world_head: np.ndarray) -> None:
    ball = Ball(T_world_head=T_world_head)
    for angles in ({"yaw_deg": [37.0], "pitch_deg": 0.0}, {"yaw_deg": [0.0], "pitch_deg": 21.0}):
        seen = head_pose_seen(orbit(ball, **angles).frames[0].camera, T_world_head)
        turned = head_turn(ball, **angles).frames[0]
        pose = dataclasses.astuple(turned.head_pose)
        np.testing.assert_allclose(dataclasses.astuple(seen), pose, atol=1e-9)
        np.testing.assert_allclose(dataclasses.astuple(head_pose_seen(turned.camera, T_world_head)), 0, atol=1e-9)


def test_positive_pitch_lifts_the_nose_in_orbit_and_head_turn() -> None:
    ball = Ball()
    for make in (orbit, head_turn):
        sweep = make(ball, yaw_deg=[0], pitch_deg=25, width=96, height=96)
        assert nose_px(next(render_sweep(ball, sweep)))[1] < 40


def test_the_heads_up_stays_up_all_round_an_orbit() -> None:
    # The ball with its nose spans z from -0.1 to 0.13: the camera looks at z = 0.015.
    sweep = orbit(Ball(), yaw_deg=np.linspace(-180, 150, 12).tolist(), pitch_deg=30)
    for frame in sweep.frames:
        px, _ = frame.camera.project(np.array([[0, -0.05, 0.015], [0, 0.05, 0.015]]))
        np.testing.assert_allclose(px[0, 0], px[1, 0], atol=1e-3)
        assert px[1, 1] < px[0, 1]


def test_framing_is_locked_and_the_head_stays_inside() -> None:
    ball = Ball()
    for sweep in (
        orbit(ball, yaw_deg=[-100, 10, 170], pitch_deg=[-40, 0, 60]),
        head_turn(ball, yaw_deg=[-90, 0, 60], pitch_deg=[0, 30, -30]),
    ):
        cameras = [frame.camera for frame in sweep.frames]
        centre = ball.neutral.vertices
        centre = (centre.min(0) + centre.max(0)) / 2
        distances = [np.linalg.norm(camera.position_world - centre) for camera in cameras]
        np.testing.assert_allclose(distances, distances[0], rtol=1e-6)
        for frame in sweep.frames:
            np.testing.assert_array_equal(frame.camera.K, cameras[0].K)
            np.testing.assert_allclose(frame.camera.project(centre)[0], [256, 256], atol=1e-3)
            px, _ = frame.camera.project(ball.pose(frame).vertices)
            assert px.min() > 0 and px.max() < 512


def test_wide_and_tall_pictures_hold_the_head_too() -> None:
    for width, height in ((320, 96), (96, 320)):
        frame = orbit(Ball(), yaw_deg=[30], width=width, height=height).frames[0]
        px, _ = frame.camera.project(Ball().pose(frame).vertices)
        assert (px > 0).all() and (px < (width, height)).all()
        assert px[:, 0].max() - px[:, 0].min() > 0.6 * 96


def test_the_depth_range_holds_every_frame_and_is_used_widely() -> None:
    ball = Ball(T_world_head=rig_world())
    turns = head_turn(ball, yaw_deg=[-90, 0, 90], width=64, height=64)
    ramp = expression_ramp(ball, weights={"jawOpen": 1.0}, num_frames=3, width=64, height=64)
    for sweep in (orbit(ball, yaw_deg=[-90, -20, 60], width=64, height=64), turns, ramp):
        near, far = sweep.depth_range_m
        depths = np.concatenate([buffers.depth[buffers.mask] for buffers in render_sweep(ball, sweep)])
        assert near < depths.min() and depths.max() < far
        assert (depths.max() - depths.min()) / (far - near) > 0.7


def test_long_turns_are_sampled_for_the_depth_range_without_losing_its_ends() -> None:
    ball = Ball()
    yaw = np.linspace(-80, 80, 500)
    sweep = head_turn(ball, yaw_deg=yaw.tolist())
    ends = [depth_range(ball, [frame]) for frame in (sweep.frames[0], sweep.frames[-1])]
    assert sweep.depth_range_m[0] <= min(near for near, _ in ends) and sweep.depth_range_m[1] >= max(far for _, far in ends)


def test_expression_ramp_goes_from_neutral_to_the_whole_expression() -> None:
    frames = expression_ramp(Ball(), weights={"jawOpen": 0.8, "mouthSmileLeft": 0.4}, num_frames=5, yaw_deg=10).frames
    assert [frame.weights["jawOpen"] for frame in frames] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert frames[4].weights["mouthSmileLeft"] == 0.4
    assert frames[0].camera is frames[4].camera


def test_names_are_padded_and_renumbered_when_sweeps_are_joined() -> None:
    first, second = orbit(Ball(), yaw_deg=[0, 10]), head_turn(Ball(), yaw_deg=[60])
    joined = concatenate([first, second])
    assert [frame.name for frame in joined.frames] == ["0000", "0001", "0002"]
    assert joined.frames[2].head_pose.yaw_deg == 60
    assert joined.depth_range_m[0] == min(first.depth_range_m[0], second.depth_range_m[0])
    assert joined.depth_range_m[1] == max(first.depth_range_m[1], second.depth_range_m[1])
    many = tuple(dataclasses.replace(first.frames[0], name=f"n{number}") for number in range(12000))
    long = Sweep(many, first.depth_range_m)
    assert concatenate([long]).frames[-1].name == "11999" and concatenate([long]).frames[0].name == "00000"


def test_resized_keeps_pixels_square_and_the_middle_in_the_middle() -> None:
    sweep = orbit(Ball(), yaw_deg=[25], width=512, height=512)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 3))
    px, _ = sweep.frames[0].camera.project(points)
    wide = resized(sweep, width=768, height=256).frames[0].camera
    assert (wide.width, wide.height) == (768, 256)
    np.testing.assert_allclose(wide.project(points)[0], px * 0.5 + (256, 0), atol=1e-9)
    assert resized(sweep, width=256, height=256).depth_range_m == sweep.depth_range_m


def test_rendering_is_a_stream_that_holds_one_frame() -> None:
    ball, alive, started = Ball(), [], []
    sweep = orbit(ball, yaw_deg=np.linspace(-30, 30, 6).tolist(), width=32, height=32)
    for buffers in render_sweep(ball, sweep, progress=lambda stage, done, total: started.append((stage, done, total))):
        alive.append(weakref.ref(buffers))
        name = buffers.name
        del buffers
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= 1
    assert name == "0005" and started[-1] == ("render", 6, 6) and len(started) == 6


def test_a_frame_is_the_same_alone_and_inside_a_sweep() -> None:
    ball = Ball()
    sweep = orbit(ball, yaw_deg=[-20, 40], width=48, height=48)
    streamed = list(render_sweep(ball, sweep))[1]
    alone = render_buffers(ball, sweep.frames[1], sweep.depth_range_m)
    np.testing.assert_array_equal(streamed.beauty_srgb, alone.beauty_srgb)
    np.testing.assert_array_equal(streamed.depth, alone.depth)


def test_sweep_files_round_trip_to_the_bit(tmp_path: Path) -> None:
    sweep = head_turn(Ball(), yaw_deg=[1 / 3, -70], pitch_deg=7.7, roll_deg=-3, weights={"jawOpen": 0.1}, gaze=Gaze(3, -4))
    light = Light(np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32))
    sweep = dataclasses.replace(sweep, frames=(dataclasses.replace(sweep.frames[0], light=light), sweep.frames[1]))
    save_sweep(tmp_path / "sweep.json", sweep)
    back = load_sweep(tmp_path / "sweep.json")
    assert back.depth_range_m == sweep.depth_range_m and list(tmp_path.iterdir()) == [tmp_path / "sweep.json"]
    for a, b in zip(sweep.frames, back.frames, strict=True):
        assert (a.name, a.head_pose, dict(a.weights), a.gaze) == (b.name, b.head_pose, dict(b.weights), b.gaze)
        assert np.array_equal(a.camera.K, b.camera.K) and np.array_equal(a.camera.T_cam_world, b.camera.T_cam_world)
    assert back.frames[0].light is not None and np.array_equal(back.frames[0].light.sh_linear, light.sh_linear)
    assert back.frames[1].light is None


def test_broken_sweep_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    save_sweep(path, orbit(Ball(), yaw_deg=[0]))
    good = json.loads(path.read_text())
    broken = [good | {"version": 99}, {"a": 1}, [1], good | {"frames": [{"name": "0"}]}, good | {"depth_range_m": [1]}]
    wrong_name = json.loads(path.read_text())
    wrong_name["frames"][0]["weights"] = {"jawOpn": 1}
    for values in [*broken, wrong_name]:
        path.write_text(json.dumps(values))
        with pytest.raises(ArtifactError):
            load_sweep(path)
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"sweep\.json"):
        load_sweep(path)
    with pytest.raises(ArtifactError):
        load_sweep(tmp_path / "absent.json")


def test_frames_of_a_sweep_file_have_names_that_stay_in_their_folder_and_differ(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    save_sweep(path, orbit(Ball(), yaw_deg=[0, 10]))
    good = json.loads(path.read_text())
    for names, said in (
        (["../../evil", "b"], "evil"),
        (["a", "/tmp/x"], "/tmp/x"),
        (["a\\b", "c"], "plain file stem"),
        (["..", "b"], "plain file stem"),
        ([".a", "b"], "plain file stem"),
        (["", "b"], "plain file stem"),
        (["a\n", "b"], "plain file stem"),
        (["a", "a"], "'a' 2 times"),
        ([], "no frames"),
    ):
        frames = [frame | {"name": name} for frame, name in zip(good["frames"], names, strict=False)]
        path.write_text(json.dumps(good | {"frames": frames}))
        with pytest.raises(ArtifactError, match=re.escape(said)):
            load_sweep(path)
    frames = [frame | {"name": name} for frame, name in zip(good["frames"], ["photo 1.jpg", "ä#2"], strict=True)]
    path.write_text(json.dumps(good | {"frames": frames}))
    assert [frame.name for frame in load_sweep(path).frames] == ["photo 1.jpg", "ä#2"]


def test_a_sweep_is_not_written_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "renders").mkdir()
    with pytest.raises(InputError, match=r"renders, which is a folder"):
        save_sweep(tmp_path / "renders", orbit(Ball(), yaw_deg=[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["renders"]


def test_impossible_sweeps_are_refused() -> None:
    for call in (
        lambda: orbit(Ball(), yaw_deg=[]),
        lambda: orbit(Ball(), yaw_deg=[0, 1], pitch_deg=[1, 2, 3]),
        lambda: head_turn(Ball(), yaw_deg=[float("nan")]),
        lambda: expression_ramp(Ball(), weights={}, num_frames=1),
        lambda: concatenate([]),
    ):
        with pytest.raises(RangeError):
            call()


def test_an_avatar_is_a_posable() -> None:
    from tests.recon.toy_head import toy_avatar

    avatar = toy_avatar(T_world_head=rig_world())
    front, turned = render_sweep(avatar, head_turn(avatar, yaw_deg=[0, 40], width=64, height=64))
    for view in (front, turned):
        assert 0.2 < view.mask.mean() < 0.8
        assert np.argwhere(view.mask).mean(0).min() > 8 and np.argwhere(view.mask).mean(0).max() < 56
    assert head_pose_seen(front.camera, rig_world()).yaw_deg == pytest.approx(0, abs=1e-9)
