"""The camera doctor: every usual mistake in a cameras file is named with both figures and the option that undoes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from assets import load_head
from assets.errors import ConventionError
from recon.capture import Capture, View
from recon.fitting import FitSettings, assemble
from recon.solve.conventions import PUPILS_MM
from recon.solve.pipeline import solve
from recon.solve.prepare import Prepared
from recon.solve.rig_size import sized_by_head
from render import Camera, look_at
from tests.recon.synthetic_person import Person, prepare_person, sketch_person

FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])
QUARTER = np.array([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def person() -> Person:
    """Pictures wider than high, principal points off the middle, another focal length for each camera."""
    cameras = []
    for k, distance in enumerate((0.62, 0.7, 0.66, 0.6)):
        yaw, pitch = np.radians(-46.0 + 31.0 * k), np.radians((-8.0, 5.0, 11.0)[k % 3])
        aim, away = np.array([0.02, -0.03, 0.0]), np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        up = np.array([0.03, 1.0, 0.0])
        camera = look_at(aim + distance * away, aim, up=up, focal_px=1000.0 + 40.0 * k, width=900, height=600)
        cameras.append(dataclasses.replace(camera, K=camera.K + np.array([[0, 0, 9.0 - 4 * k], [0, 0, 5.0 * k - 6], [0, 0, 0]])))
    return sketch_person(load_head(), tuple(cameras))


def told(person: Person, *, extrinsics=None, intrinsics=None, **read_as) -> Prepared:
    """The pictures of true cameras with a file that says otherwise, and with the conventions that it was read in."""
    changed = tuple(
        dataclasses.replace(
            camera,
            T_cam_world=camera.T_cam_world if extrinsics is None else extrinsics(camera.T_cam_world),
            K=camera.K if intrinsics is None else intrinsics(camera),
        )
        for camera in person.cameras
    )
    prepared = prepare_person(dataclasses.replace(person, cameras=changed), rig=True)
    views = tuple(dataclasses.replace(view, camera_file="rig.csv", **read_as) for view in prepared.views)
    return dataclasses.replace(prepared, views=views)


def diagnosis(prepared: Prepared) -> ConventionError:
    with pytest.raises(ConventionError) as caught:
        solve(prepared, "fast", use_dense=False, free_form=False)
    return caught.value


def lengths_times(factor: float):
    def scaled(T_cam_world: np.ndarray) -> np.ndarray:
        T = T_cam_world.copy()
        T[:3, 3] *= factor
        return T

    return scaled


def with_centre(camera: Camera, cx: float, cy: float) -> np.ndarray:
    K = camera.K.copy()
    K[:2, 2] = cx, cy
    return K


@pytest.mark.parametrize(
    ("change", "read_as", "words", "do"),
    [
        (np.linalg.inv, {}, "the extrinsics are inverted", "use --cameras-invert"),
        (lambda T: FLIP_YZ @ T, {}, "the camera axes are OpenGL's", "use --cameras-axes opengl"),
        (
            lambda T: np.linalg.inv(FLIP_YZ @ T),
            {},
            "the extrinsics are inverted and the camera axes are OpenGL's",
            "use --cameras-invert and --cameras-axes opengl",
        ),
        # The matrices of the file were right, and an option or the format's rule read them wrongly.
        (np.linalg.inv, {"camera_inverted": True}, "the extrinsics are inverted", "leave out --cameras-invert"),
        (lambda T: FLIP_YZ @ T, {"camera_axes": "opengl"}, "the camera axes are OpenCV's", "use --cameras-axes opencv"),
        (
            lambda T: FLIP_YZ @ np.linalg.inv(FLIP_YZ @ T),
            {"camera_axes": "opengl"},
            "the extrinsics are inverted",
            "use --cameras-invert",
        ),
        # The camera was turned with its picture after the file's matrix was read.
        (lambda T: QUARTER @ np.linalg.inv(QUARTER.T @ T), {"camera_turns": 1}, "the extrinsics are inverted", "use --cameras-invert"),
        (
            lambda T: FLIP_YZ @ np.linalg.inv(T),
            {"camera_axes": "opengl", "camera_inverted": True},
            "the extrinsics are inverted and the camera axes are OpenCV's",
            "leave out --cameras-invert and use --cameras-axes opencv",
        ),
    ],
)
def test_extrinsics_in_another_convention_are_named_with_the_option_to_use(person, change, read_as, words, do):
    error = diagnosis(told(person, extrinsics=change, **read_as))
    given, otherwise = error.got.split("; ")
    assert given.startswith("reprojection ") and otherwise.endswith(f" px if {words}")
    assert float(otherwise.split()[0]) < 8.0
    assert error.do == do


@pytest.mark.parametrize(
    ("intrinsics", "words", "do"),
    [
        # Offsets from the middle, as Metashape writes them, taken for coordinates.
        (lambda c: with_centre(c, c.K[0, 2] - 450, c.K[1, 2] - 300), "the principal point is the middle of the picture", "rig.csv"),
        # The picture was taken for 600 x 900 when its middle was written down.
        (lambda c: with_centre(c, c.K[1, 2], c.K[0, 2]), "cx and cy are exchanged", "width and height were swapped"),
    ],
)
def test_a_wrong_principal_point_is_named(person, intrinsics, words, do):
    error = diagnosis(told(person, intrinsics=intrinsics))
    given, otherwise = error.got.split("; ")
    assert otherwise.endswith(f" px if {words}") and do in error.do
    assert float(otherwise.split()[0]) < 8.0 < float(given.split()[1].removesuffix(","))


@pytest.mark.parametrize(
    ("factor", "unit", "true_unit"),
    [(1000.0, "m", "mm"), (100.0, "m", "cm"), (0.001, "mm", "m"), (10.0, "cm", "mm"), (0.1, "mm", "cm")],
)
def test_a_wrong_unit_shows_in_the_distance_between_the_pupils(person, factor, unit, true_unit):
    error = diagnosis(told(person, extrinsics=lengths_times(factor), camera_unit=unit))
    given, otherwise = error.got.split("; ")
    assert otherwise.endswith(f"mm if they are in {true_unit}") and PUPILS_MM[0] < float(otherwise.split()[0]) < PUPILS_MM[1]
    assert float(given.split()[0]) == pytest.approx(factor * float(otherwise.split()[0]), rel=2e-2)
    assert error.do == f"use --cameras-unit {true_unit}"


def test_a_scale_that_no_unit_explains_is_refused_with_the_way_out(person):
    error = diagnosis(told(person, extrinsics=lengths_times(7.3), camera_unit="m"))
    assert "no usual unit" in error.got and "--cameras-unit unknown" in error.do


def test_a_true_rig_and_one_of_unknown_unit_are_taken(person):
    for factor, unit in ((1.0, "m"), (1.0, "")):
        solution = solve(told(person, extrinsics=lengths_times(factor), camera_unit=unit), "fast", use_dense=False, free_form=False)
        assert solution.registered == [0, 1, 2, 3]


@pytest.mark.parametrize("factor", [0.013, 1.0, 410.0])
def test_a_rig_of_unknown_unit_is_brought_to_an_average_heads_size(person, factor):
    prepared = told(person, extrinsics=lengths_times(factor))
    lost = View(name="lost.png", path=Path("lost.png"), status="unreadable")
    capture, sized = sized_by_head(Capture(Path("."), (*prepared.views, lost), "relative"), prepared)
    for v, camera in enumerate(person.cameras):
        seen, kept = sized.problem.views[v].T_cam_world, capture.views[v].camera
        assert kept is not None and sized.views[v].camera is not None
        np.testing.assert_array_equal(seen, kept.T_cam_world)
        np.testing.assert_array_equal(seen[:3, :3], camera.T_cam_world[:3, :3])
        # This person's head is some percent larger or smaller than the average one.
        assert np.linalg.norm(seen[:3, 3]) == pytest.approx(np.linalg.norm(camera.T_cam_world[:3, 3]), rel=0.08)
    assert capture.views[-1] is lost
    stated = float(capture.notes[-1].split(" was taken as ")[1].split()[0])
    assert "rig.csv" in capture.notes[-1] and stated == pytest.approx(1 / factor, rel=0.08)
    solution = solve(sized, "fast", use_dense=False, free_form=False)
    assert solution.registered == [0, 1, 2, 3] and abs(solution.state.log_scale) < 0.05


@pytest.mark.parametrize("pupils_mm", [0.0, 58.0])
def test_head_and_cameras_of_a_rig_of_unknown_unit_have_one_size(person, pupils_mm):
    prepared = told(person, extrinsics=lengths_times(0.013))
    capture, sized = sized_by_head(Capture(Path("."), prepared.views, "relative"), prepared)
    solution = solve(sized, "fast", use_dense=False, free_form=False)
    embedding = person.avatar.landmarks
    avatar = assemble(capture, sized, solution, embedding, FitSettings(interpupillary_mm=pupils_mm))
    assert avatar.scale == ("metric" if pupils_mm else "relative")
    neutral = avatar.vertices({})
    if pupils_mm:
        assert 1e3 * np.linalg.norm(np.subtract(*avatar.head.eye_centres(neutral))) == pytest.approx(pupils_mm, abs=0.01)
    for view, px in zip(avatar.views, person.landmarks_px, strict=True):
        points = embedding.points(avatar.vertices(view.weights), avatar.head.triangles)
        in_world = points @ view.T_world_head[:3, :3].T + view.T_world_head[:3, 3]
        assert view.camera is not None
        # 1.2 px of noise, and a face of about 250 px.
        assert np.median(np.linalg.norm(view.camera.project(in_world)[0] - px, axis=1)) < 3.0


@pytest.mark.parametrize("factor", [0.013, 410.0])
def test_a_wrong_convention_is_found_in_a_rig_of_any_size(person, factor):
    prepared = told(person, extrinsics=lambda T: lengths_times(factor)(np.linalg.inv(T)))
    _, sized = sized_by_head(Capture(Path("."), prepared.views, "relative"), prepared)
    assert diagnosis(sized).do == "use --cameras-invert"
