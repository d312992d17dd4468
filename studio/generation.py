"""The diffusion stage: control pictures from disk, frames to disk, one at a time, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assets.counting import how_many
from assets.licences import LicencedPart
from studio.artifacts import read_object, write_json
from studio.licences import generate_parts, recorded_parts
from studio.staging import Staging

if TYPE_CHECKING:
    from conditioning import GenerateSettings
    from studio.pictures import StoredBundles
    from studio.stages import Job, Progress

USER_MODEL = "Frames drawn by {model}, with the ControlNets {controlnets}; the model's own licence and biases apply."


def generate_frames(job: Job, staging: Staging) -> str:
    """control/ to frames/FRAME.png and frames/frames.json; goes on after the frames that are already done."""
    from studio.pictures import load_bundles

    settings, statement = chosen_model(job)
    bundles = load_bundles(job.out / "control")
    folder = staging.folder / "frames"
    draw_frames(bundles, settings, staging, folder, prompts=prompts_of(job), progress=job.progress)
    parts = [*recorded_parts(job.out / "control" / "control.json"), *generate_parts(settings)]
    parts = [dataclasses.replace(part, name=name_inside(job.out, part.name)) for part in parts]
    write_frames_record(folder, statement, relative_to(job.out, settings), staging, parts)
    width, height = bundles[0].size_px
    return f"{how_many(len(bundles), 'frame')} of {width}x{height}. {statement}"


def draw_frames(
    bundles: StoredBundles, settings: GenerateSettings, staging: Staging, folder: Path, *, prompts: Mapping[str, str], progress: Progress
) -> None:
    """Draw the frames that are not done yet into `folder`, inside the staging folder."""
    from conditioning import generate
    from studio import pictures

    num_done = staging.num_done
    # Frames are drawn in order, so what is done is a beginning, and frame i keeps the seed that it would have had.
    first_seed = settings.seed + num_done if settings.seed_per_frame else settings.seed
    left = bundles[num_done:]
    stream = generate(left, dataclasses.replace(settings, seed=first_seed), prompts=prompts) if left else iter(())
    progress("generating frames", num_done, len(bundles))
    for frame in stream:
        saved = pictures.save_picture(folder / f"{frame.name}.png", frame.rgb)
        staging.frame_done(frame.name, [saved], seed=frame.seed, prompt=frame.prompt)
        progress("generating frames", staging.num_done, len(bundles))


def write_frames_record(folder: Path, statement: str, settings: GenerateSettings, staging: Staging, parts: Sequence[LicencedPart]) -> None:
    """frames.json: what may be said of the frames, the settings, the licences behind them, and seed and prompt of each frame."""
    record = {"statement": statement, "settings": settings, "licences": parts, "frames": staging.done_frames}
    write_json(folder / "frames.json", record)


def relative_to(out: Path, settings: GenerateSettings) -> GenerateSettings:
    """The settings with models that lie inside the output folder named relative to it, so that the folder can be moved."""
    nets = tuple(name_inside(out, name) for name in settings.controlnets)
    return dataclasses.replace(settings, model=name_inside(out, settings.model), controlnets=nets)


def name_inside(out: Path, name: str) -> str:
    """A path inside the output folder relative to it; any other name as it is."""
    return Path(name).relative_to(out).as_posix() if Path(name).is_relative_to(out) else name


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
    """The sentence that the training left about itself; raises ArtifactError where tiny.json is absent or broken."""
    return str(read_object(folder / "tiny.json").get("statement", "A tiny checkpoint that says nothing about itself."))


def prompts_of(job: Job) -> dict[str, str]:
    """Captions by frame name for the tiny checkpoint, which was trained on such; the user's own model gets the user's prompt."""
    import recon
    import render
    from studio.training import caption

    if not job.settings.train.enabled:
        return {}
    avatar, sweep = recon.load_avatar(job.out / "avatar"), render.load_sweep(job.out / "sweep.json")
    return {frame.name: caption(avatar, frame) for frame in sweep.frames}
