"""The diffusion stage as the pipeline runs it: control pictures from disk, frames to disk, one at a time, resumable."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from studio.artifacts import Staging, write_json

if TYPE_CHECKING:
    from conditioning import GenerateSettings
    from studio.stages import Job

USER_MODEL = "Frames drawn by {model}, with the ControlNets {controlnets}; the model's own licence and biases apply."


def generate_frames(job: Job, staging: Staging) -> str:
    """control/ to frames/FRAME.png and frames/frames.json; goes on after the frames that are already done."""
    from conditioning import generate
    from studio.stages import load_bundles, save_picture

    settings, statement = chosen_model(job)
    bundles = load_bundles(job.out / "control")
    num_done, total = len(staging.done_names), len(bundles)
    # Frames are drawn in order, so what is done is a beginning, and frame i keeps the seed that it would have had.
    first_seed = settings.seed + num_done if settings.seed_per_frame else settings.seed
    left = bundles[num_done:]
    stream = generate(left, dataclasses.replace(settings, seed=first_seed), prompts=prompts_of(job)) if left else iter(())
    job.progress("generating frames", num_done, total)
    for frame in stream:
        save_picture(staging.folder / "frames" / f"{frame.name}.png", frame.rgb)
        staging.frame_done(frame.name, seed=frame.seed, prompt=frame.prompt)
        job.progress("generating frames", len(staging.done_names), total)
    described = {"statement": statement, "settings": settings, "frames": staging.done_frames}
    write_json(staging.folder / "frames" / "frames.json", described)
    width, height = bundles[0].size_px
    return f"{total} frames of {width}x{height}. {statement}"


def chosen_model(job: Job) -> tuple[GenerateSettings, str]:
    """The settings with the model that is really used, and what may be claimed of it."""
    settings = job.settings.generate
    if not job.settings.train.enabled:
        return settings, statement_of(settings)
    folder = job.out / "model"
    kinds = job.settings.control.kinds
    controlnets = tuple(str(folder / f"controlnet_{kind}") for kind in kinds)
    settings = dataclasses.replace(settings, model=str(folder / "model"), controlnets=controlnets, kinds=kinds, local_files_only=True)
    return settings, tiny_statement(folder)


def statement_of(settings: GenerateSettings) -> str:
    """What may be said of frames from the user's own model."""
    return USER_MODEL.format(model=settings.model, controlnets=", ".join(settings.controlnets) or "none")


def tiny_statement(folder: Path) -> str:
    """The sentence that the training left about itself."""
    import json

    return str(json.loads((folder / "tiny.json").read_text(encoding="utf-8"))["statement"])


def prompts_of(job: Job) -> dict[str, str]:
    """Captions by frame name for the tiny checkpoint, which was trained on such; the user's own model gets the user's prompt."""
    import recon
    import render
    from studio.training import caption

    if not job.settings.train.enabled:
        return {}
    avatar, sweep = recon.load_avatar(job.out / "avatar"), render.load_sweep(job.out / "sweep.json")
    return {frame.name: caption(avatar, frame) for frame in sweep.frames}
