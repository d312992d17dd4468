"""The demo's own material for the tiny checkpoint: renders of the avatar with control images and captions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.artifacts import write_json
from studio.licences import head_licence
from studio.settings import EXPRESSIONS, TrainSettings

if TYPE_CHECKING:
    from conditioning.diffusion.tiny import TrainingSample
    from recon.avatar import Avatar
    from render.sweep import Frame, Sweep
    from studio.stages import Job


def train_on_avatar(job: Job, folder: Path) -> str:
    """Render the avatar at varied yaw and expression, train the tiny checkpoint into `folder`, return one line of facts.

    Reads avatar/ and sweep.json: its depth range and the control size, so that what the checkpoint sees later looks as it did here.
    """
    import recon
    import render
    from conditioning.diffusion.tiny import TinySettings, train_tiny

    settings = job.settings.train
    avatar, sweep = recon.load_avatar(job.out / "avatar"), render.load_sweep(job.out / "sweep.json")
    samples = training_samples(avatar, sweep, job)
    tiny = TinySettings(autoencoder_steps=settings.autoencoder_steps, denoiser_steps=settings.denoiser_steps, seed=settings.seed)
    report = train_tiny(samples, folder, tiny, progress=job.progress)
    # What was learnt from renders of a head is bound by that head's licence.
    write_json(folder / "licences.json", {"licences": [head_licence(avatar.head)]})
    return f"{report.statement} {report.size_mb:.1f} MB"


def training_samples(avatar: Avatar, sweep: Sweep, job: Job) -> list[TrainingSample]:
    """Renders at yaws, pitches and expressions of their own, none of them a frame of the sweep."""
    import render
    from conditioning import encode
    from conditioning.diffusion.tiny import TrainingSample
    from studio.stages import control_size

    control = job.settings.control
    width, height = control_size(sweep, control.width, control.height)
    varied = dataclasses.replace(training_sweep(avatar, job.settings.train, width, height), depth_range_m=sweep.depth_range_m)
    samples = []
    for frame, buffers in zip(varied.frames, render.render_sweep(avatar, varied), strict=True):
        samples.append(TrainingSample(encode(buffers, control.kinds, control.encoding), buffers.beauty_srgb, caption(avatar, frame)))
        job.progress("rendering training pictures", len(samples), len(varied.frames))
    return samples


def training_sweep(avatar: Avatar, settings: TrainSettings, width: int, height: int) -> Sweep:
    """Half orbit, half head turn, drawn from the seed; a third of the frames neutral, the others with mixed expressions."""
    import render

    rng = np.random.default_rng(settings.seed)
    num_orbit = settings.num_renders // 2
    yaws = rng.uniform(-85, 85, settings.num_renders)
    pitches = rng.uniform(-8, 8, settings.num_renders)
    parts = [render.orbit(avatar, yaw_deg=yaws[:num_orbit].tolist(), pitch_deg=pitches[:num_orbit].tolist(), width=width, height=height)]
    turned = (yaws[num_orbit:] / 2).tolist()
    parts.append(render.head_turn(avatar, yaw_deg=turned, pitch_deg=pitches[num_orbit:].tolist(), width=width, height=height))
    joined = render.concatenate(parts)
    return dataclasses.replace(joined, frames=tuple(dataclasses.replace(frame, weights=_expression(rng)) for frame in joined.frames))


def _expression(rng: np.random.Generator) -> dict[str, float]:
    if rng.random() < 1 / 3:
        return {}
    name = list(EXPRESSIONS)[rng.integers(len(EXPRESSIONS))]
    share = rng.uniform(0.2, 1.0)
    return {shape: float(share * weight) for shape, weight in EXPRESSIONS[name].items()}


def caption(avatar: Avatar, frame: Frame) -> str:
    """What the frame shows, in words made from its measured pose and expression; an expression of the person's own by its name."""
    from recon.expression_library import expression_words, nearest_expression, pose_words
    from studio.report_text import seen_pose

    pose = seen_pose(avatar, frame)
    is_own = nearest_expression(avatar, frame.weights) is not None
    mood = expression_words(avatar, frame.weights) if is_own else _mood(frame)
    return f"photo of the person, {pose_words(pose.yaw_deg, pose.pitch_deg)}, {mood}"


def _mood(frame: Frame) -> str:
    weights = frame.weights
    moods = [
        (weights.get("mouthSmileLeft", 0) + weights.get("mouthSmileRight", 0), "smiling"),
        (weights.get("browInnerUp", 0) * 2, "surprised"),
        (weights.get("jawOpen", 0) * 2, "mouth open"),
        (weights.get("browDownLeft", 0) + weights.get("browDownRight", 0), "frowning"),
        (weights.get("eyeBlinkLeft", 0) + weights.get("eyeBlinkRight", 0), "eyes closed"),
    ]
    strength, word = max(moods)
    return word if strength > 0.3 else "neutral"
