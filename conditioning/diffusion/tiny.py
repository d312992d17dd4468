"""Train a tiny checkpoint of the real diffusion classes on the renders of one avatar, in two minutes on two cores.

It exists so that the whole pipeline runs on a fresh machine without any downloaded weights. It overfits one person on purpose, and proves
the machinery only: it can draw nothing but what it was shown.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

from assets.errors import RangeError, ShapeError
from conditioning.control_image import ControlBundle
from conditioning.diffusion.tiny_models import TinySize, build_autoencoder, build_controlnet, build_scheduler, build_unet
from conditioning.diffusion.tiny_text import build_text_encoder, write_tokenizer
from conditioning.diffusion.tiny_training import encode_latents, latent_weight, train_autoencoder, train_denoiser

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingSample:
    """One picture of the avatar with its control images and a caption made from its measured pose and expression."""

    bundle: ControlBundle
    target_srgb: np.ndarray
    """(H, W, 3) uint8 sRGB, of the bundle's size; sides in multiples of 16."""
    caption: str


@dataclasses.dataclass(frozen=True)
class TinySettings:
    autoencoder_steps: int = 340
    """Steps of the autoencoder; the step counts are fixed, so the result does not depend on how busy the machine is."""
    denoiser_steps: int = 240
    """Steps of UNet, text encoder and ControlNets together."""
    autoencoder_batch: int = 2
    """Whole pictures; twice as many of the small squares that it begins with."""
    denoiser_batch: int = 4
    autoencoder_rate: float = 3e-3
    """Peak learning rate of the autoencoder (Adam, cosine decay)."""
    denoiser_rate: float = 2.5e-3
    """Peak learning rate of the rest (AdamW, cosine decay)."""
    control_dropout: float = 0.1
    """Probability of leaving out each control, apart from the others."""
    text_dropout: float = 0.1
    """Probability of an empty caption, which classifier-free guidance needs."""
    seed: int = 0
    threads: int = 2
    """CPU threads while training."""
    size: TinySize = dataclasses.field(default_factory=TinySize)


@dataclasses.dataclass(frozen=True)
class TinyReport:
    model: Path
    """Folder of the pipeline without its ControlNets."""
    controlnets: tuple[Path, ...]
    """One folder per kind, in the order of `kinds`."""
    kinds: tuple[str, ...]
    num_renders: int
    wall_s: float
    """Seconds of the whole training."""
    cpu_s: float
    """CPU seconds of the process over the same time."""
    autoencoder_loss: tuple[float, float]
    """Mean loss over the first and the last tenth of the steps."""
    denoiser_loss: tuple[float, float]
    size_mb: float
    """Megabytes (10^6) of all weights on disk."""

    @property
    def statement(self) -> str:
        """What may be claimed of this checkpoint, in one sentence for the report."""
        return (
            f"Tiny checkpoint: trained from nothing for {self.wall_s:.0f} s on {self.num_renders} renders of this avatar; "
            "it proves that the pipeline runs and can show nothing else."
        )


