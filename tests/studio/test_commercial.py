"""`--commercial`: every command refuses what does not allow commercial use, by name, before anything is computed or written."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tomllib
from pathlib import Path

import pytest

import assets
from assets.errors import LicenceError
from assets.licences import UNKNOWN_LICENCE, LicencedPart, known_models, model_part, refuse_non_commercial
from conditioning import GenerateSettings
from recon.fitting import FitSettings
from studio import cli, command_line
from studio.artifacts import read_json
from studio.licences import avatar_part, check_commercial, generate_parts, run_parts
from studio.pipeline import run_pipeline
from studio.settings import RunSettings
from tests.studio.conftest import SMALL

FLAME = "flame:/nowhere/FLAME2020.pkl"


@pytest.fixture
def restricted_avatar(small_run, tmp_path: Path) -> Path:
    """An output folder with an avatar whose record says that its head allows no commercial use."""
    out = tmp_path / "restricted"
    shutil.copytree(small_run[0], out)
    record = json.loads((out / "avatar" / "avatar.json").read_text())
    record["head"] |= {"name": FLAME, "licence": "FLAME model licence, non-commercial research", "commercial": False}
    (out / "avatar" / "avatar.json").write_text(json.dumps(record))
    return out


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with exit code 2 and a LicenceError in three parts; returns the message."""
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    assert "LicenceError" in message and all(part in message for part in ("expected:", "got:", "do:"))
    return message


def files_in(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--commercial", "run", "{photos}", "--out", "{out}/new", "--head", FLAME],
        ["run", "--commercial", "{photos}", "--out", "{out}/new", "--fit.head", FLAME],
        ["fit", "{photos}", "--out", "{out}/new", "--head", FLAME, "--commercial"],
        ["demo", "--head", FLAME + "+1", "--commercial", "--out", "{out}/new"],
        ["sweep", "{out}", "--out", "{out}/new.json", "--commercial"],
        ["render", "{out}", "--sweep", "{out}/sweep.json", "--out", "{out}/new", "--commercial"],
        ["control", "{out}", "--sweep", "{out}/sweep.json", "--out", "{out}/new", "--commercial"],
        ["evaluate", "--commercial", "{out}"],
        ["export", "{out}", "--commercial", "--out", "{out}/new.glb"],
        ["report", "{out}", "--commercial"],
        ["run", "{photos}", "--out", "{out}", "--only", "sweep", "--commercial"],
        ["assets", "calibrate", "--head", FLAME, "--commercial"],
        ["assets", "--commercial", "show", FLAME],
    ],
)
def test_every_command_refuses_a_head_that_allows_no_commercial_use_and_writes_nothing(
    arguments: list[str], restricted_avatar: Path, three_photos: Path, monkeypatch, capsys
):
    monkeypatch.chdir(restricted_avatar)
    before = files_in(restricted_avatar)
    message = refused([argument.format(out=restricted_avatar, photos=three_photos) for argument in arguments], capsys)
    assert "flame:/nowhere/FLAME2020.pkl" in message and "FLAME model licence" in message
    assert "--head anny" in message, "a way out is named"
    assert files_in(restricted_avatar) == before


def test_without_the_flag_the_same_command_runs(small_run, tmp_path: Path):
    out = shutil.copytree(small_run[0], tmp_path / "out")
    record = json.loads((out / "avatar" / "avatar.json").read_text())
    record["head"]["commercial"] = False
    (out / "avatar" / "avatar.json").write_text(json.dumps(record))
    export = ["export", str(out), "--out", str(tmp_path / "head.ply")]
    assert cli.main([*export, "--commercial"]) == 2 and not (tmp_path / "head.ply").exists()
    assert cli.main(export) == 0 and (tmp_path / "head.ply").exists()


def test_the_environment_asks_for_it_as_well_and_an_explicit_no_goes_before_it(
    restricted_avatar: Path, tmp_path: Path, monkeypatch, capsys
):
    export = ["export", str(restricted_avatar), "--out", str(tmp_path / "head.ply")]
    monkeypatch.setenv("RECON_COMMERCIAL", "1")
    assert "FLAME" in refused(export, capsys)
    assert not command_line.parse([*export, "--no-commercial"]).commercial
    assert cli.main(["--version"]) == 0
    monkeypatch.setenv("RECON_COMMERCIAL", "0")
    assert not command_line.parse(export).commercial


def test_parts_that_allow_it_pass_and_the_run_records_them(three_photos: Path, run_copy: Path):
    record = read_json(run_copy / "run.json")
    assert record["commercial"] is False
    assert [(part["name"], part["kind"], part["commercial"]) for part in record["licences"]] == [
        ("anny", "head", True),
        ("mediapipe", "detector", True),
    ]
    run_pipeline(three_photos, run_copy, SMALL, commercial=True)
    assert read_json(run_copy / "run.json")["commercial"] is True


def test_the_records_of_control_images_and_frames_name_the_parts_behind_them(small_run):
    (head,) = read_json(small_run[0] / "control" / "control.json")["licences"]
    assert (head["name"], head["commercial"]) == ("anny", True) and "CC0" in head["licence"]
    parts = read_json(small_run[0] / "frames" / "frames.json")["licences"]
    assert parts[0] == head and [Path(part["name"]).name for part in parts[1:]] == [
        "model",
        "controlnet_depth",
        "controlnet_mediapipe_face",
    ]
    assert all(part["commercial"] and "renders" in part["licence"] for part in parts[1:])


