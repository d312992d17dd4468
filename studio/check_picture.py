"""check.png: a capture on one page, for people: coverage, what to take next, expressions, and what needs attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from assets.counting import how_many
from assets.errors import ReconError
from recon.capture import UNREAD_STATUSES, Capture, View
from recon.check import CaptureCheck, ViewCheck
from recon.coverage_expressions import EXPRESSIONS, SHOWN_ABOVE, strength
from recon.ingest import read_view
from studio.check_canvas import ACCENT, GOOD, INK, PAGE, RULE, SOFT, WARN, Canvas, shortened, wrapped
from studio.check_map import Frame, MapPicture, draw_map, number_ring
from studio.report_pictures import shrink
from studio.report_text import degrees_range

WIDTH, MARGIN = 1800, 56
MAP = Frame(x=MARGIN + 58, y=212, width=1090, height=600)
STRIP_SIDE, ATTENTION_SIDE, ATTENTION_ROW = 148, 62, 76

MAX_ATTENTION = 24
"""More pictures that need attention than this are counted, not shown; the table and check.json name them all."""

THUMBNAIL_PX = 220

MAX_NAMES = 3
"""Of more sources than this the last ones are counted, not named."""

Read = Callable[[View], np.ndarray]


def draw_check(check: CaptureCheck, *, read: Read = read_view) -> np.ndarray:
    """(H, 1800, 3) uint8 sRGB; as high as what needs attention asks for."""
    thumbnails = {item.view.name: face_thumbnail(item, read) for item in check.views}
    attention = [item for item in check.views if item.warnings]
    rows = math.ceil(min(len(attention), MAX_ATTENTION) / 2) if attention else 1
    canvas = Canvas(WIDTH, 1266 + ATTENTION_ROW * rows + (30 if len(attention) > MAX_ATTENTION else 0))
    _header(canvas, check)
    draw_map(canvas, MAP, check.coverage, _map_pictures(check, thumbnails), check.next_photos, check.gaps_deg)
    _next(canvas, check)
    _expressions(canvas, check, thumbnails, 1000)
    _attention(canvas, check, attention, thumbnails, 1262)
    return canvas.picture()


def face_thumbnail(check: ViewCheck, read: Read) -> np.ndarray | None:
    """(S, S, 3) square around the used face, or the picture's middle; None where the picture cannot be read."""
    if check.status in UNREAD_STATUSES:
        return None
    try:
        return square_around(read(check.view), check.face_box_px)
    except (ReconError, OSError, ValueError):
        return None


def square_around(image: np.ndarray, box_px: tuple[float, float, float, float] | None, *, margin: float = 1.45) -> np.ndarray:
    """The square of a picture around a box (x0, y0, x1, y1), or the largest in its middle; at most THUMBNAIL_PX wide."""
    height, width = image.shape[:2]
    side, centre = min(height, width), (width / 2, height / 2)
    if box_px is not None:
        x0, y0, x1, y1 = box_px
        side, centre = min(side, margin * max(x1 - x0, y1 - y0)), ((x0 + x1) / 2, (y0 + y1) / 2)
    side = max(int(side), 1)
    left = int(np.clip(centre[0] - side / 2, 0, width - side))
    top = int(np.clip(centre[1] - side / 2, 0, height - side))
    return np.ascontiguousarray(shrink(image[top : top + side, left : left + side], THUMBNAIL_PX))


def summary_line(check: CaptureCheck) -> str:
    """What is there, in one line."""
    usable = [item for item in check.views if item.is_usable]
    parts = [f"{len(usable)} of {how_many(len(check.views), 'picture')} usable"]
    yaws = [item.yaw_deg for item in usable if math.isfinite(item.yaw_deg)]
    if yaws:
        parts.append(f"yaw {degrees_range(yaws)}")
    seen = {name for item in usable for name in item_expressions(item)}
    parts.append(f"{len(seen)} of {len(EXPRESSIONS)} expressions")
    attention = sum(bool(item.warnings) for item in check.views)
    parts.append("nothing to mend" if not attention else f"{attention} to look at")
    return "  ·  ".join(parts)


