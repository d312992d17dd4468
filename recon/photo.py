"""One photo file: what it is (told from its header where possible), and its pixels."""

from __future__ import annotations

import dataclasses
import io
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from recon.capture import CaptureSettings, View, ViewStatus
from recon.exif import focal_from_exif

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif"}) | HEIC_SUFFIXES
RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"})
"""Camera raw files: listed in the notes, with the advice to develop them."""

GREY_REASON = "a grey picture: it gives shape, but no colour"

_EXIF_IFD = 0x8769
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"II*\x00", b"MM\x00*", b"BM", b"RIFF")


@dataclasses.dataclass(frozen=True)
class _Unusable(Exception):
    """Carries a status out of the probe; never leaves this module."""

    status: ViewStatus
    reason: str


def why_not_heic() -> str:
    """Empty where HEIC can be read, else what to install."""
    try:
        import pillow_heif
    except ImportError:
        return "HEIC needs the package pillow-heif: pip install 'recon-avatar[heic]'"
    pillow_heif.register_heif_opener()
    return ""


def probe_photo(path: Path, settings: CaptureSettings) -> View:
    """The View of one file, `ok` or with the status that says why not. Decodes it once, small, to find damage."""
    view = View(name=path.name, path=path)
    try:
        return _probe(view, settings)
    except _Unusable as problem:
        return dataclasses.replace(view, status=problem.status, reason=problem.reason)


def read_photo(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB with EXIF orientation applied; the embedded colour profile is converted to sRGB."""
    if path.suffix.lower() in HEIC_SUFFIXES:
        why_not_heic()
    with warnings.catch_warnings(), Image.open(path) as image:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return np.ascontiguousarray(_to_srgb(ImageOps.exif_transpose(image)))


def _probe(view: View, settings: CaptureSettings) -> View:
    if view.path.suffix.lower() in HEIC_SUFFIXES and (reason := why_not_heic()):
        raise _Unusable("unreadable", reason)
    with warnings.catch_warnings(), _open(view.path) as image:
        # Pictures between Pillow's own limit and ours only warn.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        _check_size(image.size, settings)
        orientation, tags = _exif(image)
        # Orientations 5 to 8 turn the picture by a quarter.
        width, height = image.size[::-1] if orientation in (5, 6, 7, 8) else image.size
        focal = focal_from_exif(tags, width, height)
        grey = is_grey(_decode_small(image))
    reason = "; ".join(filter(None, [GREY_REASON if grey else "", focal.note]))
    turns = {3: 2, 6: 1, 8: 3}.get(orientation, 0)
    return dataclasses.replace(view, width=width, height=height, quarter_turns=turns, focal_px=focal.focal_px, is_grey=grey, reason=reason)


def _open(path: Path) -> Image.Image:
    """Opens the header only; a file that no decoder knows, a bomb or a locked file becomes a status."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except Image.DecompressionBombError as error:
        raise _Unusable("too_large", f"refused from its header: {error}") from error
    except UnidentifiedImageError as error:
        start = _first_bytes(path)
        if start.startswith(_MAGIC):
            raise _Unusable("unreadable", "starts like a picture, but its header is damaged") from error
        said = (
            f"it starts with {start.decode()!r}"
            if start.isascii() and start.decode().isprintable()
            else "its content is no picture format's"
        )
        what = said if start else "it is empty"
        raise _Unusable("not_an_image", f"the name says {path.suffix.lower()}, but {what}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _Unusable("unreadable", f"cannot be opened: {error}") from error


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError:
        return b""


def _check_size(size: tuple[int, int], settings: CaptureSettings) -> None:
    width, height = size
    megapixels = width * height / 1e6
    if megapixels > settings.max_megapixels:
        raise _Unusable("too_large", f"{width}x{height} is {megapixels:.4g} Mpx, the limit is {settings.max_megapixels:g} Mpx")
    if min(width, height) < settings.min_side_px:
        raise _Unusable("too_small", f"{width}x{height}: the shorter side must have {settings.min_side_px} px")


def _exif(image: Image.Image) -> tuple[int, Mapping[int, object]]:
    """Orientation and the tags of the Exif sub-directory. Reading them may decode a PNG, so the size is checked before."""
    try:
        exif = image.getexif()
        return int(exif.get(0x0112, 1)), exif.get_ifd(_EXIF_IFD)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise _Unusable("unreadable", f"damaged or cut off: {error}") from error


def _decode_small(image: Image.Image) -> np.ndarray:
    """A small copy made from the whole file: `draft` lets JPEG skip the fine frequencies, but damage still shows."""
    try:
        image.draft("RGB", (256, 256))
        image.thumbnail((256, 256), reducing_gap=1.0)
        return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise _Unusable("unreadable", f"damaged or cut off: {error}") from error


def is_grey(rgb: np.ndarray) -> bool:
    """True where hardly a pixel's channels differ in a picture (H, W, 3) uint8; JPEG's colour rounding moves a grey by a few levels."""
    spread = rgb.max(-1).astype(np.int16) - rgb.min(-1)
    return bool(np.percentile(spread, 99) <= 6)


def _to_srgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        return _high_depth_to_uint8(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        # Viewers show transparent pictures on white; dropping alpha would show whatever colour lies hidden under it.
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            image = converted or image
        except ImageCms.PyCMSError:
            pass  # A broken profile says nothing about the colours: they are taken as sRGB, like a file without one.
    return np.asarray(image.convert("RGB"))


def _high_depth_to_uint8(image: Image.Image) -> np.ndarray:
    """16-bit grey scaled to 8 bits; Pillow would clip it."""
    values = np.asarray(image).astype(np.float64)
    full = 65535.0 if image.mode.startswith("I") else max(float(np.nanmax(values)), 1.0)
    grey = np.clip(np.nan_to_num(values) / full * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
