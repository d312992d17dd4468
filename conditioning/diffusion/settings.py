"""What to generate with. Importing this loads neither torch nor diffusers, so that a command line can be derived from it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from conditioning.control_image import ControlKind


@dataclasses.dataclass(frozen=True)
class GenerateSettings:
    model: str
    """Hub name ("stable-diffusion-v1-5/stable-diffusion-v1-5") or folder of a diffusers pipeline (SD 1.5, 2.1 or SDXL family)."""
    controlnets: tuple[str, ...]
    """Hub names or local folders, one per entry of `kinds`."""
    kinds: tuple[ControlKind, ...] = ("depth", "mediapipe_face")
    """Which control picture each ControlNet wants, in the order of `controlnets`."""
    prompt: str = "photo of the person"
    """Used where a frame has no caption of its own."""
    negative_prompt: str = ""
    num_inference_steps: int = 20
    guidance_scale: float = 5.0
    """Classifier-free guidance; 1 switches it off and halves the time."""
    controlnet_conditioning_scale: tuple[float, ...] = (1.0, 1.0)
    """Weight of each ControlNet; 0 removes its influence. One number each: diffusers itself does not check that the lengths match."""
    control_guidance_start: tuple[float, ...] = (0.0, 0.0)
    """Fraction of the steps at which each ControlNet sets in."""
    control_guidance_end: tuple[float, ...] = (1.0, 1.0)
    """Fraction of the steps at which each ControlNet ends."""
    strength: float | None = None
    """None: text to image. A number in (0, 1]: image to image from the lit render, of which the higher the less is left."""
    seed: int = 0
    seed_per_frame: bool = False
    """False: every frame starts from the same noise, which keeps a sweep alike; True: seed + index of the frame."""
    width: int | None = None
    """Pixels; None: the control pictures' own. Pictures are never resized: another number than theirs is an error."""
    height: int | None = None
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """auto: float16 on cuda, float32 elsewhere."""
    device: str = "auto"
    """auto: cuda where present, else cpu."""
    local_files_only: bool = False
    """Never ask the hub; what is not on this machine is an error that says how to get it."""
    variant: str | None = None
    """Weight variant of the hub repository, such as "fp16"."""
    model_licence: str = ""
    """Licence of a model or ControlNet that is in no table of recon's, in your words. Stating it says that it allows your use."""
