"""The options of a run through the real parser: several sources, distances, resume, presets, heads, and what is refused before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import recon
import studio.stages
from assets.errors import LicenceError
from recon import FitSettings
from recon.capture import CaptureSettings
from recon.named_points import named_points
from studio import cli, command_line
from studio.artifacts import read_json
from studio.commands import Check, Demo, Fit, Run
from studio.console import Reporter
from studio.source import hash_sources

FAST = ["--fit.no-use-dense", "--fit.no-texture"]


def parsed(arguments: list[str]) -> Run | Fit | Demo:
    command = command_line.parse(arguments)
    assert isinstance(command, Run | Fit | Demo)
    return command


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with exit code 2 and a three-part message; returns the message."""
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in ("expected:", "got:", "do:")) and "Traceback" not in message
    return " ".join(message.split())


@pytest.mark.parametrize("command", ["run", "fit"])
def test_sources_cameras_and_size_reach_the_settings_alike_in_run_and_fit(command: str):
    options = [
        "--cameras", "c.xml", "--cameras-unit", "mm", "--cameras-invert", "--cameras-axes", "opengl", "--preset", "fast",
        "--distance", "eye_outer_left", "eye_outer_right", "88.5", "--distance", "nose_tip", "chin", "71", "--no-resume",
    ]  # fmt: skip
    given = parsed([command, "rig", "photos", "clip.mp4", "--out", "o", *options])
    assert not isinstance(given, Demo)
    assert given.sources == (Path("rig"), Path("photos"), Path("clip.mp4"))
    assert given.camera_options.cameras == Path("c.xml")
    capture, fit = given.resolved.capture, given.resolved.fit
    assert (capture.cameras_unit, capture.cameras_invert, capture.cameras_axes) == ("mm", True, "opengl")
    assert fit.distances == (("eye_outer_left", "eye_outer_right", 88.5), ("nose_tip", "chin", 71.0))
    assert fit.preset == "fast" and not given.fit_options.resume
    plain = parsed([command, "photos", "--out", "o"])
    assert plain.resolved.fit == FitSettings() and plain.fit_options.resume, "an interrupted fit goes on unless told otherwise"


def test_the_check_takes_what_the_camera_doctor_tells_to_use():
    given = command_line.parse(
        ["check", "rig", "--cameras", "c.xml", "--cameras-unit", "cm", "--cameras-invert", "--cameras-axes", "opengl"]
    )
    assert isinstance(given, Check) and given.camera_options.cameras == Path("c.xml")
    capture = given.camera_options.applied(given.capture)
    assert (capture.cameras_unit, capture.cameras_invert, capture.cameras_axes) == ("cm", True, "opengl")


def test_long_names_of_settings_stand_where_the_short_ones_are_not_given():
    given = parsed(["run", "x", "--out", "o", "--fit.preset", "fast", "--capture.cameras-unit", "cm", "--fit.interpupillary-mm", "61"])
    assert given.resolved.fit.preset == "fast" and given.resolved.capture.cameras_unit == "cm"
    assert given.resolved.fit.interpupillary_mm == 61.0
    assert parsed(["run", "x", "--out", "o", "--ipd-mm", "64.5"]).resolved.fit.interpupillary_mm == 64.5


def test_the_demo_takes_a_preset_and_a_head_too():
    demo = parsed(["demo", "--preset", "fast", "--head", "ict"])
    assert demo.resolved.fit.preset == "fast" and demo.resolved.fit.head == "ict"
    assert demo.resolved.train.enabled, "the rest is the demo's own"


