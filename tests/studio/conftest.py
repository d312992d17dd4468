"""One small real run over three of the bundled photos, shared by the tests of this room."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import recon.texture
from recon.capture import CaptureSettings
from recon.fitting import FitSettings
from recon.texture import TextureSettings, bake_texture
from studio.pipeline import StageOutcome, run_pipeline
from studio.sample import sample_capture_dir
from studio.settings import (
    ControlStageSettings,
    EvaluateSettings,
    ExportSettings,
    GenerateSettings,
    RenderSettings,
    RunSettings,
    SweepSettings,
    TrainSettings,
)

SMALL = RunSettings(
    capture=CaptureSettings(),
    fit=FitSettings(preset="fast", use_dense=False, free_form=False),
    sweep=SweepSettings(
        orbit_deg=(-15, 30), orbit_frames=3, head_turn_frames=0, expressions=("smile",), expression_frames=2, width=192, height=192
    ),
    render=RenderSettings(aovs=("beauty", "depth16")),
    control=ControlStageSettings(width=64, height=64),
    generate=GenerateSettings(model="", controlnets=(), num_inference_steps=2, guidance_scale=1.0, device="cpu"),
    train=TrainSettings(enabled=True, num_renders=4, autoencoder_steps=2, denoiser_steps=2),
    export=ExportSettings(formats=("ply",)),
    evaluate=EvaluateSettings(),
)
"""Landmarks alone, 192 px renders, a tiny checkpoint after two steps: every stage really runs, none runs long."""


@pytest.fixture(scope="session")
def three_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with three bundled photos at half size and the ground truth beside them."""
    folder = tmp_path_factory.mktemp("three") / "person"
    folder.mkdir()
    for name in ("neutral_03.jpg", "neutral_04.jpg", "neutral_05.jpg"):
        with Image.open(sample_capture_dir() / name) as photo:
            exif = photo.info.get("exif", b"")
            photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.BOX).save(folder / name, quality=92, exif=exif)
    shutil.copytree(sample_capture_dir() / "gt", folder / "gt")
    return folder


@contextlib.contextmanager
def small_textures() -> Iterator[None]:
    """While it lasts, textures are baked at 512 texels instead of 2048: the same path, a sixteenth of the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recon.texture, "bake_texture", functools.partial(bake_texture, settings=TextureSettings(size=512)))
        yield


@pytest.fixture(scope="session")
def small_run(three_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[StageOutcome]]:
    """Output folder of an uninterrupted run with SMALL, and what each stage did. Tests that change it copy it first."""
    out = tmp_path_factory.mktemp("run") / "out"
    with small_textures():
        return out, run_pipeline(three_photos, out, SMALL)


@pytest.fixture
def run_copy(small_run: tuple[Path, list[StageOutcome]], tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    return shutil.copytree(small_run[0], tmp_path / "out")
