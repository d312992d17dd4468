"""The whole path on three photos: every stage, its artefacts, resuming in the middle of frames, evaluation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import recon
import render
from assets.errors import ArtifactError
from studio.artifacts import read_json, sha256_of
from studio.capture_file import read_capture
from studio.pipeline import run_pipeline
from studio.settings import EvaluateSettings, settings_from_record
from tests.studio.conftest import SMALL

FRAMES = ["0000", "0001", "0002", "0003", "0004"]


def states(outcomes) -> dict[str, str]:
    return {outcome.name: outcome.state for outcome in outcomes}


def test_every_stage_runs_and_leaves_its_artefact(small_run):
    out, outcomes = small_run
    assert set(states(outcomes).values()) == {"ran"}
    assert [view.status for view in read_capture(out / "capture.json").views] == ["ok"] * 3
    assert [frame.name for frame in render.load_sweep(out / "sweep.json").frames] == FRAMES
    for folder, size in (
        ("render/beauty", 192),
        ("control/depth", 64),
        ("control/mediapipe_face", 64),
        ("control/init", 64),
        ("frames", 64),
    ):
        pictures = sorted((out / folder).glob("*.png"))
        assert [path.stem for path in pictures] == FRAMES, folder
        with Image.open(pictures[0]) as picture:
            assert picture.size == (size, size), folder
    assert (out / "export" / "head.ply").stat().st_size > 100_000


def test_the_avatar_was_fitted_to_these_photos(small_run):
    """The sample's three photos stand within 50 degrees of the front; landmarks alone meet them within 6 px of 480."""
    avatar = recon.load_avatar(small_run[0] / "avatar")
    assert [view.camera is not None for view in avatar.views] == [True] * 3
    yaws = [view.yaw_deg for view in avatar.views]
    assert np.ptp(yaws) > 20 and np.abs(yaws).max() < 60
    assert max(view.residual_px for view in avatar.views) < 6


def test_a_second_run_skips_all_and_changes_no_byte(three_photos: Path, run_copy: Path):
    before = {path.name: sha256_of(path) for path in run_copy.iterdir() if path.name not in ("run.json", ".stages")}
    assert set(states(run_pipeline(three_photos, run_copy, SMALL)).values()) == {"done before"}
    assert before == {path.name: sha256_of(path) for path in run_copy.iterdir() if path.name not in ("run.json", ".stages")}


def test_a_changed_sweep_keeps_capture_and_fit(three_photos: Path, run_copy: Path):
    changed = dataclasses.replace(SMALL, sweep=dataclasses.replace(SMALL.sweep, orbit_deg=(-20.0, 20.0)))
    done = states(run_pipeline(three_photos, run_copy, changed, only=("capture", "fit", "sweep", "render", "export")))
    assert done == {"capture": "done before", "fit": "done before", "sweep": "ran", "render": "ran", "export": "done before"}


def test_rendering_interrupted_in_mid_sweep_ends_as_if_it_had_not_been(three_photos: Path, run_copy: Path, small_run, monkeypatch):
    whole = render.save_buffers

    def interrupted(folder, buffers, aovs):
        if buffers.name == "0002":
            (folder / "beauty" / "0002.png").write_bytes(b"half a pic")
            raise KeyboardInterrupt
        return whole(folder, buffers, aovs=aovs)

    monkeypatch.setattr(render, "save_buffers", interrupted)
    before = sha256_of(run_copy / "render")
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(three_photos, run_copy, SMALL, force=("render",), only=("render",))
    assert sha256_of(run_copy / "render") == before, "the older artefact stays whole"
    (run_copy / ".stages" / "render.json").unlink()
    drawn: list[str] = []
    monkeypatch.setattr(
        render, "save_buffers", lambda folder, buffers, aovs: drawn.append(buffers.name) or whole(folder, buffers, aovs=aovs)
    )
    run_pipeline(three_photos, run_copy, SMALL, only=("render",))
    assert drawn == ["0002", "0003", "0004"]
    assert sha256_of(run_copy / "render") == sha256_of(small_run[0] / "render")


