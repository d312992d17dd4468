"""`recon demo`: the bundled sample capture and the settings that keep it within ten minutes on two cores."""

from __future__ import annotations

from pathlib import Path

import assets
from assets.errors import MissingAssetError
from studio.settings import ControlStageSettings, GenerateSettings, RunSettings, SweepSettings, TrainSettings

TINY_SIDE_PX = 128
"""Picture size of the tiny checkpoint."""


def sample_folder() -> Path:
    """The sample capture that ships with the project; raises MissingAssetError where it is not there."""
    folder = Path(assets.__file__).parent / "sample"
    if not folder.is_dir():
        raise MissingAssetError(
            expected="the bundled sample capture",
            got=f"no folder {folder}",
            do="install the project again, or make it with `python -m studio.sample`",
        )
    return folder


def demo_settings() -> RunSettings:
    """The default fit and sweep, control images at the tiny checkpoint's size, and that checkpoint trained on the spot."""
    return RunSettings(
        sweep=SweepSettings(),
        control=ControlStageSettings(width=TINY_SIDE_PX, height=TINY_SIDE_PX),
        generate=GenerateSettings(model="", controlnets=(), num_inference_steps=16, guidance_scale=2.0, device="cpu"),
        train=TrainSettings(enabled=True),
    )
