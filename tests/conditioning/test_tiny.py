"""The tiny checkpoint: a training of seconds learns, saves and runs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from assets.errors import RangeError, ShapeError
from conditioning.diffusion.generate import generate
from conditioning.diffusion.settings import GenerateSettings
from conditioning.diffusion.tiny import TinySettings, TrainingSample, train_tiny
from conditioning.diffusion.tiny_models import TinySize
from tests.conditioning.conftest import random_bundle

TOY = TinySettings(
    autoencoder_steps=24,
    denoiser_steps=24,
    autoencoder_batch=2,
    denoiser_batch=4,
    threads=1,
    size=TinySize(latent_channels=4, unet_channels=(16, 32), text_channels=16),
)


def samples():
    bundles = [random_bundle(f"{index:04d}", seed=index) for index in range(4)]
    targets = [np.full((64, 64, 3), (40 + 40 * index, 90, 200 - 40 * index), np.uint8) for index in range(4)]
    return [
        TrainingSample(bundle, target, f"photo of the person, number {index}")
        for index, (bundle, target) in enumerate(zip(bundles, targets, strict=True))
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("tiny") / "checkpoint"
    return train_tiny(samples(), out, TOY), out


def test_both_trainings_lower_their_loss(trained):
    report, _ = trained
    assert report.autoencoder_loss[1] < 0.6 * report.autoencoder_loss[0]
    assert report.denoiser_loss[1] < 0.8 * report.denoiser_loss[0]


def test_folder_is_complete_and_the_report_says_what_it_is(trained):
    report, out = trained
    assert {path.name for path in out.iterdir()} == {"model", "controlnet_depth", "controlnet_mediapipe_face", "tiny.json"}
    assert not out.with_name("checkpoint.part").exists()
    described = json.loads((out / "tiny.json").read_text())
    assert described["statement"] == report.statement
    assert "4 renders of this avatar" in report.statement and "nothing else" in report.statement
    assert report.size_mb < 40


def test_saved_checkpoint_generates(trained):
    report, _ = trained
    settings = GenerateSettings(
        model=str(report.model), controlnets=tuple(map(str, report.controlnets)), num_inference_steps=2, local_files_only=True, device="cpu"
    )
    assert next(iter(generate([samples()[0].bundle], settings))).rgb.shape == (64, 64, 3)


def test_same_seed_trains_the_same_weights(trained, tmp_path):
    _, out = trained
    again = train_tiny(samples(), tmp_path / "again", TOY)
    for name in ("model/unet/diffusion_pytorch_model.safetensors", "controlnet_depth/diffusion_pytorch_model.safetensors"):
        assert (out / name).read_bytes() == (again.model.parent / name).read_bytes()


def test_samples_that_do_not_fit_together_are_refused(tmp_path):
    with pytest.raises(RangeError, match="none"):
        train_tiny([], tmp_path / "x")
    good = samples()
    with pytest.raises(ShapeError, match="multiples of 16"):
        train_tiny([dataclasses.replace(good[0], target_srgb=np.zeros((32, 64, 3), np.uint8))], tmp_path / "x")
    with pytest.raises(RangeError, match="control kinds"):
        train_tiny([good[0], dataclasses.replace(good[1], bundle=good[1].bundle.select(("depth",)))], tmp_path / "x")
    assert not list(tmp_path.iterdir())
