"""What a photo's EXIF says about its camera: the focal length in pixels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""43.267 mm. CIPA DC-008 (Exif) FocalLengthIn35mmFilm: equivalence by the diagonal of the 36 x 24 mm frame."""

FOCAL_LENGTH, FOCAL_LENGTH_35MM = 0x920A, 0xA405
FOCAL_PLANE_X_RESOLUTION, FOCAL_PLANE_UNIT = 0xA20E, 0xA210
PIXEL_X_DIMENSION, PIXEL_Y_DIMENSION = 0xA002, 0xA003

# Exif tag FocalPlaneResolutionUnit (same values as TIFF's ResolutionUnit, with two common additions).
_UNIT_MM: Mapping[int, float] = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}

MIN_FIELD_OF_VIEW_DEG, MAX_FIELD_OF_VIEW_DEG = 2.0, 140.0
"""Along the long side; a focal length outside is taken for a broken entry."""


@dataclasses.dataclass(frozen=True)
class FocalFromExif:
    focal_px: float | None
    """Pixels of the picture as it is now; None where EXIF says nothing that can be used."""
    note: str = ""
    """Why an entry that is there was not used; empty otherwise."""


def focal_from_exif(tags: Mapping[int, object], width: int, height: int) -> FocalFromExif:
    """Focal length in pixels of a picture of (width, height) from the tags of its Exif sub-directory.

    FocalLengthIn35mmFilm goes first: f_px = f35 / 43.27 mm * diagonal_px (CIPA DC-008). Else FocalLength with
    FocalPlaneXResolution: f_px = f_mm * pixels per mm, scaled if the picture was resized since.
    """
    cropped = _crop_note(tags, width, height)
    for focal_px in (_from_35mm(tags, width, height), _from_focal_plane(tags, width, height)):
        if focal_px is None:
            continue
        if cropped:
            return FocalFromExif(None, cropped)
        field_of_view_deg = 2 * math.degrees(math.atan(max(width, height) / 2 / focal_px))
        if MIN_FIELD_OF_VIEW_DEG <= field_of_view_deg <= MAX_FIELD_OF_VIEW_DEG:
            return FocalFromExif(focal_px)
        return FocalFromExif(
            None, f"EXIF focal length ignored: {focal_px:.0f} px would be a field of view of {field_of_view_deg:.1f} degrees"
        )
    return FocalFromExif(None)


def _number(tags: Mapping[int, object], tag: int) -> float | None:
    """A positive finite number, or None: cameras write 0 or 0/0 for unknown."""
    try:
        value = float(tags[tag])  # pyright: ignore[reportArgumentType]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _from_35mm(tags: Mapping[int, object], width: int, height: int) -> float | None:
    focal_35mm = _number(tags, FOCAL_LENGTH_35MM)
    return None if focal_35mm is None else focal_35mm / FULL_FRAME_DIAGONAL_MM * math.hypot(width, height)


def _from_focal_plane(tags: Mapping[int, object], width: int, height: int) -> float | None:
    focal_mm, resolution = _number(tags, FOCAL_LENGTH), _number(tags, FOCAL_PLANE_X_RESOLUTION)
    unit_mm = _UNIT_MM.get(int(_number(tags, FOCAL_PLANE_UNIT) or 2))
    if focal_mm is None or resolution is None or unit_mm is None:
        return None
    recorded = [_number(tags, tag) for tag in (PIXEL_X_DIMENSION, PIXEL_Y_DIMENSION)]
    # Long sides are compared, because a portrait may have been rotated since the tags were written.
    resized = max(width, height) / max(recorded[0], recorded[1]) if recorded[0] and recorded[1] else 1.0
    return focal_mm * resolution / unit_mm * resized


def _crop_note(tags: Mapping[int, object], width: int, height: int) -> str:
    """Another shape than the camera recorded means that the picture was cropped, and EXIF's focal length no longer fits it."""
    x, y = _number(tags, PIXEL_X_DIMENSION), _number(tags, PIXEL_Y_DIMENSION)
    if x is None or y is None:
        return ""
    recorded, now = max(x, y) / min(x, y), max(width, height) / min(width, height)
    if abs(recorded / now - 1) < 0.02:
        return ""
    return f"EXIF focal length ignored: the camera recorded {x:.0f}x{y:.0f}, the file is {width}x{height}, so it was cropped"
