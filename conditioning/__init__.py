"""Control images, ControlNet diffusion and adherence. Importing this loads neither torch nor diffusers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conditioning.control_image import ControlBundle as ControlBundle
from conditioning.control_image import ControlImage as ControlImage
from conditioning.control_image import ControlKind as ControlKind
from conditioning.control_image import load_control as load_control
from conditioning.control_image import save_control as save_control
from conditioning.encode import ControlSettings as ControlSettings
from conditioning.encode import encode as encode

if TYPE_CHECKING:
    from conditioning.diffusion.generate import GeneratedFrame as GeneratedFrame
    from conditioning.diffusion.generate import generate as generate
    from conditioning.diffusion.settings import GenerateSettings as GenerateSettings

_LAZY = {
    "GeneratedFrame": "conditioning.diffusion.generate",
    "generate": "conditioning.diffusion.generate",
    "GenerateSettings": "conditioning.diffusion.settings",
}


def __getattr__(name: str) -> object:
    """Load the diffusion stage when it is first asked for."""
    import importlib

    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
