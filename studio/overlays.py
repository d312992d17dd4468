"""`overlays.html` and the folder `overlays`: the fitted mesh over every photo, at the photo's own resolution."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from assets.atomic import write_bytes
from recon.avatar import Avatar, FittedView
from recon.capture import Capture
from recon.photo_formats import IMAGE_SUFFIXES
from studio.check_picture import capture_name
from studio.contours import CONTOUR_SRGB
from studio.report_pictures import MAX_SHOWN_VIEWS, crop_and_shrink, draw_overlay, face_box, read_photo_or_none
from studio.report_text import number

TEMPLATE = "overlays.html.jinja"

MAX_SIDE_PX = 2000
"""Larger crops are reduced to this: lines are no more exact beyond it, and the files stay handy."""

QUALITY = 90


@dataclasses.dataclass(frozen=True)
class Overlay:
    """One photo with the mesh over it."""

    file: str
    """Path relative to the page."""
    width: int
    height: int
    name: str
    line: str
    """Status, yaw and residual in words."""


def write_overlays(
    folder: Path, avatar: Avatar, capture: Capture, *, progress: Callable[[str, int, int], None] | None = None
) -> Sequence[Overlay]:
    """Write FOLDER/overlays.html and FOLDER/overlays/*.jpg, one for each registered photo; returns what the page shows.

    Pictures of an earlier page that this one does not show are removed.
    """
    overlays = []
    registered = [view for view in avatar.views if view.camera is not None][:MAX_SHOWN_VIEWS]
    for index, view in enumerate(registered):
        found = _write_one(folder, index, avatar, capture, view)
        overlays += [found] if found is not None else []
        if progress is not None:
            progress("overlays at full size", index + 1, len(registered))
    write_bytes(folder / "overlays.html", _page(capture_name(capture), overlays).encode())
    _remove_others(folder / "overlays", {overlay.file for overlay in overlays})
    return overlays


def legend() -> list[tuple[str, str]]:
    """Name and CSS colour of each kind of contour."""
    return [(kind, f"rgb({r}, {g}, {b})") for kind, (r, g, b) in CONTOUR_SRGB.items()]


def _write_one(folder: Path, index: int, avatar: Avatar, capture: Capture, view: FittedView) -> Overlay | None:
    image = read_photo_or_none(next((taken for taken in capture.views if taken.name == view.name), None))
    if image is None or view.camera is None:
        return None
    box = face_box(avatar, view, image.shape[1], image.shape[0], aspect=0.8, margin=1.15)
    photo, camera = crop_and_shrink(image, view.camera, box, MAX_SIDE_PX)
    buffer = io.BytesIO()
    Image.fromarray(draw_overlay(photo, avatar, view, camera)).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    file = overlay_file(index, view.name)
    (folder / "overlays").mkdir(exist_ok=True)
    write_bytes(folder / file, buffer.getvalue())
    return Overlay(file, photo.shape[1], photo.shape[0], view.name, status_line(view))


def overlay_file(index: int, name: str) -> str:
    """Path of a picture relative to the page: its place and its name, without a photo's own suffix."""
    known = PurePosixPath(name)
    bare = str(known.with_suffix("")) if known.suffix.lower() in IMAGE_SUFFIXES else name
    return f"overlays/{index:03d}_{re.sub(r'[^A-Za-z0-9._-]+', '_', bare)}.jpg"


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove pictures that an earlier page left; files of other names are not ours."""
    for path in sorted(folder.glob("[0-9][0-9][0-9]_*.jpg")):
        if f"{folder.name}/{path.name}" not in kept:
            path.unlink()


def status_line(view: FittedView) -> str:
    """Yaw, residual and, where it is not ok, the status of a registered view."""
    parts = [] if view.status == "ok" else [view.status.replace("_", " ")]
    parts.append(f"yaw {number(view.yaw_deg, 0)}°")
    parts.append(f"residual {number(view.residual_px, 1)} px" if view.residual_px == view.residual_px else "no landmarks, posed by matches")
    return " · ".join(parts)


def _page(title: str, overlays: Sequence[Overlay]) -> str:
    # The report imports this module, and is the one door of the template engine.
    from studio.report import render_page

    return render_page(TEMPLATE, title=title, overlays=overlays, legend=legend())
