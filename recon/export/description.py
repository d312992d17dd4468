"""Frame, axes and scale of exported geometry, in words for the files' headers."""

from __future__ import annotations

from typing import Literal

import numpy as np

from assets.errors import InputError
from recon.avatar import Avatar


def describe(avatar: Avatar, frame: Literal["head", "world"]) -> str:
    """Frame, axes and scale of an exported mesh, for the header of a file."""
    metric = "metres" if avatar.scale == "metric" else "relative scale (about metres: the size is the average head's)"
    # The world of loose pictures is the head frame; a rig has axes of its own.
    if frame == "head" or np.array_equal(avatar.T_world_head, np.eye(4)):
        return f"recon avatar, {metric}, head frame: +Y up, +Z front"
    return f"recon avatar, {metric}, world frame: axes of the rig's cameras file"


def check_frame(frame: str) -> None:
    """Raises InputError for a frame that there is not."""
    if frame not in ("head", "world"):
        raise InputError(expected='frame "head" or "world"', got=repr(frame), do="choose one of the two")
