"""The command line: three-part errors with exit code 2, Ctrl-C with 130, quick help, wrong arguments."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import render
from assets.errors import ArtifactError, RangeError
from studio import cli, command_line
from studio.commands import Fit
from studio.console import Reporter
from studio.generation import tiny_statement
from studio.settings import EXPRESSIONS, expression_weights

FAST = ["--fit.no-use-dense", "--fit.no-texture"]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with exit code 2 and a three-part message; returns the message."""
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    for part in ("expected:", "got:", "do:"):
        assert part in message
    assert "Traceback" not in message
    return message


def test_a_folder_without_pictures_is_refused(tmp_path: Path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("hello")
    assert "photos" in refused(["run", str(tmp_path / "photos"), "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out" / "capture.json").exists()


def test_a_source_that_does_not_exist_is_refused_and_nothing_is_made(tmp_path: Path, capsys):
    assert "nowhere" in refused(["run", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def test_pictures_without_any_face_are_refused_with_counts(tmp_path: Path, capsys):
    folder = tmp_path / "walls"
    folder.mkdir()
    ramp = np.tile(np.linspace(40, 200, 320).astype(np.uint8)[None, :, None], (240, 1, 3))
    noise = np.random.default_rng(3).integers(0, 30, ramp.shape, dtype=np.uint8)
    for index, picture in enumerate((ramp + noise, ramp[:, ::-1] + noise)):
        Image.fromarray(picture).save(folder / f"{index}.png")
    assert "2 no_face" in refused(["run", str(folder), "--out", str(tmp_path / "out"), *FAST], capsys)
    assert not (tmp_path / "out" / "avatar").exists()


def test_a_video_without_frames_is_refused(tmp_path: Path, capsys):
    (tmp_path / "empty.mp4").write_bytes(b"")
    message = refused(["run", str(tmp_path / "empty.mp4"), "--out", str(tmp_path / "out")], capsys)
    assert "empty.mp4" in message and "0 bytes" in message


def test_an_output_folder_under_a_file_is_refused(tmp_path: Path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"never opened")
    (tmp_path / "file").write_text("")
    message = refused(["run", str(tmp_path / "photos"), "--out", str(tmp_path / "file" / "out")], capsys)
    assert "Not a directory" in message and "--out" in message


def test_an_unknown_model_folder_is_refused_before_the_fit(tmp_path: Path, three_photos: Path, capsys):
    model = tmp_path / "no" / "model"
    message = refused(
        ["run", str(three_photos), "--out", str(tmp_path / "out"), "--model", str(model), "--controlnets", "a/b", "c/d"], capsys
    )
    assert "no/model" in message.replace("\n", "")
    assert not (tmp_path / "out").exists(), "an hour of fitting must not come first"


def test_controlnets_that_do_not_match_the_kinds_are_refused_before_the_fit(tmp_path: Path, three_photos: Path, capsys):
    refused(["run", str(three_photos), "--out", str(tmp_path / "out"), "--model", "some/model", "--controlnets", "only/one"], capsys)
    assert not (tmp_path / "out").exists()


def test_an_unknown_expression_is_refused_by_name(tmp_path: Path, three_photos: Path, capsys):
    assert "'smirk'" in refused(["run", str(three_photos), "--out", str(tmp_path / "out"), "--sweep.expressions", "smirk"], capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", "{}/none", "--out", "{}/sweep.json"],
        ["render", "{}/none", "--sweep", "{}/sweep.json", "--out", "{}/render"],
        ["control", "{}/none", "--sweep", "{}/sweep.json", "--out", "{}/control"],
        ["generate", "{}/none", "--out", "{}/frames", "--model", "m", "--controlnets", "c"],
        ["evaluate", "{}/none"],
        ["export", "{}/none", "--out", "{}/head.glb"],
    ],
)
def test_a_single_stage_without_its_artefact_is_refused(arguments: list[str], tmp_path: Path, capsys):
    refused([argument.format(tmp_path) for argument in arguments], capsys)


def test_paths_with_brackets_are_printed_as_they_are(tmp_path: Path, capsys):
    message = refused(["run", str(tmp_path / "[bold]x[/y]"), "--out", str(tmp_path / "out")], capsys)
    assert "[bold]x[/y]" in message


@pytest.mark.parametrize("command", ["fit", "run", "check", "control", "generate", "evaluate"])
def test_no_option_offers_none_as_a_choice(command: str, capsys):
    with pytest.raises(SystemExit):
        command_line.parse([command, "--help"])
    page = capsys.readouterr().out
    assert "{None" not in page and "None," not in page and "--" in page


def test_options_that_may_be_left_out_are_read_as_what_they_are(capsys):
    given = command_line.parse(
        ["fit", "a.jpg", "--out", "x", "--preset", "fast", "--ipd-mm", "63", "--cameras", "c.json", "--cameras-unit", "mm"]
    )
    assert isinstance(given, Fit)
    assert (given.fit_options.preset, given.fit_options.ipd_mm) == ("fast", 63.0)
    assert (given.camera_options.cameras, given.camera_options.cameras_unit) == (Path("c.json"), "mm")
    left_out = command_line.parse(["fit", "a.jpg", "--out", "x"])
    assert isinstance(left_out, Fit)
    assert (left_out.fit_options.preset, left_out.fit_options.ipd_mm, left_out.camera_options.cameras) == (None, None, None)
    for wrong in (["--preset", "None"], ["--ipd-mm", "broad"]):
        with pytest.raises(RangeError, match=wrong[0]):
            command_line.parse(["fit", "a.jpg", "--out", "x", *wrong])


def test_ctrl_c_in_a_single_stage_exits_with_130_and_the_command_really_goes_on(small_run, tmp_path: Path, monkeypatch, capsys):
    """The message promises that nothing is half-written and that the same command goes on: both are looked at on the disk."""
    out, command = tmp_path / "render", ["render", str(small_run[0]), "--sweep", str(small_run[0] / "sweep.json"), "--aovs", "beauty"]
    whole, drawn = render.save_buffers, []

    def interrupted(folder: Path, buffers: render.RenderBuffers, aovs: tuple[str, ...]):
        drawn.append(buffers.name)
        if buffers.name == "0002" and drawn.count("0002") == 1:
            raise KeyboardInterrupt
        return whole(folder, buffers, aovs=aovs)

    monkeypatch.setattr(render, "save_buffers", interrupted)
    (tmp_path / "render" / "beauty").mkdir(parents=True)
    (tmp_path / "render" / "beauty" / "mine.txt").write_text("kept")
    assert cli.main([*command, "--out", str(out)]) == 130
    assert "goes on after the last complete stage or frame" in capsys.readouterr().err
    assert [path.name for path in (out / "beauty").iterdir()] == ["mine.txt"], "no part of the sweep passes for the whole"
    assert cli.main([*command, "--out", str(out)]) == 0
    assert "  render: goes on after 2 frames of a run that was interrupted\n" in capsys.readouterr().out
    assert drawn == ["0000", "0001", "0002", "0002", "0003", "0004"]
    assert sorted(path.name for path in (out / "beauty").iterdir()) == [f"000{i}.png" for i in range(5)] + ["mine.txt"]
    assert [path.name for path in out.iterdir()] == ["beauty"], "no staging folder is left"


@pytest.mark.parametrize(
    ("command", "promise"),
    [
        (["doctor"], "it starts from its beginning"),
        (["sweep", "a", "--out", "b"], "it starts from its beginning"),
        (["control", "a", "--sweep", "b", "--out", "c"], "it goes on after"),
    ],
)
def test_each_command_promises_only_what_it_does_after_an_interruption(command: list[str], promise: str, monkeypatch, capsys):
    def interrupted(self: object, reporter: Reporter) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(command_line.parse(command)), "__call__", interrupted)
    assert cli.main(command) == 130
    assert promise in capsys.readouterr().err


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EISDIR, errno.EIO, errno.EROFS])
def test_what_the_disk_refuses_is_told_in_three_parts(code: int, monkeypatch, capsys):
    import os

    def failing(self: command_line.Doctor, reporter: Reporter) -> int:
        raise OSError(code, os.strerror(code), "/some/where")

    monkeypatch.setattr(command_line.Doctor, "__call__", failing)
    message = refused(["doctor"], capsys)
    assert os.strerror(code) in message and "/some/where" in message