def train_tiny(
    samples: Sequence[TrainingSample], out_dir: Path, settings: TinySettings = TinySettings(), *, progress: Progress | None = None
) -> TinyReport:
    """Train autoencoder, UNet, text encoder and one ControlNet per control kind, and save them in diffusers' format.

    Writes out_dir/model, out_dir/controlnet_<kind> and out_dir/tiny.json; an earlier out_dir is replaced when all is done.
    Deterministic for a seed and a number of threads on one machine.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    kinds = _check(samples)
    out_dir = Path(out_dir)
    beside = out_dir.with_name(out_dir.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "vocabulary").mkdir(parents=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            losses = _train_and_save(samples, kinds, beside, settings, progress)
    finally:
        torch.set_num_threads(threads)
    shutil.rmtree(beside / "vocabulary")
    report = TinyReport(
        model=out_dir / "model",
        controlnets=tuple(out_dir / f"controlnet_{kind}" for kind in kinds),
        kinds=kinds,
        num_renders=len(samples),
        wall_s=time.perf_counter() - started,
        cpu_s=time.process_time() - cpu_started,
        autoencoder_loss=_ends(losses[0]),
        denoiser_loss=_ends(losses[1]),
        size_mb=sum(path.stat().st_size for path in beside.rglob("*.safetensors")) / 1e6,
    )
    (beside / "tiny.json").write_text(json.dumps(_described(report, out_dir, settings), indent=1), encoding="utf-8")
    shutil.rmtree(out_dir, ignore_errors=True)
    beside.replace(out_dir)
    return report


def _described(report: TinyReport, out_dir: Path, settings: TinySettings) -> dict[str, object]:
    """What tiny.json says; folders relative to it, so that the checkpoint can be moved."""
    folders = {
        "model": report.model.relative_to(out_dir).as_posix(),
        "controlnets": [folder.relative_to(out_dir).as_posix() for folder in report.controlnets],
    }
    return {**dataclasses.asdict(report), **folders, "statement": report.statement, "settings": dataclasses.asdict(settings)}


def _train_and_save(
    samples: Sequence[TrainingSample], kinds: tuple[str, ...], folder: Path, settings: TinySettings, progress: Progress | None
) -> tuple[list[float], list[float]]:
    """Both trainings and the files; returns the loss of every step of each."""
    targets = _to_tensor(np.stack([sample.target_srgb for sample in samples])) * 2 - 1
    controls = torch.stack([_to_tensor(np.stack([image.rgb for image in sample.bundle.images])) for sample in samples], dim=1)
    tokenizer = write_tokenizer(folder / "vocabulary", [sample.caption for sample in samples])
    autoencoder = build_autoencoder(settings.size)
    foreground = _foreground(samples)
    autoencoder_losses = train_autoencoder(autoencoder, targets, foreground, settings, progress)
    latents = encode_latents(autoencoder, targets)
    text_encoder = build_text_encoder(tokenizer, settings.size.text_channels)
    unet = build_unet(settings.size)
    nets = [build_controlnet(unet) for _ in kinds]
    scheduler = build_scheduler()
    tokens = tokenizer([sample.caption for sample in samples] + [""], padding="max_length", truncation=True, return_tensors="pt").input_ids
    denoiser_losses = train_denoiser(
        unet, text_encoder, nets, scheduler, latents, controls, tokens, latent_weight(foreground, latents), settings, progress
    )
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,  # type: ignore[arg-type]  # annotated with an enumeration of the same classes.
        safety_checker=None,  # type: ignore[arg-type]  # diffusers allows None, its annotation does not.
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "model")
    for kind, net in zip(kinds, nets, strict=True):
        net.save_pretrained(folder / f"controlnet_{kind}")
    return autoencoder_losses, denoiser_losses


def _foreground(samples: Sequence[TrainingSample]) -> torch.Tensor:
    """(N, 1, H, W) float32, 1 where the depth picture shows the head; all 1 without one."""
    masks = []
    for sample in samples:
        depth = [image.rgb[..., 0] > 0 for image in sample.bundle.images if image.kind == "depth"]
        masks.append(depth[0] if depth else np.ones(sample.target_srgb.shape[:2], bool))
    return torch.from_numpy(np.stack(masks)[:, None].astype(np.float32))


def _to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """(N, 3, H, W) float32 in [0, 1] from (N, H, W, 3) uint8."""
    return torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255


def _ends(losses: list[float]) -> tuple[float, float]:
    tenth = max(1, len(losses) // 10)
    return float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))


def _check(samples: Sequence[TrainingSample]) -> tuple[str, ...]:
    """The kinds that all samples share; raises where they differ in kinds or size."""
    if not samples:
        raise RangeError(expected="at least one training sample", got="none", do="render a sweep of the avatar first")
    kinds, shape = samples[0].bundle.kinds, samples[0].target_srgb.shape
    for sample in samples:
        width, height = sample.bundle.size_px
        if sample.bundle.kinds != kinds:
            raise RangeError(
                expected=f"control kinds {list(kinds)} in every sample",
                got=f"{list(sample.bundle.kinds)} for {sample.bundle.name!r}",
                do="encode all frames alike",
            )
        if sample.target_srgb.shape != shape or (height, width, 3) != shape or height % 16 or width % 16:
            raise ShapeError(
                expected=f"targets and controls of one size {shape}, sides in multiples of 16",
                got=f"target {sample.target_srgb.shape}, controls ({height}, {width}, 3) for {sample.bundle.name!r}",
                do="render controls and targets with one camera size such as 128x128",
            )
    return kinds
