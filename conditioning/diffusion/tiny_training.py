"""The two training loops of the tiny checkpoint: first the autoencoder, then UNet, text encoder and ControlNets together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch.nn import functional
from transformers import CLIPTextModel

if TYPE_CHECKING:
    from conditioning.diffusion.tiny import TinySettings

Progress = Callable[[str, int, int], None]

_KL_WEIGHT = 1e-7
_FOREGROUND_WEIGHT = 3.0
_EMA_DECAY = 0.98
_SQUARES_UNTIL = 0.55


def train_autoencoder(
    autoencoder: AutoencoderKL, targets: torch.Tensor, foreground: torch.Tensor, settings: TinySettings, progress: Progress | None
) -> list[float]:
    """Fit to targets (N, 3, H, W) in [-1, 1], the head (foreground (N, 1, H, W) in [0, 1]) weighing more; return the losses.

    It learns local detail on small squares first, which is quick, and then whole pictures, because the group norms of the squares
    have other statistics: without the second part every flat background comes out in the wrong colour.

    The loss is L1 of the colour plus L1 of its differences to the right and below, which keeps edges, plus a whisper of KL.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    autoencoder.train()
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=settings.autoencoder_rate, betas=(0.9, 0.99))
    schedule = _schedule(optimizer, settings.autoencoder_rate, settings.autoencoder_steps)
    losses = []
    for step in range(settings.autoencoder_steps):
        in_squares = step < _SQUARES_UNTIL * settings.autoencoder_steps
        batch = settings.autoencoder_batch * (2 if in_squares else 1)
        chosen = torch.randint(len(targets), (batch,), generator=generator)
        picture, weight = targets[chosen], 1 + _FOREGROUND_WEIGHT * foreground[chosen]
        if in_squares:
            picture, weight = _cut(picture, weight, generator)
        with _half_where_fast():
            posterior = autoencoder.encode(picture, return_dict=False)[0]
            decoded = autoencoder.decode(posterior.sample(generator), return_dict=False)[0]  # type: ignore[arg-type]
        loss = _picture_loss(decoded.float(), picture, weight) + _KL_WEIGHT * posterior.kl().mean()
        _step(optimizer, schedule, loss, autoencoder.parameters())
        losses.append(loss.item())
        if progress:
            progress("tiny checkpoint: autoencoder", step + 1, settings.autoencoder_steps)
    autoencoder.eval()
    return losses


@torch.no_grad()
def encode_latents(autoencoder: AutoencoderKL, targets: torch.Tensor) -> torch.Tensor:
    """(N, C, h, w) latents of unit deviation; sets the autoencoder's scaling factor to make them so."""
    latents = torch.cat([autoencoder.encode(picture[None], return_dict=False)[0].mean for picture in targets])
    factor = 1 / latents.std().item()
    autoencoder.register_to_config(scaling_factor=factor)
    return latents * factor


