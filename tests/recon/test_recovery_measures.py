"""The measures that recovery tests and benchmarks rest on: right on cases worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from assets import load_head
from benchmarks import geometry_trials
from benchmarks.geometry import keys_of
from benchmarks.geometry_calibration import ratios
from benchmarks.geometry_captures import Case, arkit_weights, frame_truths
from benchmarks.geometry_photos import PhotoRow, draw, even_photos, seen_yaw_deg
from benchmarks.geometry_photos import keys_of as photo_keys
from benchmarks.geometry_rows import Row, rotation_errors_deg, weights_correlation
from benchmarks.geometry_scores import score_mesh
from benchmarks.geometry_trials import mix_in_strangers, verdict, with_few_cameras, with_focal_factor
from benchmarks.stand_in_people import make_person
from benchmarks.stand_in_shots import camera_at, loose_shots, rig_shots
from benchmarks.stand_in_specs import PEOPLE, Dent, PersonSpec, mirrored
from recon.avatar import FittedView
from recon.capture import Capture, View, ViewStatus
from recon.export.ply import write_ply
from tests.recon.toy_head import toy_avatar, toy_head


def _turn(degrees: float, axis: str = "y") -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def test_rotation_errors_are_those_left_after_one_turn_of_the_head_frame_even_where_one_pose_is_wrong():
    truth = [_turn(yaw) @ _turn(yaw / 7, "x") for yaw in (-60, -25, 0, 31, 70)]
    common = _turn(13, "z") @ _turn(4, "x")
    found = [pose @ common for pose in truth]
    found[3] = _turn(20) @ found[3]
    angles = rotation_errors_deg(list(zip(found, truth, strict=True)))
    assert angles[[0, 1, 2, 4]] == pytest.approx(np.zeros(4), abs=0.05)
    assert angles[3] == pytest.approx(20, abs=0.05)


def test_weights_correlation_looks_only_at_shapes_in_play():
    # jawOpen is in play and follows; browDownLeft never exceeds a tenth, so that its noise does not count.
    truth = [{"jawOpen": 0.8, "browDownLeft": 0.05}, {"jawOpen": 0.2}, {"mouthPucker": 0.6}]
    found = [{"jawOpen": 0.4, "browDownLeft": 0.9}, {"jawOpen": 0.1}, {"mouthPucker": 0.3}]
    assert weights_correlation(list(zip(found, truth, strict=True))) == pytest.approx(1.0)
    swapped = [found[1], found[0], found[2]]
    assert weights_correlation(list(zip(swapped, truth, strict=True))) < 0.8


def test_ict_weights_are_read_under_arkits_names():
    given = {"mouthSmile_L": 0.5, "browInnerUp_L": 0.2, "browInnerUp_R": 0.6, "PupilDilate_L": 1.0, "jawOpen": 0.3}
    assert arkit_weights(given) == pytest.approx({"mouthSmileLeft": 0.5, "browInnerUp": 0.4, "jawOpen": 0.3})


def test_photos_are_chosen_from_the_front_outwards():
    yaws = [-80, -60, -38, -20, 1, 22, 41, 63, 79]
    assert even_photos(yaws, 1) == [4]
    # Two and three stay within reach of each other, more go out to the profiles.
    assert [yaws[index] for index in even_photos(yaws, 2)] == [-20, 22]
    assert [yaws[index] for index in even_photos(yaws, 3)] == [-38, 1, 41]
    assert [yaws[index] for index in even_photos(yaws, 5)] == [-60, -38, 1, 41, 63]
    assert even_photos(yaws, 9) == list(range(9))


def test_yaw_of_a_camera_has_the_sign_of_the_heads_turn():
    assert seen_yaw_deg(camera_at(37, -5, 0.7, 500, (300, 400)).T_cam_world) == pytest.approx(37, abs=3)


def test_frames_truth_takes_the_head_along_in_its_world(tmp_path):
    T_cam_world, T_world_head = np.eye(4), np.eye(4)
    T_cam_world[2, 3], T_world_head[0, 3] = 0.7, 0.1
    camera = {"K": np.diag([900.0, 900, 1]).tolist(), "world_to_camera": T_cam_world.tolist()}
    frame = {"file": "images/a.jpg", "expression": "smile", "expression_coefficients": {"jawOpen": 0.2}, "camera": camera}
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "frames.json").write_text(json.dumps({"frames": [frame | {"T_world_head": T_world_head.tolist()}]}))
    truth = frame_truths(Case("x", tmp_path, tmp_path / "images", None))["a.jpg"]
    assert truth.T_cam_head[:3, 3] == pytest.approx([0.1, 0, 0.7])


def test_score_of_a_mesh_moved_by_a_millimetre_is_that_millimetre_where_nothing_is_aligned(tmp_path):
    head = load_head()
    skin = head.triangles[head.triangle_parts == 1]
    (tmp_path / "gt").mkdir()
    write_ply(tmp_path / "gt" / "neutral.ply", head.vertices, skin, comment="truth")
    front = np.flatnonzero((head.vertices[:, 2] > 0.01) & (np.abs(head.vertices[:, 0]) < 0.02) & (head.vertices[:, 1] > 0.02))
    np.savez(tmp_path / "gt" / "face_mask.npz", face=front)
    moved = head.vertices + [0, 0, 1e-3]
    unaligned, aligned = (score_mesh(tmp_path, moved, skin, align=align) for align in ("none", "rigid"))
    # The forehead looks along +Z, to within its slope.
    assert 0.8 < unaligned["face"].median_mm < 1.0 and aligned["face"].median_mm < 0.05
    assert unaligned["head"].median_mm < unaligned["face"].median_mm


def test_json_has_the_full_fits_figures_under_the_captures_own_name_and_leaves_out_what_is_unknown():
    row = Row("studio-a", "ict", "full", 0.12, 0.2, 0.5, rotation_deg=0.2)
    keys = keys_of(row)
    assert keys["studio-a.ict.median_mm"] == keys["studio-a.ict.full.median_mm"] == 0.12
    assert keys["studio-a.ict.rotation_deg"] == 0.2 and "studio-a.ict.focal_error" not in keys
    assert "studio-a.ict.median_mm" not in keys_of(Row("studio-a", "ict", "average", 1.1, 1.2, 3.0))


def test_json_has_the_share_within_two_deviations_by_area_and_the_strangers():
    row = Row("sample", "anny", "full", 0.2, 0.2, 1.0, within_2sd=0.93, within_2sd_by_area={"chin and jaw": 0.99}, strangers_mixed_in=3)
    keys = keys_of(row)
    assert keys["sample.anny.within_2sd"] == 0.93 and keys["sample.anny.within_2sd_chin_and_jaw"] == 0.99
    assert keys["sample.anny.full.strangers_mixed_in"] == 3 and "sample.anny.strangers_named" not in keys


def _rig_of_five() -> tuple[Capture, dict[str, float]]:
    """Five cameras, two pictures of each; the names' order is not that of the yaws."""
    views, yaws = [], {"a": 35.0, "b": -70.0, "c": 0.0, "d": 72.0, "e": -33.0}
    for expression in ("neutral", "smile"):
        for name, yaw in yaws.items():
            camera = camera_at(yaw, 4, 0.7, 500, (300, 400))
            views.append(View(f"{expression}_{name}.jpg", Path(name), 300, 400, focal_px=500.0, camera=camera, camera_file="cameras.json"))
    return Capture(Path("."), tuple(views), "metric"), {view.name: yaws[view.name[-5]] for view in views}


