"""Both paths of the face mesh: the same 478 places in pixels, the same numbers each time, and clear words where a file is wrong."""

from __future__ import annotations

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import recon.face_mesh
from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import ConventionError, InputError, MissingAssetError, MissingPackageError, RangeError, ShapeError
from recon.face_mesh import find_face_boxes, find_task_file, run_face_mesh, task_for, why_not_mediapipe

SAMPLE = Path(__file__).parents[2] / "assets/sample"
EYE_OUTER_RIGHT, EYE_OUTER_LEFT, NOSE_TIP, CHIN = 33, 263, 1, 152


@pytest.fixture(scope="session")
def task_file(recon_data) -> Path:
    path = recon_data / "assets/face_landmarker.task"
    if not path.is_file():
        pytest.skip(f"no FaceLandmarker at {path}")
    return path


@pytest.fixture(params=["bundled", "tasks"])
def task(request) -> Path | None:
    """What `run_face_mesh` takes for each path."""
    return None if request.param == "bundled" else request.getfixturevalue("task_file")


def sample(name: str) -> np.ndarray:
    """(960, 720, 3): not square, so that width and height cannot be mixed up unseen."""
    return np.asarray(Image.open(SAMPLE / f"{name}.jpg").convert("RGB"))


def test_478_points_in_pixels_with_the_subjects_left_on_the_right(task, face_photo):
    (face,) = run_face_mesh(face_photo, task=task)
    assert face.landmarks.shape == (478, 3) and face.landmarks.dtype == np.float64
    right, left, nose, chin = face.landmarks[[EYE_OUTER_RIGHT, EYE_OUTER_LEFT, NOSE_TIP, CHIN]]
    assert left[0] > right[0] + 100 and chin[1] > nose[1] + 50 and nose[2] < left[2]
    low, high = face.landmarks.min(0), face.landmarks.max(0)
    assert (low[:2] > 50).all() and (high[:2] < 600).all()


@pytest.mark.parametrize("name", ["neutral_02", "neutral_04", "skeptic_00", "smile_00", "smile_01"])
def test_both_paths_agree_on_a_picture_that_is_not_square(task_file, name):
    image = sample(name)
    bundled, tasks = (run_face_mesh(image, task=task)[0].landmarks for task in (None, task_file))
    size = np.ptp(bundled[:, :2], axis=0).max()
    assert np.median(np.linalg.norm((tasks - bundled)[:, :2], axis=1)) < 0.015 * size
    # A share of the picture taken by the wrong side would be wrong by a third.
    for axis in (0, 1):
        assert np.polyfit(bundled[:, axis], tasks[:, axis], 1)[0] == pytest.approx(1, abs=0.03)


def test_places_follow_the_picture_when_it_is_widened(task, face_photo):
    before = run_face_mesh(face_photo, task=task)[0].landmarks
    after = run_face_mesh(np.pad(face_photo, ((0, 0), (200, 0), (0, 0)), mode="edge"), task=task)[0].landmarks
    np.testing.assert_allclose(np.median(after - before, axis=0)[:2], (200, 0), atol=2)


def test_only_the_task_file_scores_expressions(task_file, face_photo):
    assert run_face_mesh(face_photo)[0].blendshape_scores is None
    scores = run_face_mesh(face_photo, task=task_file)[0].blendshape_scores
    assert scores is not None and len(scores) == 52
    assert set(scores) == set(ARKIT_BLENDSHAPES) - {"tongueOut"} | {"_neutral"}
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_smile_scores_as_a_smile(task_file):
    def smile(name: str) -> float:
        scores = run_face_mesh(sample(name), task=task_file)[0].blendshape_scores
        assert scores is not None
        return min(scores["mouthSmileLeft"], scores["mouthSmileRight"])

    assert smile("smile_00") > smile("neutral_04") + 0.3


def test_the_same_numbers_whatever_came_before_and_from_several_threads(task, face_photo):
    def run(image: np.ndarray) -> np.ndarray:
        return run_face_mesh(image, task=task)[0].landmarks

    first, other = run(face_photo), run(sample("smile_00"))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, [sample("smile_00"), face_photo] * 4))
    for k, result in enumerate(results):
        np.testing.assert_array_equal(result, first if k % 2 else other)


def test_nothing_is_written_to_the_terminal(task, face_photo, capfd):
    run_face_mesh(face_photo, task=task, min_confidence=0.456)  # a confidence of its own, so that the graph is built here
    find_face_boxes(face_photo, min_confidence=0.456)
    assert capfd.readouterr() == ("", "")


def test_no_face_is_an_empty_list(task):
    assert run_face_mesh(np.full((300, 200, 3), 90, np.uint8), task=task) == []
    assert find_face_boxes(np.full((300, 200, 3), 90, np.uint8), min_confidence=0.5) == []