def test_the_pipeline_refuses_from_python_before_it_writes(three_photos: Path, tmp_path: Path):
    settings = dataclasses.replace(SMALL, fit=dataclasses.replace(SMALL.fit, head=FLAME))
    with pytest.raises(LicenceError, match="FLAME2020"):
        run_pipeline(three_photos, tmp_path / "out", settings, commercial=True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(LicenceError, match="FLAME2020"):
        check_commercial(settings)
    check_commercial(dataclasses.replace(SMALL, fit=FitSettings(head="ict+1")))


def test_a_stated_open_licence_of_flame_passes_and_any_other_statement_does_not():
    stated = RunSettings(fit=FitSettings(head=FLAME, head_licence="cc-by-4.0"))
    check_commercial(stated)
    (head, _) = run_parts(stated)
    assert head.commercial and "stated by the user" in head.licence
    with pytest.raises(LicenceError):
        check_commercial(RunSettings(fit=FitSettings(head=FLAME, head_licence="MIT")))


def generating(model: str, *nets: str, licence: str = "") -> RunSettings:
    return RunSettings(generate=GenerateSettings(model=model, controlnets=nets, model_licence=licence))


def test_every_model_that_does_not_allow_it_is_named_with_its_licence_and_a_way_out():
    with pytest.raises(LicenceError) as refusal:
        check_commercial(generating("stabilityai/sdxl-turbo", "diffusers/controlnet-depth-sdxl-1.0", "someone/some-net"))
    got, do = refusal.value.got, refusal.value.do
    assert "stabilityai/sdxl-turbo (Stability AI Non-Commercial" in got and f"someone/some-net ({UNKNOWN_LICENCE}" in got
    assert "controlnet-depth-sdxl" not in got and "anny" not in got, "only what is refused is named"
    assert "stabilityai/sdxl-turbo: " in do and "someone/some-net: " in do and "--model-licence" in do


def test_an_unknown_model_passes_on_the_users_statement_but_a_known_one_is_not_talked_free(tmp_path: Path):
    (tmp_path / "my-model").mkdir()
    check_commercial(generating(str(tmp_path / "my-model"), licence="bought from its maker"))
    (part,) = generate_parts(GenerateSettings(model="x/y", controlnets=(), model_licence="MIT"))
    assert part.commercial and part.licence == "MIT (as stated by the user)"
    with pytest.raises(LicenceError, match="sdxl-turbo"):
        check_commercial(generating("stabilityai/sdxl-turbo", licence="MIT"))


def test_a_folder_of_the_hubs_cache_is_known_by_the_name_in_it():
    folder = "/home/me/.cache/huggingface/hub/models--stabilityai--sdxl-turbo/snapshots/abc"
    assert model_part(folder).commercial is False and model_part(folder).name == folder
    assert model_part(folder.replace("sdxl-turbo", "sdxl-turb0")).commercial is None


def test_the_tiny_checkpoint_is_as_free_as_the_head_that_it_was_trained_on(small_run, tmp_path: Path):
    model = shutil.copytree(small_run[0] / "model", tmp_path / "model")
    settings = GenerateSettings(model=str(model / "model"), controlnets=(str(model / "controlnet_depth"),), kinds=("depth",))
    assert all(part.commercial for part in generate_parts(settings))
    assert generate_parts(dataclasses.replace(settings, model=str(tmp_path)))[0].commercial is None, "not a folder of the checkpoint"
    record = json.loads((model / "licences.json").read_text())
    record["licences"][0] |= {"name": FLAME, "commercial": False}
    (model / "licences.json").write_text(json.dumps(record))
    with pytest.raises(LicenceError, match="FLAME2020"):
        refuse_non_commercial(generate_parts(settings))


def test_generate_alone_refuses_control_images_of_a_restricted_head(small_run, tmp_path: Path, capsys):
    control = shutil.copytree(small_run[0] / "control", tmp_path / "control")
    record = json.loads((control / "control.json").read_text())
    record["licences"] = [dataclasses.asdict(LicencedPart(FLAME, "FLAME model licence", False, "head"))]
    (control / "control.json").write_text(json.dumps(record))
    nets = ["--model", "stable-diffusion-v1-5/stable-diffusion-v1-5", "--controlnets", "lllyasviel/sd-controlnet-depth"]
    assert "FLAME2020" in refused(["generate", str(control), "--out", str(tmp_path / "frames"), *nets, "--commercial"], capsys)
    assert not (tmp_path / "frames").exists()


def test_an_avatar_record_without_a_licence_counts_as_unknown(restricted_avatar: Path):
    record = json.loads((restricted_avatar / "avatar" / "avatar.json").read_text())
    del record["head"]["licence"], record["head"]["commercial"]
    (restricted_avatar / "avatar" / "avatar.json").write_text(json.dumps(record))
    part = avatar_part(restricted_avatar)
    assert part.commercial is None and part.licence == UNKNOWN_LICENCE


def test_every_line_of_the_model_table_has_a_source_and_a_day():
    text = (Path(assets.__file__).parent / "data" / "licences.toml").read_text(encoding="utf-8")
    assert len(tomllib.loads(text)["model"]) == len(known_models()), "no name twice"
    for entry in known_models().values():
        assert entry.source and entry.licence and len(entry.checked.split("-")) == 3
    assert not known_models()["stabilityai/sdxl-turbo"].commercial and known_models()["CrucibleAI/ControlNetMediaPipeFace"].commercial


def test_help_shows_the_flag(capsys):
    for arguments in (["--help"], ["export", "--help"], ["assets", "list", "--help"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
        assert "--commercial" in capsys.readouterr().out
