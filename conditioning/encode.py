"""From render buffers to control pictures: pure functions of geometry, right at any angle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import assert_never

from assets.errors import RangeError
from conditioning.control_image import CONTROL_KINDS, ControlBundle, ControlImage, ControlKind
from conditioning.depth import DepthEncoding, encode_depth
from conditioning.mediapipe_face import encode_mediapipe_face
from render.buffers import RenderBuffers


@dataclasses.dataclass(frozen=True)
class ControlSettings:
    depth_encoding: DepthEncoding = "disparity"
    """Curve of the depth picture: `disparity` as MiDaS and DPT give it, `linear` as Zoe does."""


def encode(
    buffers: RenderBuffers,
    kinds: Sequence[ControlKind] = ("depth", "mediapipe_face"),
    settings: ControlSettings = ControlSettings(),
) -> ControlBundle:
    """The control pictures of one frame, in the order of `kinds`, with the lit render to start image-to-image from.

    The depth picture uses `buffers.depth_range_m`, locked over the sweep. Raises RangeError for a kind that is unknown or given twice.
    """
    unknown = [kind for kind in kinds if kind not in CONTROL_KINDS]
    if unknown or len(set(kinds)) != len(kinds):
        raise RangeError(
            expected=f"different kinds out of {', '.join(CONTROL_KINDS)}", got=str(list(kinds)), do="name each control kind once"
        )
    images = tuple(_encode_kind(buffers, kind, settings) for kind in kinds)
    return ControlBundle(name=buffers.name, images=images, init_srgb=buffers.beauty_srgb)


def _encode_kind(buffers: RenderBuffers, kind: ControlKind, settings: ControlSettings) -> ControlImage:
    match kind:
        case "depth":
            rgb = encode_depth(buffers.depth, buffers.depth_range_m, settings.depth_encoding)
            return ControlImage(kind, settings.depth_encoding, buffers.name, rgb, buffers.depth_range_m)
        case "mediapipe_face":
            rgb = encode_mediapipe_face(buffers.landmarks_px, buffers.camera.width, buffers.camera.height)
            return ControlImage(kind, "crucibleai", buffers.name, rgb)
        case _:
            assert_never(kind)
