"""diffusers' own ControlNet pipelines, chosen by the model's family and the task, loaded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.errors import MissingAssetError
from conditioning.diffusion.checks import Family, check_controlnet_folder, family_of_class, model_family
from conditioning.diffusion.settings import GenerateSettings

if TYPE_CHECKING:
    import torch
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline


def load_pipeline(settings: GenerateSettings) -> DiffusionPipeline:
    """The pipeline with all ControlNets on its device, its progress bar off.

    The safety checker is off: it is a separate network with its own weights, and it blanks frames of a sweep; who generates answers for the
    pictures. Raises MissingAssetError, naming it, for a model or ControlNet that is not there.
    """
    family = model_family(settings.model)
    for controlnet in settings.controlnets:
        check_controlnet_folder(controlnet)
    # Everything local is known to be there from here on, and diffusers takes a second to import.
    family = family or _hub_family(settings)
    from diffusers.models.controlnets.controlnet import ControlNetModel

    device, dtype = _device(settings), _dtype(settings)
    given = {"dtype": dtype, "local_files_only": settings.local_files_only}
    nets = [_from_pretrained(ControlNetModel, name, "ControlNet", **given) for name in settings.controlnets]
    extra = {"safety_checker": None, "requires_safety_checker": False} if family == "sd" else {}
    # A list makes diffusers wrap the nets into its MultiControlNetModel, also for one: one code path for any number.
    pipeline = _from_pretrained(
        _pipeline_class(family, settings), settings.model, "model", controlnet=nets, variant=settings.variant, **given, **extra
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _pipeline_class(family: Family, settings: GenerateSettings) -> Any:
    import diffusers

    prefix = "StableDiffusionXL" if family == "sdxl" else "StableDiffusion"
    task = "Pipeline" if settings.strength is None else "Img2ImgPipeline"
    return getattr(diffusers, f"{prefix}ControlNet{task}")


def _hub_family(settings: GenerateSettings) -> Family:
    """The family of a hub model from its model_index.json, which is downloaded or found in the cache."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(settings.model, "model_index.json", local_files_only=settings.local_files_only)
    except Exception as error:
        raise _missing(settings.model, "model", error) from error
    return family_of_class(str(json.loads(Path(path).read_text(encoding="utf-8"))["_class_name"]), settings.model)


def _from_pretrained(cls: Any, name: str, what: str, **options: Any) -> Any:
    """`cls.from_pretrained` with a clear error where files are missing; all other errors pass through."""
    try:
        return cls.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        raise _missing(name, what, error) from error


def _missing(name: str, what: str, error: Exception) -> MissingAssetError:
    reason = str(error).strip().splitlines()
    return MissingAssetError(
        expected=f"the {what} {name!r} on this machine or on the hub",
        got=f"{type(error).__name__}: {reason[0] if reason else 'no reason given'}",
        do=f"while online run `hf download {name}` (accept its licence first where it has one), or give a local folder",
    )


def _device(settings: GenerateSettings) -> torch.device:
    import torch

    if settings.device != "auto":
        return torch.device(settings.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(settings: GenerateSettings) -> torch.dtype:
    import torch

    if settings.dtype != "auto":
        return getattr(torch, settings.dtype)
    return torch.float16 if _device(settings).type == "cuda" else torch.float32