def test_generation_interrupted_goes_on_with_the_same_frames(three_photos: Path, run_copy: Path, small_run, monkeypatch):
    from studio import pictures

    whole, saved = pictures.save_picture, []

    def interrupted(path: Path, rgb: np.ndarray) -> Path:
        saved.append(path.stem)
        if path.stem == "0003" and saved.count("0003") == 1:
            raise KeyboardInterrupt
        return whole(path, rgb)

    monkeypatch.setattr(pictures, "save_picture", interrupted)
    (run_copy / ".stages" / "generate.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(three_photos, run_copy, SMALL, only=("generate",))
    run_pipeline(three_photos, run_copy, SMALL, only=("generate",))
    assert saved == ["0000", "0001", "0002", "0003", "0003", "0004"]
    for name in FRAMES:
        assert sha256_of(run_copy / "frames" / f"{name}.png") == sha256_of(small_run[0] / "frames" / f"{name}.png"), name
    # The copy lies in another folder, so this also says that models inside the output folder are named relative to it.
    resumed, uninterrupted = (read_json(out / "frames" / "frames.json") for out in (run_copy, small_run[0]))
    assert resumed == uninterrupted
    assert uninterrupted["settings"]["model"] == "model/model"


def test_evaluation_names_its_figures_and_counts_missing_faces_apart(small_run):
    record = read_json(small_run[0] / "evaluation.json")
    figures = {figure["name"]: figure for figure in record["figures"]}
    truth = figures["face distance to truth, median"]
    assert truth["unit"] == "mm" and 0.2 < truth["value"] < 6 and "similarity" in truth["how"] and "as the capture marks it" in truth["how"]
    assert figures["pictures registered"]["value"] == 3
    for subject in ("render", "generated"):
        missing = figures[f"{subject} frames: no face found"]
        assert missing["count"] == 5
        assert figures[f"{subject} frames: landmark error, median"]["count"] == 5 - missing["value"]
    assert {frame["subject"] for frame in record["frames"]} == {"render", "generated"}


def test_neighbouring_renders_agree_through_the_geometry(small_run):
    """Renders of one avatar under one light agree nearly perfectly, and a checkpoint of two training steps does not."""
    figures = {figure["name"]: figure["value"] for figure in read_json(small_run[0] / "evaluation.json")["figures"]}
    rendered, generated = (figures[f"{subject} frames: PSNR between neighbours, median"] for subject in ("render", "generated"))
    assert rendered > 28 and generated < rendered - 2
    # One seed makes the noise of all frames alike, which flatters the PSNR; in structure they disagree, and nobody is to be seen.
    rendered, generated = (figures[f"{subject} frames: SSIM between neighbours, median"] for subject in ("render", "generated"))
    assert rendered > 0.9 and generated < rendered - 0.1
    assert (figures["render frames: no face found"], figures["generated frames: no face found"]) == (0, 5)


def test_evaluation_of_an_avatar_alone_needs_no_sweep(three_photos: Path, run_copy: Path):
    from studio.evaluate import evaluate

    (run_copy / "sweep.json").unlink()
    record = evaluate(run_copy, three_photos, EvaluateSettings(geometry=False))
    assert [figure.name for figure in record.figures] == [
        "pictures registered",
        "landmark residual, median view",
        "landmark residual, worst view",
    ]


def test_one_photo_works_and_says_what_it_cannot_give(three_photos: Path, tmp_path: Path):
    photo = three_photos / "neutral_04.jpg"
    outcomes = run_pipeline(photo, tmp_path / "out", SMALL, only=("capture", "fit"))
    assert states(outcomes) == {"capture": "ran", "fit": "ran"}
    assert any("only" in note for note in recon.load_avatar(tmp_path / "out" / "avatar").notes)


def test_figures_of_recon_evaluate_are_not_taken_for_the_runs_own(three_photos: Path, run_copy: Path):
    """`recon evaluate` with other settings writes evaluation.json; the next run measures again and says that it did."""
    from studio import single_stages
    from studio.console import Reporter

    own = read_json(run_copy / "evaluation.json")["figures"]
    single_stages.evaluate_folder(run_copy, EvaluateSettings(max_frames=2, geometry=False), Reporter(quiet=True))
    assert read_json(run_copy / "evaluation.json")["figures"] != own
    assert states(run_pipeline(three_photos, run_copy, SMALL, only=("evaluate",))) == {"evaluate": "ran"}
    assert read_json(run_copy / "evaluation.json")["figures"] == own


def test_frames_of_an_older_sweep_are_left_out_of_the_figures_with_a_note(run_copy: Path, three_photos: Path):
    from studio.evaluate import evaluate

    changed = dataclasses.replace(SMALL, sweep=dataclasses.replace(SMALL.sweep, orbit_deg=(-20.0, 20.0), orbit_frames=2, expressions=()))
    run_pipeline(three_photos, run_copy, changed, only=("sweep",))
    record = evaluate(run_copy, three_photos, EvaluateSettings(geometry=False))
    assert {frame.subject for frame in record.frames} == {"render"}
    assert any("sweep.json changed" in note for note in record.notes)


def test_a_broken_face_mask_is_an_artifact_error(small_run, tmp_path: Path):
    from studio.geometry_truth import face_of_truth

    points = np.zeros((5, 3))
    (tmp_path / "face_mask.npz").write_bytes(b"PK no zip at all")
    with pytest.raises(ArtifactError, match="vertex indices"):
        face_of_truth(tmp_path, points)
    np.savez(tmp_path / "face_mask.npz", face=np.array([1, 5]))
    with pytest.raises(ArtifactError, match="below 5"):
        face_of_truth(tmp_path, points)
    np.savez(tmp_path / "face_mask.npz", face=np.array([1, 4]))
    assert face_of_truth(tmp_path, points)[0].tolist() == [False, True, False, False, True]


def test_control_pictures_are_read_one_frame_at_a_time(small_run, monkeypatch):
    import conditioning
    from studio.pictures import load_bundles

    whole, opened = conditioning.load_control, []
    monkeypatch.setattr(conditioning, "load_control", lambda path: opened.append(path.stem) or whole(path))
    bundles = load_bundles(small_run[0] / "control")
    assert len(bundles) == 5 and opened == []
    left = bundles[3:]
    assert len(left) == 2 and opened == []
    assert left[0].name == "0003" and opened == ["0003", "0003"], "one picture a kind"
    assert [bundle.name for bundle in left] == ["0003", "0004"]
    assert left[0].init_srgb is not None and left[0].kinds == SMALL.control.kinds


def test_a_control_picture_that_has_gone_is_named_at_once(run_copy: Path):
    from studio.pictures import load_bundles

    (run_copy / "control" / "depth" / "0004.png").unlink()
    with pytest.raises(ArtifactError, match=r"depth/0004\.png"):
        load_bundles(run_copy / "control")


def test_a_captures_cameras_survive_capture_json_to_the_bit(small_run, tmp_path: Path):
    from render.camera import Camera
    from studio.capture_file import write_capture

    capture = read_capture(small_run[0] / "capture.json")
    K = np.array([[501.1, 0, 120.3], [0, 499.7, 88.9], [0, 0, 1]])
    T_cam_world = np.eye(4)
    T_cam_world[:3, 3] = 0.1, -0.2, 1 / 3
    views = [dataclasses.replace(view, camera=Camera(K, T_cam_world, view.width, view.height)) for view in capture.views]
    write_capture(tmp_path / "capture.json", dataclasses.replace(capture, views=tuple(views)))
    (first, *_) = read_capture(tmp_path / "capture.json").views
    assert first.camera is not None and read_json(tmp_path / "capture.json")["views"][0]["camera"] == first.camera.to_dict()
    np.testing.assert_array_equal(first.camera.K, K)
    np.testing.assert_array_equal(first.camera.T_cam_world, T_cam_world)


def test_settings_of_run_json_are_restored_as_they_were(small_run):
    record = read_json(small_run[0] / "run.json")["settings"]
    assert settings_from_record(record) == SMALL
    with pytest.raises(ArtifactError, match="no_such"):
        settings_from_record({"fit": {"no_such": 1}})
