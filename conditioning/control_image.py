"""A control picture for a ControlNet, with what it is; and all pictures of one frame together."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from assets.atomic import written_beside
from assets.errors import ArtifactError, RangeError, ShapeError
from render.sweep import check_frame_name

ControlKind = Literal["depth", "mediapipe_face"]

CONTROL_KINDS: tuple[ControlKind, ...] = get_args(ControlKind)
"""All kinds that can be encoded."""

_TEXT_KEY = "recon_control"


@dataclasses.dataclass(frozen=True, eq=False)
class ControlImage:
    kind: ControlKind
    encoding: str
    """How it is coloured: "disparity" or "linear" for depth, "crucibleai" for mediapipe_face."""
    name: str
    """Frame name."""
    rgb: np.ndarray
    """(H, W, 3) uint8 RGB, as the public ControlNet was trained."""
    depth_range_m: tuple[float, float] | None = None
    """(near, far) camera z in metres that 255 and 1 stand for; None for kinds without depth."""


@dataclasses.dataclass(frozen=True, eq=False)
class ControlBundle:
    """Everything that diffusion is told about one frame."""

    name: str
    """Frame name."""
    images: tuple[ControlImage, ...]
    """One per kind, in the order asked for, all of one size."""
    init_srgb: np.ndarray | None
    """(H, W, 3) uint8 sRGB, the lit render, where image-to-image starts; None where there is none."""

    def __post_init__(self) -> None:
        if not self.images:
            raise RangeError(expected="at least one control image", got=f"none for frame {self.name!r}", do="encode at least one kind")
        sizes = {image.kind: image.rgb.shape for image in self.images}
        if self.init_srgb is not None:
            sizes["init_srgb"] = self.init_srgb.shape
        if len(set(sizes.values())) > 1:
            raise ShapeError(
                expected="all pictures of a frame of one size", got=f"{sizes} for frame {self.name!r}", do="render them together"
            )

    @property
    def kinds(self) -> tuple[ControlKind, ...]:
        """The kinds of `images`, in order."""
        return tuple(image.kind for image in self.images)

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height) of every picture."""
        height, width = self.images[0].rgb.shape[:2]
        return width, height

    def select(self, kinds: tuple[ControlKind, ...]) -> ControlBundle:
        """The same frame with these kinds only, in this order; raises RangeError by name for one that is not there."""
        by_kind = {image.kind: image for image in self.images}
        missing = [kind for kind in kinds if kind not in by_kind]
        if missing:
            raise RangeError(
                expected=f"control images of kinds {list(kinds)}",
                got=f"{list(by_kind)} for frame {self.name!r} (no {', '.join(missing)})",
                do="encode the missing kinds, or leave out their ControlNets",
            )
        return dataclasses.replace(self, images=tuple(by_kind[kind] for kind in kinds))


def save_control(folder: Path, image: ControlImage) -> Path:
    """Write folder/<kind>/<name>.png, lossless, with kind, encoding and depth range in a PNG text chunk; return its path.

    Raises RangeError for a frame name that is not a plain file stem.
    """
    path = Path(folder) / image.kind / f"{check_frame_name(image.name)}.png"
    described = {"kind": image.kind, "encoding": image.encoding, "name": image.name, "depth_range_m": image.depth_range_m}
    text = PngInfo()
    text.add_text(_TEXT_KEY, json.dumps(described))
    with written_beside(path) as beside:
        Image.fromarray(image.rgb).save(beside, format="PNG", pnginfo=text)
    return path


def load_control(path: Path) -> ControlImage:
    """Read a picture that `save_control` wrote; raises ArtifactError where it is not one."""
    path = Path(path)
    try:
        with Image.open(path) as picture:
            described = json.loads(picture.info[_TEXT_KEY])
            rgb = np.array(picture.convert("RGB"))
        depth_range_m = described["depth_range_m"]
        kind, encoding, name = described["kind"], described["encoding"], described["name"]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(
            expected="a control PNG with its kind and encoding in the file",
            got=f"{path}: {type(error).__name__}: {error}",
            do="run the control stage again; other programs may strip the text from a PNG",
        ) from error
    return ControlImage(kind=kind, encoding=encoding, name=name, rgb=rgb, depth_range_m=tuple(depth_range_m) if depth_range_m else None)
