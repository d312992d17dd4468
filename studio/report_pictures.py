"""Pictures of the report, made small and embedded: photos, overlays, renders, control images, frames, textures."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from assets.errors import ReconError
from recon.avatar import Avatar, FittedView
from recon.capture import UNREAD_STATUSES, Capture, View
from render.camera import Camera
from studio.contours import draw_contours, head_contours
from studio.wireframe import draw_wireframe

MESH_OPACITY = 0.32
"""Of the thin mesh under the contours."""

JPEG_QUALITY = 84
MAX_SHOWN_VIEWS = 40
"""Views beyond this number are listed in the table but not shown, which bounds the size of the page."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One embedded picture."""

    uri: str
    """data: URI."""
    width: int
    height: int
    alt: str
    caption: str = ""


def embed(rgb: np.ndarray, alt: str, caption: str = "", *, longest_px: int | None = None, lossless: bool = False) -> Picture:
    """A (H, W, 3) uint8 sRGB picture as a data URI, reduced so that its longer side is at most `longest_px`."""
    small = shrink(rgb, longest_px) if longest_px else rgb
    buffer = io.BytesIO()
    if lossless:
        Image.fromarray(small).save(buffer, "PNG", optimize=True)
    else:
        Image.fromarray(small).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    kind = "png" if lossless else "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(uri, small.shape[1], small.shape[0], alt, caption)


def shrink(rgb: np.ndarray, longest_px: int) -> np.ndarray:
    """The picture with its longer side at most `longest_px`, each new pixel the mean of those under it; never enlarged."""
    height, width = rgb.shape[:2]
    factor = longest_px / max(height, width)
    if factor >= 1:
        return rgb
    return cv2.resize(rgb, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA)


def view_pictures(avatar: Avatar, capture: Capture, view: FittedView, *, longest_px: int, aspect: float = 0.8) -> list[Picture]:
    """The photo and, where the view was registered, the fitted mesh over it; empty where the photo cannot be read."""
    taken = next((item for item in capture.views if item.name == view.name), None)
    image = read_photo_or_none(taken)
    if image is None:
        return []
    if view.camera is None or view.T_world_head is None:
        return [embed(image, f"photo {view.name}", longest_px=longest_px)]
    box = face_box(avatar, view, image.shape[1], image.shape[0], aspect=aspect)
    photo, camera = crop_and_shrink(image, view.camera, box, longest_px)
    overlay = draw_overlay(photo, avatar, view, camera)
    return [embed(photo, f"photo {view.name}"), embed(overlay, f"fitted mesh over {view.name}")]


def draw_overlay(photo: np.ndarray, avatar: Avatar, view: FittedView, camera: Camera) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: the photo with the fitted mesh thin and its contours thick; `camera` has the photo's size."""
    mesh = avatar.pose_view(view)
    width_px = max(1.5, 0.0022 * max(photo.shape[:2]))
    contours = head_contours(mesh, camera, avatar.head, avatar.landmarks)
    return draw_contours(draw_wireframe(photo, mesh, camera, opacity=MESH_OPACITY), contours, width_px=width_px)


def read_photo_or_none(view: View | None) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, None where the file has gone or cannot be decoded: the report goes on without it."""
    import recon

    if view is None or view.status in UNREAD_STATUSES:
        return None
    try:
        return recon.read_view(view)
    except (ReconError, OSError, ValueError):
        return None


def face_box(
    avatar: Avatar, view: FittedView, width: int, height: int, *, aspect: float, margin: float = 1.25
) -> tuple[int, int, int, int]:
    """(x0, y0, width, height) in pixels around the projected head, of one aspect for all views, inside the picture."""
    camera = view.camera
    if camera is None:
        return 0, 0, width, height
    pixels, _ = camera.project(avatar.pose_view(view).vertices.astype(np.float64))
    low, high = np.nanmin(pixels, 0), np.nanmax(pixels, 0)
    centre, size = (low + high) / 2, (high - low) * margin
    box_height = min(max(size[1], size[0] / aspect), height, width / aspect)
    box_width = min(box_height * aspect, width)
    x0 = int(np.clip(centre[0] - box_width / 2, 0, width - box_width))
    y0 = int(np.clip(centre[1] - box_height / 2, 0, height - box_height))
    return x0, y0, int(box_width), int(box_height)


def crop_and_shrink(image: np.ndarray, camera: Camera, box: tuple[int, int, int, int], longest_px: int) -> tuple[np.ndarray, Camera]:
    """The picture cut to a box and reduced, and the camera that belongs to the result."""
    x0, y0, width, height = box
    small = shrink(image[y0 : y0 + height, x0 : x0 + width], longest_px)
    cut = camera.cropped(x0=x0, y0=y0, width=width, height=height)
    return small, cut.resized(width=small.shape[1], height=small.shape[0])


def read_small(path: Path, alt: str, caption: str = "", *, longest_px: int) -> Picture | None:
    """A picture file of an earlier stage, None where it is absent or broken."""
    try:
        with Image.open(path) as picture:
            return embed(np.asarray(picture.convert("RGB")), alt, caption, longest_px=longest_px)
    except (OSError, ValueError):
        return None


def strip(pictures: Sequence[Picture], height_px: int = 320, gap_px: int = 6) -> bytes:
    """A JPEG of the pictures side by side on white, all of one height; small ones are enlarged by whole pixels, without smoothing."""
    tiles: list[np.ndarray] = []
    for picture in pictures:
        rgb = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",", 1)[1]))).convert("RGB"))
        width = max(1, round(rgb.shape[1] * height_px / rgb.shape[0]))
        grows = rgb.shape[0] < height_px
        tiles.append(cv2.resize(rgb, (width, height_px), interpolation=cv2.INTER_NEAREST if grows else cv2.INTER_AREA))
        tiles.append(np.full((height_px, gap_px, 3), 255, np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(tiles[:-1])).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def texture_pictures(avatar: Avatar) -> list[Picture]:
    """The baked texture and how well each part of it was seen."""
    size = f"{avatar.albedo_srgb.shape[1]} x {avatar.albedo_srgb.shape[0]}"
    seen = np.repeat(avatar.confidence[..., None], 3, -1)
    return [
        embed(avatar.albedo_srgb, "baked texture", f"albedo, {size} on disk", longest_px=1024),
        embed(seen, "confidence of the texture", "confidence: black is filled in, white was seen well", longest_px=640),
    ]
