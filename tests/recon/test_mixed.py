"""Rig, loose photos and video of one person in one solve: sources, names, first poses, and the avatar's record of each view."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assets import load_head
from assets.errors import ConventionError, InputError
from recon import FitSettings, load_capture
from recon.cameras import group_instants
from recon.capture import Capture
from recon.fitting import assemble
from recon.ingest import capture_files
from recon.rig import save_cameras_json
from recon.solve.assemble import resting_instant, views_in_world
from recon.solve.pipeline import solve
from recon.solve.prepare import Prepared
from recon.solve.rig_size import rig_size_sd
from recon.solve.solution import Solution
from recon.solve.start import empty_state, start_rig
from render import Camera, look_at
from studio.capture_file import read_capture, write_capture
from tests.recon.synthetic_person import Person, make_person, prepare_person, sketch_person

RIG_OFFSET = np.array([0.4, -1.1, 2.3])


def _camera(yaw_deg: float, *, focal_px: float = 700.0) -> Camera:
    x, z = np.sin(np.radians(yaw_deg)), np.cos(np.radians(yaw_deg))
    target = np.array([0.0, -0.03, 0.0])
    return look_at(target + 0.55 * np.array([x, 0.15, z]), target, up=np.array([0.0, 1.0, 0.0]), focal_px=focal_px, width=500, height=620)


def _turned(T_world_head: np.ndarray, camera: Camera) -> Camera:
    """A camera that sees the head from the same place when the head stands elsewhere in the world."""
    return dataclasses.replace(camera, T_cam_world=camera.T_cam_world @ np.linalg.inv(T_world_head))


def _world() -> np.ndarray:
    """(4, 4) head to a rig's world: turned about an odd axis and moved, so that no frame passes for another."""
    import cv2

    T = np.eye(4)
    T[:3, :3], T[:3, 3] = cv2.Rodrigues(np.array([0.3, -1.2, 0.5]))[0], RIG_OFFSET
    return T


def _mixed(person: Person, rig: tuple[int, ...]) -> Prepared:
    """The person's pictures, those in `rig` with their cameras in a world of its own, the others without any."""
    from recon.capture import Detection, View
    from recon.solve.prepare import prepare

    views = []
    for k, camera in enumerate(person.cameras):
        known = _turned(_world(), camera) if k in rig else None
        name = f"one_cam{k:02d}.png" if k in rig else f"loose{k}.png"
        unit = "m" if k in rig else ""
        views.append(
            View(name=name, path=Path(f"{k}.png"), width=camera.width, height=camera.height, focal_px=None, camera=known, camera_unit=unit)
        )
    found = {view.name: Detection(view.name, "mediapipe478", person.landmarks_px[k], 1) for k, view in enumerate(views)}
    head, embedding = person.avatar.head, person.avatar.landmarks
    return prepare(views, found, head, embedding, lambda view: person.pictures[int(view.path.stem)], shape_precision=1.0)


# --- Sources ----------------------------------------------------------------------------------------------------------