def test_the_help_names_every_point_that_a_distance_can_be_measured_at(capsys):
    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(name in shown for name in named_points())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--distance", "eye_outer_left", "eye_outer_rigth", "88"], "did you mean 'eye_outer_right'?"),
        (["--distance", "ear_left", "ear_right", "0.16"], "millimetres"),
        (["--head", "anny", "--head-licence", "cc-by-4.0"], "leave out --head-licence"),
        (["--head", "flame:{}/none.pkl"], "none.pkl"),
        (["--head", "flame:{}/broken.pkl", "--head-licence", "cc-by-4.0"], "broken.pkl"),
        (["--ipd-mm", "0.063"], "40 to 90"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_pictures_are_looked_at(options, words, tmp_path: Path, three_photos: Path, capsys):
    (tmp_path / "broken.pkl").write_bytes(b"no pickle at all")
    message = refused(["run", str(three_photos), "--out", str(tmp_path / "out"), *(o.format(tmp_path) for o in options)], capsys)
    assert words in message
    assert not (tmp_path / "out").exists(), "nothing was taken in, nothing written"


def test_a_stage_that_is_not_run_refuses_nothing(three_photos: Path, tmp_path: Path, capsys):
    out = str(tmp_path / "out")
    assert cli.main(["run", str(three_photos), "--out", out, "--only", "capture", "--head", "flame:nowhere.pkl"]) == 0


def test_two_sources_that_do_not_exist_or_are_one_are_refused(three_photos: Path, tmp_path: Path, capsys):
    assert "nowhere" in refused(["fit", str(three_photos), str(tmp_path / "nowhere"), "--out", str(tmp_path / "o")], capsys)
    assert "twice" in refused(["fit", str(three_photos), str(three_photos), "--out", str(tmp_path / "o")], capsys)
    assert "no source" in refused(["fit", "--out", str(tmp_path / "o")], capsys)


def test_two_folders_and_a_distance_make_one_metric_avatar_that_says_so_everywhere(three_photos: Path, tmp_path: Path, capsys):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, names in ((first, ("neutral_03.jpg", "neutral_04.jpg")), (second, ("neutral_05.jpg",))):
        folder.mkdir()
        for name in names:
            shutil.copy(three_photos / name, folder / name)
    shutil.copy(three_photos / "neutral_05.jpg", second / "neutral_04.jpg")
    distance = ["--distance", "eye_outer_left", "eye_outer_right", "92"]
    out = tmp_path / "out"
    assert cli.main(["fit", str(first), str(second), "--out", str(out), *distance, *FAST]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    avatar = recon.load_avatar(out / "avatar")
    assert [view.name for view in avatar.views] == ["neutral_03.jpg", "neutral_04.jpg", "b/neutral_04.jpg", "b/neutral_05.jpg"]
    assert [view.status for view in avatar.views] == ["ok", "ok", "ok", "rejected"], "the last one is a copy"
    assert avatar.scale == "metric" and avatar.scale_error is not None
    assert f"metric, ± {100 * avatar.scale_error:.2g} % (from eye_outer_left to eye_outer_right 92 mm)" in shown
    assert read_json(out / "run.json")["further_sources"] == [str(second.resolve())]
    assert cli.main(["inspect", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"± {100 * avatar.scale_error:.2g} %" in shown and "duplicate of b/neutral_04.jpg" in shown
    # The same call again is done before; a photo added to the second folder would be new work.
    assert cli.main(["fit", str(first), str(second), "--out", str(out), *distance, *FAST]) == 0
    assert "done before" in capsys.readouterr().out
    before = hash_sources([first, second], None, CaptureSettings())
    shutil.copy(three_photos / "neutral_03.jpg", second / "new.jpg")
    after = hash_sources([first, second], None, CaptureSettings())
    assert set(after) - set(before) == {"../b/new.jpg"}


def test_an_interrupted_fit_goes_on_after_its_landmarks_and_no_resume_begins_anew(three_photos: Path, tmp_path: Path, monkeypatch, capsys):
    """Stopped in the first dense round; the landmarks are then read, not solved, unless --no-resume is given."""
    arguments = ["fit", str(three_photos), "--out", str(tmp_path / "out"), "--preset", "fast", "--fit.no-texture", "--fit.no-free-form"]
    kept = tmp_path / "out" / ".stages" / "fit.checkpoints"
    seen: list[str] = []
    heard = Reporter.progress

    def stop(self: Reporter, text: str, done: int, total: int) -> None:
        seen.append(text)
        if text.startswith("coarse flow"):
            raise KeyboardInterrupt
        heard(self, text, done, total)

    monkeypatch.setattr(Reporter, "progress", stop)
    for more, solved in (([], True), ([], False), (["--no-resume"], True)):
        seen.clear()
        assert cli.main([*arguments, *more]) == 130
        assert any(text.startswith("landmarks:") for text in seen) == solved, more
        printed = capsys.readouterr()
        assert "goes on after the last complete stage" in printed.err
        said = [line for line in printed.out.splitlines() if "goes on after" in line]
        line = "  fit: goes on after 'landmarks', stage 1 of a fit that was interrupted; --no-resume begins anew"
        assert said == ([] if solved else [line]), more
        assert [path.name for path in sorted(kept.glob("*.stage"))] == ["01-landmarks.stage"]
    monkeypatch.setattr(Reporter, "progress", heard)
    monkeypatch.setattr("recon.solve.pipeline.FAST", ())
    assert cli.main(arguments) == 0
    assert not kept.exists(), "a finished fit leaves none of it"
    assert json.loads((tmp_path / "out" / "avatar" / "avatar.json").read_text())["scale"] == "relative"


def test_a_licence_is_refused_commercially_before_it_is_looked_for(tmp_path: Path, three_photos: Path, capsys):
    message = refused(["fit", str(three_photos), "--out", str(tmp_path / "o"), "--head", "flame:x.pkl", "--commercial"], capsys)
    assert LicenceError.__name__ in message


def test_the_fit_stage_is_checked_before_the_capture_stage_runs():
    names = [stage.name for stage in studio.stages.STAGES]
    assert names.index("capture") < names.index("fit")
    assert next(stage for stage in studio.stages.STAGES if stage.name == "fit").check is studio.stages.check_fit_settings
