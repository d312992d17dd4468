"""`recon export` beyond the single mesh: sequences and parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import render
from assets import load_head
from assets.head_model import HeadModel
from recon.storage import load_avatar, save_avatar
from render.sweep import Frame, HeadPose, Sweep
from studio import cli
from tests.recon.toy_head import toy_avatar


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("anny")


@pytest.fixture
def folder(head: HeadModel, tmp_path: Path) -> Path:
    still = {"identity_coeffs": np.zeros(head.num_identity, np.float32), "offsets": np.zeros_like(head.vertices)}
    return save_avatar(tmp_path / "person" / "avatar", toy_avatar(head, **still)).parent


def test_a_sweep_file_becomes_a_folder_of_numbered_meshes(folder: Path, tmp_path: Path, capsys):
    camera = render.look_at(np.array([0.0, 0, 1]), np.zeros(3), fov_y_deg=20, width=64, height=64)
    frames = (Frame("neutral", camera), Frame("left", camera, HeadPose(yaw_deg=40), {"jawOpen": 0.6}))
    render.save_sweep(tmp_path / "sweep.json", Sweep(frames, (0.5, 2.0)))
    out = tmp_path / "sequence"
    assert cli.main(["export", str(folder), "--out", str(out), "--sweep", str(tmp_path / "sweep.json")]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["head.0001.obj", "head.0002.obj", "head.mtl", "head.png"]
    turned = [line.split()[1:] for line in (out / "head.0002.obj").read_text().splitlines() if line.startswith("v ")]
    expected = load_avatar(folder / "avatar").pose(frames[1]).vertices
    np.testing.assert_array_equal(np.array(turned, np.float64).astype(np.float32), expected)
    assert "2 meshes" in capsys.readouterr().out


def test_shapes_become_53_named_meshes_and_both_at_once_are_refused(folder: Path, tmp_path: Path, capsys):
    out = tmp_path / "shapes"
    assert cli.main(["export", str(folder), "--out", str(out), "--shapes"]) == 0
    names = sorted(path.name for path in out.glob("*.obj"))
    assert len(names) == 53 and names[0] == "00-neutral.obj" and names[18] == "18-jawOpen.obj"
    capsys.readouterr()
    assert cli.main(["export", str(folder), "--out", str(tmp_path / "both"), "--shapes", "--sweep", str(tmp_path / "x.json")]) == 2
    assert "--sweep or --shapes" in capsys.readouterr().err and not (tmp_path / "both").exists()


def test_parameters_of_a_head_that_others_do_not_read_are_refused(folder: Path, tmp_path: Path, capsys):
    assert cli.main(["export", str(folder), "--out", str(tmp_path / "head.npz")]) == 2
    assert "ict or flame" in capsys.readouterr().err and not (tmp_path / "head.npz").exists()