def test_few_cameras_are_spread_over_the_rig_and_keep_all_their_pictures():
    capture, yaws = _rig_of_five()
    alone = with_few_cameras(capture, yaws, 3, others="left out")
    assert sorted(view.name for view in alone.views) == [f"{e}_{n}.jpg" for e in ("neutral", "smile") for n in "bcd"]
    mixed = with_few_cameras(capture, yaws, 3, others="loose")
    assert [view.name for view in mixed.views] == [view.name for view in capture.views]
    loose = [view for view in mixed.views if view.camera is None]
    assert sorted(view.name[-5] for view in loose) == ["a", "a", "e", "e"]
    assert all(view.focal_px is None and view.camera_file == "" for view in loose)


def test_a_wrong_focal_length_is_wrong_in_all_photos_and_an_unknown_one_stays_unknown():
    known = View("a.jpg", Path("a"), 300, 400, focal_px=500.0)
    capture = Capture(Path("."), (known, dataclasses.replace(known, name="b.jpg", focal_px=None)), "relative")
    assert [view.focal_px for view in with_focal_factor(capture, 1.3).views] == [650.0, None]
    assert [view.focal_px for view in with_focal_factor(capture, None).views] == [None, None]


def test_a_stranger_counts_as_named_only_where_the_reason_says_another_person():
    def view(name: str, status: ViewStatus, reason: str, *, used: bool) -> FittedView:
        camera = camera_at(0, 0, 0.7, 500, (300, 400)) if used else None
        nan = float("nan")
        return FittedView(name, status, reason, camera, None, {}, nan, nan, nan, nan)

    true = [view("1.jpg", "ok", "", used=True), view("2.jpg", "no_face", "too few features", used=False)]
    named = toy_avatar(toy_head(8, 8), views=(*true, view("s", "rejected", "rejected: another person: 12 %", used=False)))
    assert verdict(named, "s") == {"strangers_used": 0, "strangers_named": 1, "true_views_rejected": 0}
    lost = toy_avatar(toy_head(8, 8), views=(view("1.jpg", "rejected", "another person", used=False), view("s", "ok", "", used=True)))
    assert verdict(lost, "s") == {"strangers_used": 1, "strangers_named": 0, "true_views_rejected": 1}