def latent_weight(foreground: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """(N, 1, h, w) of mean 1, from foreground (N, 1, H, W) in [0, 1]."""
    weight = 1 + _FOREGROUND_WEIGHT * functional.interpolate(foreground, size=latents.shape[-2:], mode="area")
    return weight / weight.mean()


def train_denoiser(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    nets: Sequence[ControlNetModel],
    scheduler: DDIMScheduler,
    latents: torch.Tensor,
    controls: torch.Tensor,
    tokens: torch.Tensor,
    weight: torch.Tensor,
    settings: TinySettings,
    progress: Progress | None,
) -> list[float]:
    """Fit everything but the autoencoder; the weights end as their moving average. Returns the losses.

    Args:
        latents: (N, C, h, w) of unit deviation.
        controls: (kinds, N, 3, H, W) in [0, 1].
        tokens: (N + 1, 77) captions, the last one empty.
        weight: (N, 1, h, w) of the squared error: more on the head, which is what matters, than on the background.
    """
    generator = torch.Generator().manual_seed(settings.seed + 1)
    modules = torch.nn.ModuleList([unet, text_encoder, *nets]).train()
    optimizer = torch.optim.AdamW(modules.parameters(), lr=settings.denoiser_rate, betas=(0.9, 0.99), weight_decay=1e-3)
    schedule = _schedule(optimizer, settings.denoiser_rate, settings.denoiser_steps)
    average = [parameter.detach().clone() for parameter in modules.parameters()]
    losses = []
    for step in range(settings.denoiser_steps):
        loss = _denoising_loss(unet, text_encoder, nets, scheduler, latents, controls, tokens, weight, settings, generator)
        _step(optimizer, schedule, loss, modules.parameters())
        with torch.no_grad():
            decay = min(_EMA_DECAY, step / (step + 10))
            for kept, parameter in zip(average, modules.parameters(), strict=True):
                kept.lerp_(parameter, 1 - decay)
        losses.append(loss.item())
        if progress:
            progress("tiny checkpoint: UNet and ControlNets", step + 1, settings.denoiser_steps)
    with torch.no_grad():
        for parameter, value in zip(modules.parameters(), average, strict=True):
            parameter.copy_(value)
    modules.eval()
    return losses


def _denoising_loss(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    nets: Sequence[ControlNetModel],
    scheduler: DDIMScheduler,
    latents: torch.Tensor,
    controls: torch.Tensor,
    tokens: torch.Tensor,
    weight: torch.Tensor,
    settings: TinySettings,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean squared error of the predicted clean latents over one random batch."""
    batch = settings.denoiser_batch
    chosen = torch.randint(len(latents), (batch,), generator=generator)
    # Half of the batch is at high noise, where pose and identity are decided; the rest is spread evenly.
    spread = torch.rand(batch, generator=generator)
    spread[::2] = spread[::2].sqrt()
    steps = (spread * scheduler.config["num_train_timesteps"]).long()
    noise = torch.randn(latents[chosen].shape, generator=generator)
    noisy = scheduler.add_noise(latents[chosen], noise, steps)  # type: ignore[arg-type]
    captions = torch.where(torch.rand(batch, 1, generator=generator) < settings.text_dropout, tokens[-1:], tokens[chosen])
    kept = (torch.rand(len(nets), batch, generator=generator) >= settings.control_dropout).float()
    with _half_where_fast():
        text = text_encoder(captions)[0]
        outputs = [
            net(noisy, steps, text, controlnet_cond=picture[chosen], return_dict=False) for net, picture in zip(nets, controls, strict=True)
        ]
        # Each net is silenced per sample, as if its scale were zero, and the rest are summed, as MultiControlNet does.
        down = [_weighted_sum(parts, kept) for parts in zip(*(output[0] for output in outputs), strict=True)]
        middle = _weighted_sum([output[1] for output in outputs], kept)
        predicted = unet(noisy, steps, text, down_block_additional_residuals=tuple(down), mid_block_additional_residual=middle).sample
    return (weight[chosen] * (predicted.float() - latents[chosen]).square()).mean()


def _weighted_sum(parts: Sequence[torch.Tensor], kept: torch.Tensor) -> torch.Tensor:
    """Sum over nets of (B, C, h, w) parts, each times its (B,) row of `kept` (nets, B)."""
    return sum((part * keep[:, None, None, None] for part, keep in zip(parts, kept, strict=True)), torch.zeros_like(parts[0]))


def _cut(pictures: torch.Tensor, weights: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The same random square of half the size out of all pictures and weights; a quarter of the area takes a quarter of the time."""
    height, width = pictures.shape[-2:]
    side_y, side_x = height // 2, width // 2
    top = int(torch.randint(height - side_y + 1, (), generator=generator))
    left = int(torch.randint(width - side_x + 1, (), generator=generator))
    window = (..., slice(top, top + side_y), slice(left, left + side_x))
    return pictures[window], weights[window]


def _picture_loss(decoded: torch.Tensor, picture: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    error = decoded - picture
    colour = (weight * error.abs()).mean()
    right = (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
    below = (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    return colour + right + below


def _schedule(optimizer: torch.optim.Optimizer, rate: float, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    """A short warm-up, then a cosine to nearly zero."""
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=max(steps, 2), pct_start=0.1, cycle_momentum=False, final_div_factor=20
    )


def _step(
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
    loss: torch.Tensor,
    parameters: Iterable[torch.nn.Parameter],
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    schedule.step()


def _half_where_fast() -> contextlib.AbstractContextManager[object]:
    """bfloat16 products where the processor has instructions for them (twice as fast there, many times slower elsewhere)."""
    if torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported() and _has_bf16_instructions():
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def _has_bf16_instructions() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