def test_at_most_as_many_faces_as_asked_for(task, face_photo):
    pair = np.concatenate([face_photo, face_photo[:, ::-1]], axis=1)
    assert len(run_face_mesh(pair, task=task, max_faces=3)) == 2
    assert len(run_face_mesh(pair, task=task, max_faces=1)) == 1


def test_a_face_box_lies_around_the_mesh(face_photo):
    (box,) = find_face_boxes(face_photo, min_confidence=0.5)
    landmarks = run_face_mesh(face_photo)[0].landmarks[:, :2]
    np.testing.assert_allclose(box.centre_px, (landmarks.min(0) + landmarks.max(0)) / 2, atol=60)
    assert 0.6 < box.side_px / np.ptp(landmarks, axis=0).max() < 1.2


# --- Files ------------------------------------------------------------------------------------------------------------


def test_the_variable_names_the_file(task_file, tmp_path, monkeypatch):
    own = tmp_path / "mine.task"
    shutil.copyfile(task_file, own)
    monkeypatch.setenv("RECON_FACE_LANDMARKER", str(own))
    assert find_task_file() == own and task_for("tasks") == own and task_for("bundled") is None


def test_a_variable_that_names_nothing_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_FACE_LANDMARKER", str(tmp_path / "gone.task"))
    with pytest.raises(MissingAssetError, match=r"gone\.task"):
        find_task_file()


def test_without_a_file_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.delenv("RECON_FACE_LANDMARKER", raising=False)
    monkeypatch.setenv("RECON_HOME", str(tmp_path))
    assert find_task_file() is None
    with pytest.raises(MissingAssetError, match="recon assets install face-landmarker --from") as error:
        task_for("tasks")
    assert "RECON_FACE_LANDMARKER" in error.value.do


def test_an_installed_file_is_found(task_file, tmp_path, monkeypatch, face_photo):
    from assets.install import install

    monkeypatch.delenv("RECON_FACE_LANDMARKER", raising=False)
    monkeypatch.setenv("RECON_HOME", str(tmp_path))
    path = install("face-landmarker", from_path=task_file).path
    assert find_task_file() == path
    assert run_face_mesh(face_photo, task=path)[0].blendshape_scores is not None
    path.unlink()
    with pytest.raises(MissingAssetError, match="recon assets install"):
        task_for("tasks")


def test_an_unknown_detector_is_refused():
    with pytest.raises(RangeError, match="bundled or tasks"):
        task_for("dlib")  # pyright: ignore[reportArgumentType]


def cut_short(good: bytes, path: Path) -> None:
    path.write_bytes(good[: len(good) // 2])


def another_archive(good: bytes, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hand_detector.tflite", "no model")


def damaged_model(good: bytes, path: Path) -> None:
    path.write_bytes(good)
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"\0" * 1000)


@pytest.mark.parametrize("breaks", [cut_short, another_archive, damaged_model, lambda good, path: path.write_bytes(b"")])
def test_a_broken_task_file_is_an_error_that_names_it(task_file, tmp_path, breaks, capfd):
    path = tmp_path / "broken.task"
    breaks(task_file.read_bytes(), path)
    with pytest.raises(InputError, match=r"broken\.task") as error:
        run_face_mesh(np.full((64, 64, 3), 90, np.uint8), task=path)
    assert "recon assets install" in error.value.do
    assert capfd.readouterr().err == ""


def test_a_folder_is_no_task_file(tmp_path, face_photo):
    with pytest.raises(MissingAssetError, match="no such file"):
        run_face_mesh(face_photo, task=tmp_path)


def test_a_task_file_that_is_exchanged_is_read_anew(task_file, tmp_path, face_photo):
    path = tmp_path / "own.task"
    shutil.copyfile(task_file, path)
    assert len(run_face_mesh(face_photo, task=path)) == 1
    path.write_bytes(b"something else")
    with pytest.raises(InputError):
        run_face_mesh(face_photo, task=path)


# --- Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((8, 8), np.uint8), ShapeError),
        (np.zeros((8, 8, 4), np.uint8), ShapeError),
        (np.zeros((0, 8, 3), np.uint8), ShapeError),
        (np.zeros((8, 8, 3), np.float32), ConventionError),
    ],
)
def test_what_is_no_picture_is_refused(image, error):
    with pytest.raises(error):
        run_face_mesh(image)
    with pytest.raises(error):
        find_face_boxes(image, min_confidence=0.5)


@pytest.mark.parametrize("settings", [{"min_confidence": 1.5}, {"min_confidence": float("nan")}, {"max_faces": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(RangeError):
        run_face_mesh(np.zeros((8, 8, 3), np.uint8), **settings)


def test_without_mediapipe_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    recon.face_mesh._solutions.cache_clear()
    try:
        assert "mediapipe" in why_not_mediapipe()
        with pytest.raises(MissingPackageError, match=r"pip install mediapipe==0\.10\.21"):
            run_face_mesh(np.zeros((8, 8, 3), np.uint8), min_confidence=0.4321)
    finally:
        recon.face_mesh._solutions.cache_clear()
