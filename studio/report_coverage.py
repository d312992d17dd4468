"""The report's coverage: the map of all registered pictures, and which photo to take next, from the poses that the fit found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from assets.head_model import REGIONS
from recon.avatar import Avatar, FittedView
from recon.capture import Capture
from recon.coverage import FULL_FACE_PX, SeenFrom, cover, cover_surface
from recon.coverage_next import NextPhoto, next_photos, yaw_gaps
from studio.check_canvas import Canvas
from studio.check_map import Frame, MapPicture, draw_map
from studio.check_picture import square_around
from studio.report_pictures import MAX_SHOWN_VIEWS, Picture, embed, read_photo_or_none

MAP_FRAME = Frame(x=72, y=14, width=1110, height=600)


@dataclasses.dataclass(frozen=True)
class CoverageSection:
    """What the page shows of coverage."""

    picture: Picture | None
    """The map; None where no picture was registered."""
    next_photos: Sequence[NextPhoto]


def coverage_section(avatar: Avatar, capture: Capture) -> CoverageSection:
    """Map and advice from the registered views: their fitted poses, expressions and sizes of face."""
    registered = [view for view in avatar.views if view.camera is not None and math.isfinite(view.yaw_deg)]
    if not registered:
        return CoverageSection(None, ())
    boxes = {view.name: face_box_px(avatar, view) for view in registered}
    seen = [SeenFrom(view.name, view.yaw_deg, view.pitch_deg, _worth(boxes[view.name]), dict(view.weights)) for view in registered]
    coverage = cover(cover_surface(avatar.head), seen)
    photos = next_photos(coverage)
    canvas = Canvas(round(MAP_FRAME.x + MAP_FRAME.width + 14), round(MAP_FRAME.y + MAP_FRAME.height + 78))
    draw_map(canvas, MAP_FRAME, coverage, _map_pictures(capture, registered, boxes), photos, yaw_gaps(seen))
    return CoverageSection(embed(canvas.picture(), "where the pictures see the head from, and where one more would add most"), photos)


def face_box_px(avatar: Avatar, view: FittedView) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of the fitted face in the pixels of a registered view; all nan where it lies behind the camera."""
    camera, nan = view.camera, math.nan
    if camera is None:
        return nan, nan, nan, nan
    face = avatar.head.vertex_regions == REGIONS.index("face")
    pixels, depth = camera.project(avatar.pose_view(view).vertices[face].astype(np.float64))
    if not (depth > 0).all():
        return nan, nan, nan, nan
    (x0, y0), (x1, y1) = pixels.min(0), pixels.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def _worth(box_px: tuple[float, float, float, float]) -> float:
    x0, y0, x1, y1 = box_px
    side = max(x1 - x0, y1 - y0)
    return min(1.0, side / FULL_FACE_PX) if math.isfinite(side) else 0.0


def _map_pictures(
    capture: Capture, registered: Sequence[FittedView], boxes: dict[str, tuple[float, float, float, float]]
) -> list[MapPicture]:
    taken = {view.name: view for view in capture.views}
    out = []
    for index, view in enumerate(registered):
        image = read_photo_or_none(taken.get(view.name)) if index < MAX_SHOWN_VIEWS else None
        box = boxes[view.name] if all(map(math.isfinite, boxes[view.name])) else None
        thumbnail = None if image is None else square_around(image, box, margin=1.2)
        out.append(MapPicture(view.name, view.yaw_deg, view.pitch_deg, thumbnail, view.status == "ok"))
    return out
