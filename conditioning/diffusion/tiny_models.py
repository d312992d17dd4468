"""The tiny checkpoint's networks: diffusers' own classes, small enough to train on two cores."""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

_GROUPS = 8
_VAE_CHANNELS = (16, 32, 64)
_HINT_CHANNELS = (8, 16, 32)
_LOG_VARIANCE = -8.0


@dataclasses.dataclass(frozen=True)
class TinySize:
    """Widths of the tiny networks; the autoencoder always divides width and height by 4, which it learns far quicker than 8."""

    latent_channels: int = 4
    """Channels of the latent picture."""
    unet_channels: tuple[int, ...] = (32, 64, 128)
    """Channels of the UNet's and ControlNets' levels; attention to the text on the lowest."""
    text_channels: int = 64
    """Width of the text encoder."""


def build_autoencoder(size: TinySize) -> AutoencoderKL:
    """Random weights from torch's global generator, but a posterior that is nearly certain from the start.

    At its usual beginning the noise of the posterior drowns its mean, and hundreds of steps go into learning to be heard.
    """
    levels = len(_VAE_CHANNELS)
    autoencoder = AutoencoderKL.from_config(
        {
            "block_out_channels": _VAE_CHANNELS,
            "down_block_types": ["DownEncoderBlock2D"] * levels,
            "up_block_types": ["UpDecoderBlock2D"] * levels,
            "layers_per_block": 1,
            "latent_channels": size.latent_channels,
            "norm_num_groups": _GROUPS,
            "mid_block_add_attention": False,
        }
    )
    autoencoder = cast(AutoencoderKL, autoencoder)
    state = autoencoder.state_dict()
    state["quant_conv.weight"][size.latent_channels :] = 0
    state["quant_conv.bias"][size.latent_channels :] = _LOG_VARIANCE
    return autoencoder


def build_unet(size: TinySize) -> UNet2DConditionModel:
    """Random weights from torch's global generator."""
    plain = len(size.unet_channels) - 1
    return UNet2DConditionModel(
        in_channels=size.latent_channels,
        out_channels=size.latent_channels,
        block_out_channels=size.unet_channels,
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * plain,
        layers_per_block=1,
        cross_attention_dim=size.text_channels,
        attention_head_dim=4,
        norm_num_groups=_GROUPS,
    )


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A ControlNet for this UNet whose output convolutions start as ordinary random ones.

    Zero convolutions protect a trained UNet; here both sides learn together from nothing, and zeros would only lose the first steps.
    """
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=_HINT_CHANNELS, load_weights_from_unet=False)
    outputs = [*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out]
    for convolution in outputs:
        cast(torch.nn.Conv2d, convolution).reset_parameters()
    return net


def build_scheduler() -> DDIMScheduler:
    """DDIM with zero terminal signal, so that the first step is pure noise (Lin et al. 2023, arXiv 2305.08891).

    The UNet predicts the clean latents, not noise or velocity: with full controls that is a nearly certain answer, which a short
    training gets smooth, where predicted noise leaves whatever it could not learn as mottles in the picture.
    """
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=True,
    )