def test_strangers_are_mixed_in_one_at_a_time_and_the_worst_fit_is_told(monkeypatch, tmp_path):
    lens = {"K": np.diag([500.0, 500, 1]).tolist(), "world_to_camera": np.eye(4).tolist()}
    frames = [{"file": f"IMG_{k}.jpg", "expression": "neutral", "expression_coefficients": {}, "camera": lens} for k in (1, 2)]
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "frames.json").write_text(json.dumps({"frames": frames}))
    case = Case("x", tmp_path, tmp_path / "images", None)
    own, others = (
        Capture(Path("."), tuple(View(f"IMG_{k}.jpg", Path(str(k)), 300, 400) for k in range(1, n + 1)), "relative") for n in (2, 5)
    )
    mixed_in = []

    def fake_fit(capture: Capture, head: str, kind: str, preset: str):
        mixed_in.append(capture.views[-1].name)
        assert [view.name for view in capture.views[:-1]] == ["IMG_1.jpg", "IMG_2.jpg"]
        used = len(mixed_in) == 2
        camera = camera_at(0, 0, 0.7, 500, (300, 400))
        known = [FittedView(v.name, "ok", "", camera, np.eye(4), {}, 1.0, 0.0, 0.0, 0.0) for v in capture.views[: 3 if used else 2]]
        nan = float("nan")
        aside = FittedView(capture.views[-1].name, "rejected", "rejected: another person: 9 %", None, None, {}, nan, nan, nan, nan)
        return toy_avatar(toy_head(8, 8), views=tuple(known) if used else (*known, aside))

    monkeypatch.setattr(geometry_trials, "fitted", fake_fit)
    monkeypatch.setattr(geometry_trials, "scored", lambda row, avatar, case: dataclasses.replace(row, median_mm=0.1 * len(mixed_in)))
    row = mix_in_strangers(case, own, others, "anny", "fast", 3)
    # Names are kept apart, though both phones count alike; the photos are spread over the other capture.
    assert mixed_in == [f"stranger/of-IMG_{k}.jpg" for k in (1, 3, 5)]
    assert (row.strangers_mixed_in, row.strangers_used, row.strangers_named, row.true_views_rejected) == (3, 1, 2, 0)
    assert row.median_mm == pytest.approx(0.3) and row.registered == 1.0


def test_distance_over_spread_is_taken_where_the_point_lies():
    head = toy_head(24, 32)
    avatar = toy_avatar(head)
    sd_mm = np.where(head.vertices[:, 0] > 0, 0.5, 2.0).astype(np.float32)
    corners = avatar.neutral[head.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    sides = (corners[..., 0] > 0.01).all(1), (corners[..., 0] < -0.01).all(1)
    ratio, _ = ratios(avatar, sd_mm, corners.mean(1) + 1e-3 * normal)
    assert np.nanmedian(ratio[sides[0]]) == pytest.approx(2.0, rel=0.05) and np.nanmedian(ratio[sides[1]]) == pytest.approx(0.5, rel=0.05)


def test_the_plot_of_photos_is_drawn_with_all_its_lines(tmp_path):
    rows = [PhotoRow("sample", "anny", kind, n, 1 / (n + 1), 3.0, 2.0) for kind in ("landmarks", "full") for n in (1, 3, 5)]
    draw([*rows, PhotoRow("sample", "anny", "average", 0, 0.7, 2.9, 1.0)], tmp_path / "p.png")
    assert min(Image.open(tmp_path / "p.png").size) > 500
    assert photo_keys(rows[0]) == {
        "sample.anny.landmarks.photos_1.median_mm": 0.5, "sample.anny.landmarks.photos_1.p95_mm": 3.0,
        "sample.anny.landmarks.photos_1.head_median_mm": 2.0,
    }  # fmt: skip
    assert "sample.anny.photos_5.median_mm" in photo_keys(rows[-1])


def test_stand_ins_oddities_lie_where_their_specs_say_and_lids_and_lips_are_left_alone():
    plain = PersonSpec("anny", seed=3, relief_mm=0.0)
    odd = PersonSpec("anny", seed=3, relief_mm=0.0, dents=mirrored((Dent((40, -40, 8), (8, 8, 12), (0, 0, -3.0)),)))
    shift_mm = 1e3 * (make_person(odd).offsets - make_person(plain).offsets)
    deepest = make_person(odd).atlas_mm[np.argmin(shift_mm[:, 2])]
    # The surface passes the place of the dent at some distance.
    assert -3.01 < shift_mm.min() < -2.2 and np.abs(deepest - (-40, -40, 8)).max() < 9
    about_eye = np.linalg.norm(make_person(odd).atlas_mm - (31.3, 0, 0), axis=1) < 17
    assert np.abs(shift_mm[about_eye]).max() < 1e-6


def test_stand_ins_shots_are_the_same_every_time_and_no_two_people_share_them():
    first, again, other = (loose_shots(PEOPLE[name].seed) for name in ("ict-odd", "ict-odd", "hairy"))
    assert all(np.array_equal(a.camera.T_cam_world, b.camera.T_cam_world) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].camera.T_cam_world, other[0].camera.T_cam_world)
    neutral = [shot for shot in rig_shots(41) if shot.expression == "neutral"]
    assert len(neutral) == 11 and len(rig_shots(41)) == 29
    # The rig's world is not the head frame, and the head moves between expressions.
    assert np.abs(neutral[0].T_world_head - rig_shots(41)[-1].T_world_head).max() > 1e-3
