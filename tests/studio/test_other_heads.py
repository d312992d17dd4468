"""Everything after the choice of a head is indifferent to it: the whole path on ICT-FaceKit, and an avatar that finds its head again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import recon
from assets.errors import MissingAssetError
from assets.head_model import PARTS
from assets.install import install
from studio import cli
from studio.artifacts import read_json
from studio.pipeline import run_pipeline
from tests.studio.conftest import SMALL, small_textures


@pytest.fixture(scope="module")
def ict_run(recon_data: Path, three_photos: Path, tmp_path_factory: pytest.TempPathFactory):
    """Output folder of a run with SMALL on ICT, installed into a data folder of its own from the outside file."""
    packed = recon_data / "assets" / "ict_facekit.npz"
    if not packed.is_file():
        pytest.skip(f"no {packed}")
    out = tmp_path_factory.mktemp("ict")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECON_HOME", str(out / "home"))
        install("ict-facekit", from_path=packed)
        # The tiny checkpoint is head-blind and has its own tests.
        settings = dataclasses.replace(
            SMALL,
            fit=dataclasses.replace(SMALL.fit, head="ict", texture=True),
            train=dataclasses.replace(SMALL.train, enabled=False),
            export=dataclasses.replace(SMALL.export, formats=("glb", "obj", "ply")),
        )
        with small_textures():
            run_pipeline(three_photos, out / "run", settings, commercial=True)
        yield out / "run"


def test_every_stage_leaves_its_artefact(ict_run: Path):
    stages = {stage["name"]: stage["state"] for stage in read_json(ict_run / "run.json")["stages"]}
    assert {name for name, state in stages.items() if state == "ran"} == set(stages) - {"train", "generate"}
    assert all((ict_run / "export" / f"head.{suffix}").stat().st_size > 10_000 for suffix in ("glb", "obj", "ply"))
    assert "ICT-FaceKit" in (ict_run / "report.html").read_text(encoding="utf-8")
    head = read_json(ict_run / "run.json")["licences"][0]
    assert (head["name"], head["commercial"]) == ("ict", True) and head["licence"].startswith("MIT")


def test_the_fit_is_as_near_to_the_truth_as_landmarks_alone_bring_it(ict_run: Path):
    figures = {figure["name"]: figure["value"] for figure in read_json(ict_run / "evaluation.json")["figures"]}
    assert figures["pictures registered"] == 3
    assert figures["face distance to truth, median"] < 2.5, "the average head lies about 1.5 mm away"
    assert figures["landmark residual, median view"] < 5


def test_the_avatar_finds_its_head_again_and_says_so_where_it_is_gone(ict_run: Path, tmp_path: Path, monkeypatch, capsys):
    avatar = recon.load_avatar(ict_run / "avatar")
    assert (avatar.head.name, avatar.head.commercial) == ("ict", True) and "tongueOut" in avatar.head.absent_blendshapes
    assert np.isfinite(avatar.vertices({"jawOpen": 0.7, "eyeBlinkLeft": 1.0})).all()
    monkeypatch.setenv("RECON_HOME", str(tmp_path))
    with pytest.raises(MissingAssetError, match="recon assets install ict-facekit"):
        recon.load_avatar(ict_run / "avatar")
    assert cli.main(["export", str(ict_run), "--out", str(tmp_path / "head.ply")]) == 2
    assert "recon assets install ict-facekit" in capsys.readouterr().err and not (tmp_path / "head.ply").exists()


def test_the_glb_has_52_named_targets_and_the_absent_shape_is_zero(ict_run: Path):
    data = (ict_run / "export" / "head.glb").read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    (mesh,) = document["meshes"]
    names = mesh["extras"]["targetNames"]
    assert len(names) == len(mesh["primitives"][0]["targets"]) == 52
    reach = [np.abs([*document["accessors"][t["POSITION"]]["min"], *document["accessors"][t["POSITION"]]["max"]]).max()
             for t in mesh["primitives"][0]["targets"]]  # fmt: skip
    assert reach[names.index("tongueOut")] == 0 and reach[names.index("jawOpen")] > 0.005
    assert "MIT" in document["asset"]["copyright"]


def test_pictures_show_skin_and_both_eyes_and_no_lashes(ict_run: Path):
    beauty = np.asarray(Image.open(ict_run / "render" / "beauty" / "0001.png").convert("RGB")).astype(int)
    depth = np.asarray(Image.open(ict_run / "control" / "depth" / "0001.png").convert("RGB")).astype(int)
    assert beauty.shape == (192, 192, 3) and 40 < beauty[80:110, 80:110].mean() < 230 and np.ptp(depth) > 100
    import render

    avatar, sweep = recon.load_avatar(ict_run / "avatar"), render.load_sweep(ict_run / "sweep.json")
    (buffers, *_) = render.render_sweep(avatar, dataclasses.replace(sweep, frames=sweep.frames[1:2]))
    seen = {PARTS[part] for part in np.unique(buffers.part_id)}
    assert {"skin", "eye_left", "eye_right"} <= seen and "lashes" not in seen
