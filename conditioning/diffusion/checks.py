"""Everything that can be known to be wrong before any weights are touched. diffusers checks little of this and resizes in silence."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from assets.errors import MissingAssetError, RangeError, ShapeError
from conditioning.control_image import CONTROL_KINDS, ControlBundle
from conditioning.diffusion.settings import GenerateSettings

Family = Literal["sd", "sdxl"]

SIZE_STEP_PX = 8
"""Widths and heights are multiples of this: the autoencoder halves three times."""


def check_settings(settings: GenerateSettings) -> None:
    """Raise RangeError for lists of the wrong length and numbers outside their range."""
    count = len(settings.controlnets)
    if count == 0:
        raise RangeError(expected="at least one ControlNet", got="none", do="name a ControlNet for depth or mediapipe_face")
    for name in ("kinds", "controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end"):
        values = getattr(settings, name)
        if len(values) != count:
            raise RangeError(
                expected=f"{count} values in {name}, one per ControlNet",
                got=f"{len(values)}: {values}",
                do=f"give {name} one value for each of {list(settings.controlnets)}, in that order",
            )
    _check_kinds(settings)
    _check_numbers(settings)


def check_bundle(bundle: ControlBundle, settings: GenerateSettings) -> ControlBundle:
    """The frame with the pictures that the ControlNets want, in their order; raises where kind, size or start picture is wrong."""
    chosen = bundle.select(settings.kinds)
    width, height = chosen.size_px
    wanted = (settings.width or width, settings.height or height)
    if (width, height) != wanted:
        raise ShapeError(
            expected=f"control pictures of the size to generate, {wanted[0]}x{wanted[1]}",
            got=f"{width}x{height} for frame {bundle.name!r}",
            do="render the sweep at that size, or leave width and height unset",
        )
    if width % SIZE_STEP_PX or height % SIZE_STEP_PX:
        raise ShapeError(
            expected=f"width and height in multiples of {SIZE_STEP_PX}",
            got=f"{width}x{height} for frame {bundle.name!r}",
            do=f"render at {width - width % SIZE_STEP_PX or SIZE_STEP_PX}x{height - height % SIZE_STEP_PX or SIZE_STEP_PX}",
        )
    if settings.strength is not None and bundle.init_srgb is None:
        raise RangeError(
            expected="a lit render to start from, because strength is set",
            got=f"none for frame {bundle.name!r}",
            do="set strength to None for text to image, or encode from render buffers",
        )
    return chosen


def model_family(model: str | Path) -> Family | None:
    """The family of a local pipeline folder from its model_index.json; None for a hub name, which only the hub can tell.

    Raises MissingAssetError where a path does not exist or is not a diffusers pipeline that this stage can run.
    """
    folder = Path(model)
    if not _is_path(model):
        return None
    index = folder / "model_index.json"
    if not index.is_file():
        raise MissingAssetError(
            expected="a folder of a diffusers pipeline, with model_index.json in it",
            got=f"unknown model folder {folder}" + ("" if folder.is_dir() else " (does not exist)"),
            do="give a folder written by save_pretrained, or a hub name like 'stable-diffusion-v1-5/stable-diffusion-v1-5'",
        )
    try:
        class_name = str(json.loads(index.read_text(encoding="utf-8"))["_class_name"])
    except (ValueError, KeyError, TypeError) as error:
        raise MissingAssetError(
            expected="a model_index.json with _class_name", got=f"{index}: {type(error).__name__}: {error}", do="download the model again"
        ) from error
    return family_of_class(class_name, str(folder))


def family_of_class(class_name: str, model: str) -> Family:
    """The family of a diffusers pipeline class name; raises MissingAssetError for families that this stage does not run."""
    if class_name.startswith("StableDiffusionXL"):
        return "sdxl"
    if class_name.startswith("StableDiffusion") and not class_name.startswith("StableDiffusion3"):
        return "sd"
    raise MissingAssetError(
        expected="a pipeline of the Stable Diffusion 1.5, 2.1 or SDXL family",
        got=f"{class_name} in {model}",
        do="choose a model of one of these families, with ControlNets made for it",
    )


def check_controlnet_folder(controlnet: str) -> None:
    """Raise MissingAssetError where a local ControlNet folder is absent or has no config.json; hub names pass."""
    folder = Path(controlnet)
    if _is_path(controlnet) and not (folder / "config.json").is_file():
        raise MissingAssetError(
            expected="a folder of a ControlNet in diffusers format, with config.json in it",
            got=f"unknown ControlNet folder {folder}" + ("" if folder.is_dir() else " (does not exist)"),
            do="give a folder written by ControlNetModel.save_pretrained, or a hub name like 'lllyasviel/control_v11f1p_sd15_depth'",
        )


def _is_path(name: str | Path) -> bool:
    """Whether a model name means a folder: it exists, or cannot be a hub name, which is "name" or "owner/name" alone."""
    text = str(name)
    return isinstance(name, Path) or Path(text).exists() or text.startswith((".", "/", "~")) or "\\" in text or text.count("/") != 1


def _check_kinds(settings: GenerateSettings) -> None:
    unknown = [kind for kind in settings.kinds if kind not in CONTROL_KINDS]
    if unknown:
        raise RangeError(expected=f"kinds out of {', '.join(CONTROL_KINDS)}", got=", ".join(unknown), do="correct the name of the kind")


def _check_numbers(settings: GenerateSettings) -> None:
    strength = settings.strength
    if strength is not None and not 0 < strength <= 1:
        raise RangeError(expected="strength in (0, 1], or None for text to image", got=str(strength), do="0.6 keeps about half")
    if settings.num_inference_steps < 1:
        raise RangeError(expected="at least one step", got=f"num_inference_steps={settings.num_inference_steps}", do="20 is usual")
    if strength is not None and int(settings.num_inference_steps * strength) < 1:
        raise RangeError(
            expected="strength x num_inference_steps of at least 1",
            got=f"{strength} x {settings.num_inference_steps}",
            do="raise either, or there is no step to run",
        )
    if not all(math.isfinite(scale) for scale in (*settings.controlnet_conditioning_scale, settings.guidance_scale)):
        raise RangeError(
            expected="finite scales", got=f"{settings.controlnet_conditioning_scale}, {settings.guidance_scale}", do="1 is usual"
        )
    _check_spans(settings.control_guidance_start, settings.control_guidance_end)


def _check_spans(starts: Sequence[float], ends: Sequence[float]) -> None:
    for start, end in zip(starts, ends, strict=True):
        if not 0 <= start < end <= 1:
            raise RangeError(
                expected="0 <= control_guidance_start < control_guidance_end <= 1", got=f"{start}, {end}", do="0 and 1 cover all steps"
            )