def faces_line(check: CaptureCheck) -> str:
    """How many pictures show one face, several, or none that was found, in one line."""
    total, counts = len(check.views), [item.num_faces for item in check.views]
    one, several = counts.count(1), sum(count > 1 for count in counts)
    none = sum(item.num_faces == 0 and item.status == "no_face" for item in check.views)
    if total == 1 and (one or several):
        return "the picture shows one face" if one else "the picture shows several faces: the largest is used"
    parts = [f"{one} of {total} show one face"] if one < total else [f"all {total} show one face"]
    if several:
        parts.append(f"{several} several")
    if none:
        parts.append(f"{none} without a detected face (profiles are registered from their neighbours)")
    if aside := total - one - several - none:
        parts.append(f"{aside} set aside unseen")
    return "; ".join(parts)


def capture_name(capture: Capture) -> str:
    """The capture's folders and files; a folder that is only called "images" is known by the one around it."""
    sources = [source.resolve() for source in (capture.source, *capture.further_sources)]
    names = [source.parent.name if source.name == "images" else source.name for source in sources]
    return ", ".join(names) if len(names) <= MAX_NAMES else f"{', '.join(names[: MAX_NAMES - 1])} and {len(names) - MAX_NAMES + 1} more"


def item_expressions(item: ViewCheck) -> tuple[str, ...]:
    """Names of the expressions that a picture shows."""
    return tuple(group.name for group in EXPRESSIONS if strength(group, item.weights) >= SHOWN_ABOVE)


def _map_pictures(check: CaptureCheck, thumbnails: dict[str, np.ndarray | None]) -> list[MapPicture]:
    return [
        MapPicture(item.view.name, item.yaw_deg, item.pitch_deg, thumbnails[item.view.name], not item.warnings)
        for item in check.views
        if math.isfinite(item.yaw_deg)
    ]


def _header(canvas: Canvas, check: CaptureCheck) -> None:
    canvas.text(MARGIN, 92, shortened(f"Capture check: {capture_name(check.capture)}", 46, WIDTH - 2 * MARGIN), 46, heavy=True)
    canvas.text(MARGIN, 134, summary_line(check), 25, SOFT)
    canvas.text(MAP.x, 196, "Where the pictures see the head from. Amber: where one more would add most.", 22, SOFT)


def _next(canvas: Canvas, check: CaptureCheck) -> None:
    x, y, width = MAP.x + MAP.width + 44, 196.0, WIDTH - MARGIN - MAP.x - MAP.width - 44
    canvas.text(x, y, "Take next", 30, heavy=True)
    y += 22
    for order, photo in enumerate(check.next_photos, 1):
        wish, reason = photo.text.split(". ", 1)
        number_ring(canvas, x + 25, y + 34, str(order), radius=24)
        line = canvas.paragraph(x + 66, y + 32, f"{wish}.", 23, width - 66, INK, heavy=True)
        line = canvas.paragraph(x + 66, line + 3, reason, 20, width - 66, SOFT)
        canvas.text(x + 66, line + 3, f"Expected error {100 * photo.gain:.0f} % less", 20, ACCENT)
        y = line + 26
    if not check.next_photos:
        canvas.paragraph(x, y + 30, "Nothing. Another photo is expected to change little.", 24, width, GOOD)
    elif y < MAP.y + MAP.height - 60:
        canvas.line(x, y + 14, x + width, y + 14, RULE)
        for note in _short_notes(check)[:3]:
            if y + 44 + 26 * len(wrapped(note, 19, width)) < MAP.y + MAP.height + 66:
                y = canvas.paragraph(x, y + 44, note, 19, width, SOFT) - 30


def _short_notes(check: CaptureCheck) -> list[str]:
    return [f"{note[0].upper()}{note[1:]}." if not note.endswith(".") else note for note in dict.fromkeys(check.notes)]


