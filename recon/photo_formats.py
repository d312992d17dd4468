"""Endings of picture files: which are read, and of those that are not, why and what to do."""

from __future__ import annotations

from pathlib import Path

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif"}) | HEIC_SUFFIXES
"""Endings that are read."""

RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
})  # fmt: skip
"""Camera raw files: a developer's choices of white and contrast are not made here."""

FLOAT_SUFFIXES = frozenset({".exr", ".hdr", ".pfm"})
"""Pictures of linear light, without a stated white."""

OTHER_SUFFIXES = frozenset({
    ".cin", ".dpx", ".gif", ".j2k", ".jp2", ".jxl", ".pbm", ".pgm", ".pnm", ".ppm", ".psb", ".psd", ".tga", ".xcf",
})  # fmt: skip
"""Pictures that no camera or phone hands out."""

UNREAD_SUFFIXES = RAW_SUFFIXES | FLOAT_SUFFIXES | OTHER_SUFFIXES
"""Endings of pictures that are known, and not read."""

FLOAT_REASON = "a floating-point picture, which is not read: export it to 8- or 16-bit sRGB (JPEG, PNG or TIFF)"


def why_not_read(path: Path) -> str:
    """Why a file of UNREAD_SUFFIXES is not read, and what to export it to; empty for another ending."""
    suffix = path.suffix.lower()
    if suffix in RAW_SUFFIXES:
        return "a camera raw file, which is not read: develop it to JPEG or 16-bit TIFF in sRGB"
    if suffix in FLOAT_SUFFIXES:
        return FLOAT_REASON
    return f"{suffix} is not read: export it as JPEG, PNG or TIFF in sRGB" if suffix in OTHER_SUFFIXES else ""


def listed(suffixes: frozenset[str]) -> str:
    """Endings as words for a message: "jpg png tif"."""
    return " ".join(sorted(suffix.removeprefix(".") for suffix in suffixes))
