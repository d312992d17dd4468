"""`recon demo`: the bundled sample capture and the settings that keep it within ten minutes on two cores."""

from __future__ import annotations

from pathlib import Path

import assets
from assets.errors import MissingAssetError
from recon.capture import CaptureSettings
from studio.settings import ControlStageSettings, GenerateSettings, RunSettings, SweepSettings, TrainSettings

SAMPLE_NOTE = (
    "The person in this capture is synthetic, and this project rendered the photos itself: the figures show that the path works, "
    "not how well real photos would do."
)

EXPECTED_TIME = "8 minutes on 2 cores"
"""Measured, setting up included; the README's own figure for `make demo`."""

TINY_SIDE_PX = 128
"""Picture size of the tiny checkpoint."""

SAMPLE_FOLDER = Path(assets.__file__).parent / "sample"
"""The bundled capture: twelve photos, and the folders gt and clip beside them."""


def sample_folder() -> Path:
    """The sample capture that ships with the project; raises MissingAssetError where it is not there."""
    if not SAMPLE_FOLDER.is_dir():
        raise MissingAssetError(
            expected="the bundled sample capture",
            got=f"no folder {SAMPLE_FOLDER}",
            do="install the project again, or make it with `python -m studio.sample`",
        )
    return SAMPLE_FOLDER


def demo_settings() -> RunSettings:
    """The photos without the clip, the default fit and sweep, and a tiny checkpoint trained on the spot, with control images to match."""
    return RunSettings(
        capture=CaptureSettings(videos_beside_photos=False),
        sweep=SweepSettings(),
        control=ControlStageSettings(width=TINY_SIDE_PX, height=TINY_SIDE_PX),
        generate=GenerateSettings(model="", controlnets=(), num_inference_steps=10, guidance_scale=1.5, device="cpu"),
        train=TrainSettings(enabled=True),
    )


def time_line() -> str:
    """What to expect before anything is seen."""
    return f"the demo takes about {EXPECTED_TIME}, most of it in fit and train; stages that are done already are skipped"