def _picture(path: Path, seed: int, size: tuple[int, int] = (130, 110)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    """A rig of two pictures, and a folder of two photos of which one has the name of a rig's picture."""
    camera = look_at(np.array([0.3, 0.1, 1.0]), np.zeros(3), up=np.array([0.0, 1.0, 0.0]), focal_px=150.0, width=130, height=110)
    other = look_at(np.array([-0.4, 0.2, 0.9]), np.zeros(3), up=np.array([0.0, 1.0, 0.0]), focal_px=150.0, width=130, height=110)
    _picture(tmp_path / "rig" / "smile_cam00.png", 1)
    _picture(tmp_path / "rig" / "smile_cam01.png", 2)
    save_cameras_json(tmp_path / "rig" / "cameras.json", {"smile_cam00.png": camera, "smile_cam01.png": other})
    _picture(tmp_path / "photos" / "smile_cam00.png", 3)
    _picture(tmp_path / "photos" / "garden.png", 4)
    return tmp_path / "rig", tmp_path / "photos"


def test_a_rig_and_a_folder_of_photos_are_one_capture_and_only_the_rigs_pictures_have_cameras(sources):
    capture = load_capture(sources)
    cameras = {view.name: view.camera is not None for view in capture.views}
    assert cameras == {
        "smile_cam00.png": True,
        "smile_cam01.png": True,
        "photos/garden.png": False,
        "photos/smile_cam00.png": False,
    }
    assert capture.is_mixed and capture.scale == "metric"
    assert (capture.source, capture.further_sources) == (sources[0], (sources[1],))
    assert group_instants(capture.views).tolist()[:2] == [0, 0] and len(set(group_instants(capture.views).tolist())) == 3


def test_the_rig_keeps_its_instants_where_it_comes_second_and_its_names_change(sources):
    capture = load_capture((sources[1], sources[0]))
    rig = [view for view in capture.views if view.camera is not None]
    assert [view.name for view in rig] == ["rig/smile_cam00.png", "rig/smile_cam01.png"]
    instants = dict(zip([view.name for view in capture.views], group_instants(capture.views).tolist(), strict=True))
    assert instants["rig/smile_cam00.png"] == instants["rig/smile_cam01.png"]
    assert len(set(instants.values())) == 3, "two photos of their own instants, one instant of the rig"


def test_a_folder_with_cameras_and_further_photos_is_mixed_too_and_says_which_are_loose(sources):
    shutil.copy(sources[1] / "garden.png", sources[0] / "garden.png")
    capture = load_capture(sources[0])
    assert {view.name: view.camera is None for view in capture.views}["garden.png"]
    assert all(view.status == "ok" for view in capture.views)
    assert any("garden.png" in note and "loose" in note for note in capture.notes)


def test_a_cameras_file_that_is_given_finds_the_source_whose_pictures_it_names(sources, tmp_path: Path):
    file = tmp_path / "calibration" / "cameras.json"
    file.parent.mkdir()
    content = json.loads((sources[0] / "cameras.json").read_text())
    content["cameras"]["smile_cam01.png"] |= {}
    file.write_text(json.dumps(content))
    (sources[0] / "cameras.json").unlink()
    (sources[1] / "smile_cam00.png").unlink()
    capture = load_capture((sources[1], sources[0]), cameras=file)
    assert {view.name for view in capture.views if view.camera is not None} == {"smile_cam00.png", "smile_cam01.png"}
    assert file in capture_files((sources[1], sources[0]), cameras=file)


def test_two_rigs_are_two_worlds_and_refused_and_so_is_a_source_given_twice(sources, tmp_path: Path):
    shutil.copytree(sources[0], tmp_path / "second")
    with pytest.raises(ConventionError, match="two worlds"):
        load_capture((sources[0], tmp_path / "second"))
    with pytest.raises(InputError, match="twice"):
        load_capture((sources[0], tmp_path / "rig" / ".." / "rig"))


def test_a_photo_that_is_in_two_sources_counts_once_and_the_calibrated_one_stays(sources):
    shutil.copy(sources[0] / "smile_cam01.png", sources[1] / "again.png")
    capture = load_capture((sources[1], sources[0]))
    status = {view.name: (view.status, view.reason) for view in capture.views}
    assert status["rig/smile_cam01.png"][0] == "ok"
    assert status["photos/again.png" if "photos/again.png" in status else "again.png"] == ("rejected", "duplicate of rig/smile_cam01.png")


def test_further_sources_and_cameras_survive_the_capture_file(sources, tmp_path: Path):
    capture = load_capture(sources)
    again = read_capture(write_capture(tmp_path / "capture.json", capture))
    assert again.further_sources == tuple(source.resolve() for source in capture.further_sources)
    assert [(v.name, v.camera is None) for v in again.views] == [(v.name, v.camera is None) for v in capture.views]


# --- Solve ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.25, 0.8])
def test_loose_photos_start_by_pnp_on_the_head_as_large_as_the_rig_has_it(factor):
    """The same pixels from a head of another size, all cameras as much further: PnP on the average head would not move the loose ones."""
    person = sketch_person(load_head(), tuple(_camera(yaw) for yaw in (-30.0, -5.0, 20.0, 40.0, -15.0)), noise_px=0.2)
    other = dataclasses.replace(person, cameras=tuple(_moved_away(camera, factor) for camera in person.cameras))
    (scale, distances), (other_scale, other_distances) = _started(person), _started(other)
    assert other_scale / scale == pytest.approx(factor, rel=5e-3)
    np.testing.assert_allclose(other_distances / distances, factor, rtol=5e-3)


def _started(person: Person) -> tuple[float, np.ndarray]:
    """First scale of the head, and distances of the two loose cameras from it."""
    prepared = _mixed(person, rig=(0, 1, 2))
    problem = prepared.problem
    started = start_rig(problem, empty_state(problem, num_focals=len(problem.focal_sd), num_instants=3))
    assert not started.unposed
    distances = [np.linalg.norm(started.state.T_cam_head(problem.views[k])[:3, 3]) for k in (3, 4)]
    return float(np.exp(started.state.log_scale)), np.array(distances)


def _moved_away(camera: Camera, factor: float) -> Camera:
    T = camera.T_cam_world.copy()
    T[:3, 3] *= factor
    return dataclasses.replace(camera, T_cam_world=T)


@pytest.fixture(scope="module")
def person() -> Person:
    return make_person(load_head(), yaws_deg=(-32.0, -12.0, 8.0, 28.0, 45.0))


@pytest.fixture(scope="module")
def solved(person: Person) -> tuple[Prepared, Solution]:
    """Three cameras of a rig, two loose photos, landmarks and coarse flow."""
    prepared = _mixed(person, rig=(0, 2, 3))
    return prepared, solve(prepared, "fast", True, False)


def test_loose_cameras_are_found_in_the_rigs_world(solved, person: Person):
    """The loose views' truth is known in the rig's world; they had neither pose nor focal length (a guess 23 % off)."""
    prepared, solution = solved
    assert solution.registered == [0, 1, 2, 3, 4]
    capture = Capture(Path(), prepared.views, "metric")
    avatar = assemble(capture, prepared, solution, person.avatar.landmarks, FitSettings())
    assert avatar.scale == "metric" and avatar.scale_error is not None and avatar.scale_error < 0.02
    for k in (1, 4):
        camera, truth = avatar.views[k].camera, _turned(_world(), person.cameras[k])
        assert camera is not None
        R = camera.T_cam_world[:3, :3] @ truth.T_cam_world[:3, :3].T
        assert np.degrees(np.arccos(np.clip((np.trace(R) - 1) / 2, -1, 1))) < 3.0
        assert np.linalg.norm(camera.position_world - truth.position_world) < 0.06, "where it stands, of 0.4 m"
        assert abs(np.log(camera.K[0, 0] / truth.K[0, 0])) < 0.1, "from a guess 23 % off"


def test_every_view_of_a_mixed_avatar_poses_the_vertices_that_the_solver_has(solved, person: Person):
    prepared, solution = solved
    # The avatar's weights lie in [0, 1]; a solver's may lie a little outside.
    state = dataclasses.replace(solution.state, weights=np.clip(solution.state.weights + 0.1, 0.02, 0.98))
    solution = dataclasses.replace(solution, state=state)
    avatar = assemble(Capture(Path(), prepared.views, "metric"), prepared, solution, person.avatar.landmarks, FitSettings())
    np.testing.assert_allclose(avatar.T_world_head[:3, 3], RIG_OFFSET, atol=0.02)
    for k, view in enumerate(avatar.views):
        assert view.camera is not None
        px, _ = view.camera.project(avatar.pose_view(view).vertices.astype(np.float64))
        solve_view, picture = solution.problem.views[k], prepared.pictures[k]
        vertices = solution.problem.posed(solution.state)[k].astype(np.float64)
        expected, _ = solution.state.camera_in_head(solve_view).project(vertices)
        np.testing.assert_allclose(px, expected / picture.scale + picture.origin_px, atol=0.02, err_msg=view.name)
        is_loose = prepared.views[k].camera is None
        assert view.T_world_head is not None
        assert np.array_equal(view.T_world_head, avatar.T_world_head) or not is_loose, "a loose photo's head is at rest in the world"


def test_the_resting_instant_is_one_of_the_rigs(solved):
    prepared, solution = solved
    loose_at_rest = dataclasses.replace(solution.state, weights=solution.state.weights + 0.3)
    loose_at_rest = loose_at_rest.with_weights(solution.problem.views[1].instant, np.zeros_like(loose_at_rest.weights[0]))
    instant = resting_instant(prepared, loose_at_rest, solution.registered)
    assert instant == solution.problem.views[0].instant
    assert views_in_world(prepared, [1, 2, 4]) == [2]


def test_the_size_of_a_rig_has_an_error_that_covers_it_and_falls_with_less_noise(person: Person):
    head = load_head()
    cameras = tuple(_camera(yaw) for yaw in (-40.0, -20.0, 0.0, 20.0, 40.0))
    found = {}
    for noise in (0.5, 4.0):
        prepared = prepare_person(sketch_person(head, cameras, noise_px=noise), rig=True)
        state = empty_state(prepared.problem, num_focals=1, num_instants=1)
        state = start_rig(prepared.problem, state).state
        sd = rig_size_sd(prepared.problem, state, prepared.calibrated)
        assert sd is not None
        found[noise] = sd
    assert 2 < found[4.0] / found[0.5] < 25
    assert rig_size_sd(prepared.problem, state, [2]) is None
    two = rig_size_sd(prepared.problem, state, [1, 3])
    assert two is not None and 0 < two < 0.05
