"""One photo file: what it is (told from its header where possible), and its pixels."""

from __future__ import annotations

import dataclasses
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from recon.capture import CaptureSettings, View, ViewStatus
from recon.exif import focal_from_exif
from recon.photo_colour import to_srgb
from recon.photo_formats import FLOAT_REASON, HEIC_SUFFIXES, why_not_read

GREY_REASON = "a grey picture: it gives shape, but no colour"

_EXIF_IFD = 0x8769
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"II*\x00", b"MM\x00*", b"BM", b"RIFF")
_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BITS, _COMPRESSION, _PLANES, _SAMPLE_FORMAT = 258, 259, 284, 339
_LOG_LUV = (34676, 34677)
_EXPORT = "export it to 8- or 16-bit sRGB (JPEG, PNG or TIFF)"

_READ_MODES = frozenset({
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L", "I;16N",
})  # fmt: skip
"""Pillow's kinds of pixels that have a meaning in 8-bit sRGB."""

# Pillow's limit against bombs is one number for the whole process.
_pillow_limit = threading.Lock()


@dataclasses.dataclass(frozen=True)
class _Unusable(Exception):
    """Carries a status out of the probe; never leaves this module."""

    status: ViewStatus
    reason: str
    size: tuple[int, int] = (0, 0)
    """(width, height) that the header states, where that was read."""


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
        width, height = problem.size
        return dataclasses.replace(view, status=problem.status, reason=problem.reason, width=width, height=height)


def read_photo(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB with EXIF orientation applied; the embedded colour profile is converted to sRGB.

    Needs 7 bytes a pixel while it decodes and holds no second copy: a picture of 81 Mpx takes 0.6 GB, then 0.24 GB.
    """
    if path.suffix.lower() in HEIC_SUFFIXES:
        why_not_heic()
    with _opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return to_srgb(image)


def _opened(path: Path) -> Image.Image:
    """Reads the header. Pillow's own limit is lifted meanwhile, since `CaptureSettings.max_megapixels` is the one that rules."""
    with _pillow_limit:
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = kept


def _probe(view: View, settings: CaptureSettings) -> View:
    if reason := why_not_read(view.path) or (why_not_heic() if view.path.suffix.lower() in HEIC_SUFFIXES else ""):
        raise _Unusable("unreadable", reason)
    with _open(view.path) as image:
        _check_size(image.size, settings)
        _check_kind(image)
        orientation, tags = _exif(image)
        # Orientations 5 to 8 turn the picture by a quarter.
        width, height = image.size[::-1] if orientation in (5, 6, 7, 8) else image.size
        focal = focal_from_exif(tags, width, height)
        grey = is_grey(_decode_small(image))
    reason = "; ".join(filter(None, [GREY_REASON if grey else "", focal.note]))
    turns = {3: 2, 6: 1, 8: 3}.get(orientation, 0)
    return dataclasses.replace(view, width=width, height=height, quarter_turns=turns, focal_px=focal.focal_px, is_grey=grey, reason=reason)


def _open(path: Path) -> Image.Image:
    """Opens the header only; a file that no decoder knows or a locked file becomes a status."""
    try:
        return _opened(path)
    except UnidentifiedImageError as error:
        start = _first_bytes(path)
        if reason := _why_not_tiff(path, start):
            raise _Unusable("unreadable", reason) from error
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


def _why_not_tiff(path: Path, start: bytes) -> str:
    """Which kind of TIFF a whole header describes that Pillow does not know; empty where there is none to describe."""
    if not start.startswith(_TIFF_MAGIC):
        return ""
    try:
        with path.open("rb") as file:
            tags = ImageFileDirectory_v2(file.read(16 if start[2:4].strip(b"\0") == b"+" else 8))
            file.seek(tags.next)
            tags.load(file)
        bits = tags.get(_BITS, ())
        if 3 in tags.get(_SAMPLE_FORMAT, ()) or tags.get(_COMPRESSION) in _LOG_LUV:
            return FLOAT_REASON
        kind = f"{len(bits)} x {max(bits)} bits and compression {tags.get(_COMPRESSION, 1)}" if bits else ""
    except (OSError, ValueError, SyntaxError, TypeError, EOFError, struct.error):
        return ""
    return f"a TIFF of {kind}, which is not read: {_EXPORT}" if kind else ""


def _check_size(size: tuple[int, int], settings: CaptureSettings) -> None:
    width, height = size
    megapixels = width * height / 1e6
    if megapixels > settings.max_megapixels:
        limit = f"the limit is {settings.max_megapixels:g} Mpx (--capture.max-megapixels)"
        raise _Unusable("too_large", f"{width}x{height} is {megapixels:.4g} Mpx, {limit}", size)
    if min(width, height) < settings.min_side_px:
        raise _Unusable("too_small", f"{width}x{height}: the shorter side must have {settings.min_side_px} px")


def _check_kind(image: Image.Image) -> None:
    """Refuses pixels that mean no level of 8-bit sRGB, or that Pillow would give wrongly."""
    tags: Mapping[int, tuple[int, ...]] = getattr(image, "tag_v2", {})
    if image.mode == "F":
        raise _Unusable("unreadable", FLOAT_REASON)
    if image.mode not in _READ_MODES:
        kind = {"I": "32-bit or signed whole numbers"}.get(image.mode, f"the pixels are {image.mode}")
        raise _Unusable("unreadable", f"{kind}, which are not read: {_EXPORT}")
    if tags.get(_PLANES, 1) == 2 and max(tags.get(_BITS, (1,))) > 8 and len(tags.get(_BITS, (1,))) > 1:
        raise _Unusable("unreadable", "a 16-bit TIFF with a plane for each colour, which is not read: export it with interleaved colours")


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
        # Pillow shrinks 16-bit pictures by taking single pixels only.
        is_deep = image.mode.startswith("I;16")
        image.thumbnail((256, 256), Image.Resampling.NEAREST if is_deep else Image.Resampling.BICUBIC, None if is_deep else 1.0)
        return to_srgb(image) if is_deep else np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise _Unusable("unreadable", f"damaged or cut off: {error}") from error
    except MemoryError as error:
        raise _Unusable("too_large", f"{image.size[0]}x{image.size[1]} does not fit into memory") from error


def is_grey(rgb: np.ndarray) -> bool:
    """True where hardly a pixel's channels differ in a picture (H, W, 3) uint8; JPEG's colour rounding moves a grey by a few levels."""
    spread = rgb.max(-1).astype(np.int16) - rgb.min(-1)
    return bool(np.percentile(spread, 99) <= 6)
