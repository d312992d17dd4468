"""Generate one picture per frame with diffusers' ControlNet pipelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from conditioning.control_image import ControlBundle
from conditioning.diffusion.checks import check_bundle, check_settings
from conditioning.diffusion.loading import load_pipeline
from conditioning.diffusion.settings import GenerateSettings

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class GeneratedFrame:
    name: str
    """Frame name."""
    rgb: np.ndarray
    """(H, W, 3) uint8 sRGB, of the control pictures' size."""
    seed: int
    prompt: str


def generate(
    bundles: Iterable[ControlBundle],
    settings: GenerateSettings,
    *,
    prompts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Iterator[GeneratedFrame]:
    """Yield one frame per bundle; the pipeline is loaded once, after the settings and the first frame were found right.

    Args:
        bundles: control pictures, streamed: one frame is in memory at a time. Kinds that no ControlNet asks for are left aside.
        settings: model, ControlNets and their weights.
        prompts: captions by frame name, in place of `settings.prompt`.
        progress: told ("generate", done, total); total is 0 where `bundles` has no length.

    The noise is drawn on the CPU from the frame's seed, so it is the same on every device. Settings are checked when this is called, each
    frame before it is drawn. Raises RangeError, ShapeError or MissingAssetError.
    """
    check_settings(settings)
    return _generate(bundles, settings, prompts or {}, progress)


def _generate(
    bundles: Iterable[ControlBundle], settings: GenerateSettings, prompts: Mapping[str, str], progress: Progress | None
) -> Iterator[GeneratedFrame]:
    total = len(bundles) if hasattr(bundles, "__len__") else 0  # type: ignore[arg-type]
    pipeline: DiffusionPipeline | None = None
    for index, bundle in enumerate(bundles):
        chosen = check_bundle(bundle, settings)
        pipeline = pipeline or load_pipeline(settings)
        seed = settings.seed + index if settings.seed_per_frame else settings.seed
        prompt = prompts.get(bundle.name, settings.prompt)
        yield GeneratedFrame(name=bundle.name, rgb=_draw(pipeline, chosen, settings, seed, prompt), seed=seed, prompt=prompt)
        if progress:
            progress("generate", index + 1, total)


def _draw(pipeline: Any, bundle: ControlBundle, settings: GenerateSettings, seed: int, prompt: str) -> np.ndarray:
    """(H, W, 3) uint8 of one frame. Control pictures go in as RGB PIL images, which the pipeline itself maps to [0, 1]."""
    import torch

    width, height = bundle.size_px
    controls = [Image.fromarray(image.rgb) for image in bundle.images]
    given: dict[str, Any] = {"image": controls}
    if settings.strength is not None and bundle.init_srgb is not None:
        given = {"image": Image.fromarray(bundle.init_srgb), "control_image": controls, "strength": settings.strength}
    output = pipeline(
        prompt=prompt,
        negative_prompt=settings.negative_prompt,
        width=width,
        height=height,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        controlnet_conditioning_scale=list(settings.controlnet_conditioning_scale),
        control_guidance_start=list(settings.control_guidance_start),
        control_guidance_end=list(settings.control_guidance_end),
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="pil",
        **given,
    )
    return np.asarray(output.images[0].convert("RGB")).copy()