def _expressions(canvas: Canvas, check: CaptureCheck, thumbnails: dict[str, np.ndarray | None], top: float) -> None:
    """At rest and each expression: the picture that shows it best, and how many do."""
    canvas.text(MARGIN, top - 60, "Expressions", 30, heavy=True)
    canvas.text(MARGIN + 190, top - 60, f"by {check.expression_source}, above what all pictures share", 20, SOFT)
    usable = [item for item in check.views if item.is_usable]
    calm = [item for item in usable if not item_expressions(item)]
    cells = [("at rest", calm, min(calm, key=lambda item: sum(item.weights.values()) + abs(item.yaw_deg) / 30, default=None))]
    for group in EXPRESSIONS:
        showing = [item for item in usable if group.name in item_expressions(item)]
        cells.append((group.name, showing, max(showing, key=lambda item: strength(group, item.weights), default=None)))
    step = (WIDTH - 2 * MARGIN + 40) / len(cells)
    for k, (name, showing, best) in enumerate(cells):
        _expression_cell(canvas, MARGIN + k * step, top - 32, name, len(showing), None if best is None else thumbnails[best.view.name])


def _expression_cell(canvas: Canvas, x: float, y: float, name: str, count: int, thumbnail: np.ndarray | None) -> None:
    middle = (x + STRIP_SIDE / 2, y + STRIP_SIDE / 2)
    if thumbnail is not None:
        canvas.thumbnail(thumbnail, *middle, STRIP_SIDE, is_round=False)
    else:
        canvas.card(x, y, STRIP_SIDE, STRIP_SIDE, fill=PAGE)
        canvas.dashed_ring(*middle, 44, RULE)
    canvas.text(x + 2, y + STRIP_SIDE + 30, name, 22, INK if count else SOFT)
    words = "not seen" if count == 0 else how_many(count, "picture")
    canvas.text(x + 2, y + STRIP_SIDE + 56, words, 19, WARN if count == 0 else SOFT)


def _attention(
    canvas: Canvas, check: CaptureCheck, items: Sequence[ViewCheck], thumbnails: dict[str, np.ndarray | None], top: float
) -> None:
    canvas.text(MARGIN, top - 22, "Look at these" if items else "Nothing to mend", 30, heavy=True)
    if not items:
        words = faces_line(check)
        canvas.text(MARGIN, top + 22, f"What shows a face is sharp and well lit. {words[0].upper()}{words[1:]}.", 22, GOOD)
        return
    column = (WIDTH - 2 * MARGIN) / 2
    shown = items[:MAX_ATTENTION]
    half = math.ceil(len(shown) / 2)
    for k, item in enumerate(shown):
        x, y = MARGIN + column * (k // half), top + ATTENTION_ROW * (k % half)
        thumbnail = thumbnails[item.view.name]
        middle = (x + ATTENTION_SIDE / 2, y + ATTENTION_SIDE / 2)
        if thumbnail is None:
            canvas.card(x, y, ATTENTION_SIDE, ATTENTION_SIDE, fill=PAGE)
        else:
            canvas.thumbnail(thumbnail, *middle, ATTENTION_SIDE, is_round=False)
        left, width = x + ATTENTION_SIDE + 16, column - ATTENTION_SIDE - 56
        canvas.text(left, y + 20, shortened(item.view.name, 20, width), 20, heavy=True)
        lines = wrapped("; ".join(item.warnings), 18, width)
        for row, line in enumerate(lines[:2]):
            more = " ..." if row == 1 and len(lines) > 2 else ""
            canvas.text(left, y + 42 + 22 * row, line + more, 18, WARN if item.is_usable else SOFT)
    if len(items) > len(shown):
        canvas.text(MARGIN, top + ATTENTION_ROW * half + 18, f"and {len(items) - len(shown)} more: see check.json", 20, SOFT)
