"""`recon assets`: what is listed, shown, installed and calibrated, and what is told where something is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import MissingAssetError, RangeError
from assets.heads import HEAD_NAMES, describe_head, head_part, list_heads, load_head, parse_head_name
from studio import cli
from studio.asset_tables import calibration_entries, list_assets


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's data folder in which nothing is installed."""
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RECON_FACE_LANDMARKER", raising=False)
    return tmp_path / "home"


def listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert cli.main(["assets", "list", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_list_says_of_each_head_whether_it_is_there_how_to_install_it_and_its_licence(empty_home: Path, capsys):
    heads = {entry["name"]: entry for entry in listed([], capsys)["heads"]}
    assert tuple(heads) == HEAD_NAMES
    anny, ict, flame = heads.values()
    head = load_head("anny")
    assert (anny["status"], anny["commercial"], anny["num_vertices"], anny["num_blendshapes"]) == ("installed", True, head.num_vertices, 52)
    assert "CC0" in anny["licence"] and anny["how_to_install"] == ""
    assert (ict["status"], ict["commercial"], ict["num_vertices"]) == ("not installed", True, None)
    assert ict["licence"].startswith("MIT") and "recon assets install ict-facekit" in ict["how_to_install"]
    assert (flame["status"], flame["commercial"]) == ("not installed", False) and "--head flame:" in flame["how_to_install"]


def test_the_table_shows_the_same_and_the_way_to_install(empty_home: Path, capsys):
    assert cli.main(["assets", "list"]) == 0
    text = capsys.readouterr().out
    for part in ("anny", "ict", "flame:PATH", "52 of 52", "not installed", "recon assets install ict-facekit", "bundled", "tasks"):
        assert part in text, part


def test_a_head_that_is_asked_for_is_described_beside_the_others(empty_home: Path, tmp_path: Path, capsys):
    broken = tmp_path / "model.pkl"
    broken.write_bytes(b"no pickle at all")
    heads = listed(["--head", "anny+1", f"flame:{broken}", "flame:/nowhere/x.npz"], capsys)["heads"][3:]
    coarse, fine = load_head("anny"), heads[0]
    assert fine["name"] == "anny+1" and fine["status"] == "installed"
    assert 3.5 * coarse.num_vertices < fine["num_vertices"] < 4.5 * coarse.num_vertices
    assert (heads[1]["status"], heads[2]["status"]) == ("broken", "not installed")
    assert "model.pkl" in heads[1]["detail"] and "/nowhere/x.npz" in heads[2]["detail"]


def test_calibrations_are_found_shipped_own_or_missing(empty_home: Path, tmp_path: Path):
    from assets.detector_model import DATA_DIR, detector_model_path

    head = load_head("anny")
    (entry,) = [describe_head("anny")]
    by_detector = {found.detector: found for found in calibration_entries([entry], None)}
    assert by_detector["bundled"].status == "shipped" and Path(by_detector["bundled"].detail).is_file()
    own = detector_model_path(head, "tasks", folder=empty_home / "calibrations")
    if by_detector["tasks"].status == "missing":
        assert by_detector["tasks"].detail == "recon assets calibrate --head anny --detector tasks"
        own.parent.mkdir(parents=True)
        shutil.copy(detector_model_path(head, "bundled", folder=DATA_DIR), own)
        assert {found.detector: found.status for found in calibration_entries([entry], None)}["tasks"] == "own"


def test_show_prints_what_a_head_has_and_lacks(capsys):
    assert cli.main(["assets", "show", "anny"]) == 0
    text = capsys.readouterr().out
    head = load_head("anny")
    assert f"{head.num_vertices:,}" in text and head.topology_hash in text and "lashes" in text


def test_what_cannot_be_loaded_is_told_in_three_parts(empty_home: Path, tmp_path: Path, capsys):
    for arguments, part in (
        (["show", "ict"], "recon assets install ict-facekit"),
        (["show", "anni"], "did you mean 'anny'?"),
        (["show", "flame:/nowhere/x.pkl"], "/nowhere/x.pkl"),
        (["install", "ict-facekit", "--from", str(tmp_path / "nothing.npz")], "nothing.npz"),
        (["calibrate", "--head", "ict"], "recon assets install ict-facekit"),
    ):
        assert cli.main(["assets", *arguments]) == 2
        message = capsys.readouterr().err
        assert part in message and all(word in message for word in ("expected:", "got:", "do:")), message
    assert not (empty_home / "calibrations").exists()


def test_installing_shows_the_licence_and_the_list_then_says_installed(empty_home: Path, recon_data: Path, capsys):
    task = recon_data / "assets" / "face_landmarker.task"
    if not task.is_file():
        pytest.skip(f"no {task}")
    tasks = listed([], capsys)["detectors"][1]
    assert tasks["name"] == "tasks" and tasks["status"] == "not installed"
    assert cli.main(["assets", "install", "face-landmarker", "--from", str(task), "--commercial"]) == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert listed([], capsys)["detectors"][1]["status"] == "installed"
    assert list_assets().detectors[1].detail.startswith(str(empty_home))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("any", "'anny'"),
        ("ICT", "'ict'"),
        ("ict-facekit", "'ict'"),
        ("flame", "flame:PATH"),
        ("flame:", "flame:PATH"),
        ("/models/FLAME2020.pkl", "'flame:/models/FLAME2020.pkl'"),
        ("anny+x", "'anny'"),
        ("anny+3", "anny+2"),
        ("ict+77", "ict+2"),
    ],
)
def test_a_name_that_no_head_has_is_answered_with_the_nearest_one(name: str, meant: str):
    for call in (load_head, head_part, describe_head):
        with pytest.raises(RangeError) as refusal:
            call(name)
        assert meant in refusal.value.do and repr(name) == refusal.value.got


def test_names_are_taken_apart_and_a_file_whose_name_ends_like_a_level_is_that_file(tmp_path: Path, monkeypatch):
    assert (parse_head_name("anny+2").levels, parse_head_name("ict").levels) == (2, 0)
    parsed = parse_head_name("flame:/a/b.pkl+1")
    assert (str(parsed.file), parsed.levels, str(parsed)) == ("/a/b.pkl", 1, "flame:/a/b.pkl+1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.pkl+1").write_bytes(b"")
    assert parse_head_name("flame:odd.pkl+1").file == tmp_path / "odd.pkl+1"
    with pytest.raises(MissingAssetError, match="odd2"):
        load_head("flame:odd2.pkl")


def test_a_head_keeps_the_name_that_it_was_asked_for_and_its_shapes_when_subdivided(tmp_path: Path, monkeypatch):
    head = load_head("anny")
    fine = load_head("anny+1")
    assert (head.name, fine.name) == ("anny", "anny+1") and fine.topology_hash != head.topology_hash
    assert fine.identity_names == head.identity_names and fine.licence == head.licence
    again = load_head("anny+1")
    assert (again.vertices == fine.vertices).all() and (again.blendshape_deltas == fine.blendshape_deltas).all()
    assert len(list_heads()) == len(HEAD_NAMES) and len(ARKIT_BLENDSHAPES) == 52