def test_a_sweep_file_that_is_a_folder_is_refused_and_nothing_is_left_beside(small_run, tmp_path: Path, capsys):
    (tmp_path / "folder").mkdir()
    assert "folder" in refused(["sweep", str(small_run[0]), "--out", str(tmp_path / "folder"), "--expressions"], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"] and not any((tmp_path / "folder").iterdir())


def test_a_broken_avatar_record_in_the_output_folder_is_told_in_three_parts(small_run, three_photos: Path, tmp_path: Path, capsys):
    from studio.summary import print_notes

    shutil.copytree(small_run[0] / "avatar", tmp_path / "avatar")
    (tmp_path / "avatar" / "avatar.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"avatar\.json"):
        print_notes(tmp_path, Reporter(quiet=True))
    (tmp_path / "tiny.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"tiny\.json"):
        tiny_statement(tmp_path)


def test_a_cameras_file_that_is_not_there_is_refused_by_name(three_photos: Path, tmp_path: Path, capsys):
    assert "rig.json" in refused(
        ["run", str(three_photos), "--out", str(tmp_path / "out"), "--cameras", str(tmp_path / "rig.json")], capsys
    )
    assert not (tmp_path / "out").exists()


def test_the_report_can_be_written_alone_with_the_settings_of_the_run(run_copy: Path, capsys):
    before = (run_copy / "report.html").read_text(encoding="utf-8")
    (run_copy / "report.html").unlink()
    assert cli.main(["report", str(run_copy)]) == 0
    assert settings_block((run_copy / "report.html").read_text(encoding="utf-8")) == settings_block(before) != ""


def settings_block(page: str) -> str:
    return page[page.index("Settings of this run") : page.index("Versions</summary>")]


def test_an_unexpected_exception_keeps_its_traceback(monkeypatch):
    def broken(self: command_line.Doctor, reporter: Reporter) -> int:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(command_line.Doctor, "__call__", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        cli.main(["doctor"])


def test_help_is_quick_and_loads_nothing_heavy():
    """Processor time is measured, because other tests may run on the same machine."""
    code = (
        "import sys, time; from studio.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stopped: assert stopped.code == 0\n"
        "heavy = {'torch', 'open3d', 'mediapipe', 'diffusers', 'transformers', 'anny', 'av', 'trimesh'} & set(sys.modules)\n"
        "assert not heavy, heavy; print('cpu', time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "photos or a video in" in done.stdout.lower()
    assert float(done.stdout.split()[-1]) < 2.5


def test_version_is_printed(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("recon 0.")


def test_the_short_model_option_is_the_setting():
    command = command_line.parse(["run", "x", "--out", "y", "--model", "m", "--controlnets", "a", "b", "--generate.seed", "7"])
    generate = command.resolved.generate  # type: ignore[attr-defined]
    assert (generate.model, generate.controlnets, generate.seed) == ("m", ("a", "b"), 7)


def test_the_single_stages_work_on_artefacts_anywhere(small_run, tmp_path: Path, capsys):
    out = small_run[0]
    sweep = tmp_path / "sweep.json"
    assert (
        cli.main(
            [
                "sweep",
                str(out),
                "--out",
                str(sweep),
                "--orbit-frames",
                "2",
                "--head-turn-frames",
                "0",
                "--expressions",
                "--width",
                "64",
                "--height",
                "64",
            ]
        )
        == 0
    )
    assert (
        cli.main(["render", str(out / "avatar"), "--sweep", str(sweep), "--out", str(tmp_path / "render"), "--aovs", "beauty", "mask"]) == 0
    )
    assert sorted(path.name for path in (tmp_path / "render").rglob("*.png")) == ["0000.png", "0000.png", "0001.png", "0001.png"]
    assert cli.main(["control", str(out), "--sweep", str(sweep), "--out", str(tmp_path / "control"), "--kinds", "depth"]) == 0
    model = out / "model"
    options = ["--kinds", "depth", "--controlnet-conditioning-scale", "1", "--control-guidance-start", "0", "--control-guidance-end", "1"]
    options += ["--num-inference-steps", "1", "--device", "cpu", "--local-files-only"]
    named = ["--model", str(model / "model"), "--controlnets", str(model / "controlnet_depth")]
    assert cli.main(["generate", str(tmp_path / "control"), "--out", str(tmp_path / "frames"), *named, *options]) == 0
    assert sorted(path.name for path in (tmp_path / "frames").glob("*")) == ["0000.png", "0001.png", "frames.json"]
    assert cli.main(["export", str(out), "--out", str(tmp_path / "head.glb")]) == 0
    assert (tmp_path / "head.glb").read_bytes()[:4] == b"glTF"
    copied = shutil.copytree(out, tmp_path / "run")
    (copied / "evaluation.json").unlink()
    assert cli.main(["evaluate", str(copied), "--max-frames", "2"]) == 0
    assert "landmark residual" in capsys.readouterr().out


def test_output_that_is_no_terminal_has_no_control_characters(small_run, three_photos: Path, capsys):
    reporter = Reporter()
    with reporter.stage("a stage"):
        reporter.progress("part", 1, 2)
    reporter.table("t", ("name", ">n"), [("[x]", "1")])
    printed = capsys.readouterr().out
    assert "a stage" in printed and "[x]" in printed
    assert not [character for character in printed if ord(character) < 32 and character != "\n"]


def test_every_named_expression_is_made_of_arkit_weights():
    from assets.blendshapes import weights_to_vector

    for name in EXPRESSIONS:
        assert 0 < weights_to_vector(expression_weights(name)).max() <= 1
    assert expression_weights("tongueOut") == {"tongueOut": 1.0}


def test_the_process_ends_with_the_code_of_main(tmp_path: Path):
    done = subprocess.run([sys.executable, "-m", "studio", "export", str(tmp_path), "--out", "x.glb"], capture_output=True, text=True)
    assert done.returncode == 2 and "expected:" in done.stderr
