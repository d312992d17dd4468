"""The examples run as they stand, on three photos and the tiny checkpoint."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import recon

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("[0-9]*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_opens_with_a_title_and_its_usage(path: Path):
    lines = (load(path).__doc__ or "").strip().splitlines()
    assert lines[0].endswith(".") and lines[2].startswith(f"Usage: python examples/{path.name} ")


def test_fit_and_sweep_runs(three_photos: Path, tmp_path: Path):
    fast = recon.FitSettings(preset="fast", use_dense=False, free_form=False, texture=False)
    load(EXAMPLES[0]).main(three_photos, tmp_path, fast, width=96)
    assert len(list((tmp_path / "render" / "beauty").glob("*.png"))) == 8
    assert recon.load_avatar(tmp_path / "avatar").head.name == "anny"


def test_control_images_runs(small_run, tmp_path: Path):
    load(EXAMPLES[1]).main(small_run[0] / "avatar", tmp_path, width=96)
    assert len(list(tmp_path.rglob("*.png"))) == 10


def test_generate_runs(small_run, tmp_path: Path):
    model = small_run[0] / "model"
    nets = [str(model / f"controlnet_{kind}") for kind in ("depth", "mediapipe_face")]
    load(EXAMPLES[2]).main(small_run[0] / "avatar", tmp_path / "frames", str(model / "model"), *nets, width=64, steps=1)
    assert len(list((tmp_path / "frames").glob("*.png"))) == 3
