"""The whole path on three photos: every stage, its artefacts, resuming in the middle of frames, evaluation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import recon
import render
from studio.artifacts import read_json, sha256_of
from studio.capture_file import read_capture
from studio.pipeline import run_pipeline
from studio.settings import EvaluateSettings
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
    from studio import stages

    whole, saved = stages.save_picture, []

    def interrupted(path: Path, rgb: np.ndarray) -> None:
        saved.append(path.stem)
        if path.stem == "0003" and saved.count("0003") == 1:
            raise KeyboardInterrupt
        whole(path, rgb)

    monkeypatch.setattr(stages, "save_picture", interrupted)
    (run_copy / ".stages" / "generate.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(three_photos, run_copy, SMALL, only=("generate",))
    run_pipeline(three_photos, run_copy, SMALL, only=("generate",))
    assert saved == ["0000", "0001", "0002", "0003", "0003", "0004"]
    for name in FRAMES:
        assert sha256_of(run_copy / "frames" / f"{name}.png") == sha256_of(small_run[0] / "frames" / f"{name}.png"), name
    # frames.json names the model by its path, which differs between the two folders; what it says of each frame does not.
    resumed, uninterrupted = (read_json(out / "frames" / "frames.json")["frames"] for out in (run_copy, small_run[0]))
    assert resumed == uninterrupted


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
    assert figures["render frames: PSNR between neighbours, median"] > 28


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
