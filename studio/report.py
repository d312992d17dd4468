"""`report.html`: one self-contained page with pictures, residuals, coverage, figures, settings and licences."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assets.atomic import write_bytes
from assets.errors import ArtifactError
from recon.avatar import Avatar, FittedView
from recon.capture import USABLE_STATUSES, Capture
from render.sweep import Frame, Sweep
from studio import report_text
from studio.artifacts import plain, read_json, read_stamp
from studio.capture_file import read_capture
from studio.charts import expression_charts, line_chart
from studio.check_picture import capture_name
from studio.doctor import own_version, package_versions
from studio.heat import draw_heat_map
from studio.overlays import legend, write_overlays
from studio.pictures import save_picture
from studio.report_coverage import coverage_section
from studio.report_pictures import MAX_SHOWN_VIEWS, Picture, embed, read_small, strip, texture_pictures, view_pictures
from studio.settings import RunSettings
from studio.skin_map import draw_skin_map, skin_words

TEMPLATE = "report.html.jinja"
THUMBNAIL_PX = 224
HERO_PX = 512


@dataclasses.dataclass(frozen=True)
class Line:
    """A named piece of text."""

    name: str
    value: str


@dataclasses.dataclass(frozen=True)
class ViewRow:
    """One picture of the capture as the page shows it."""

    name: str
    status: str
    reason: str
    residual: str
    yaw: str
    pitch: str
    roll: str
    pictures: Sequence[Picture]

    @property
    def line(self) -> str:
        if self.yaw == "–":
            return self.reason or self.status
        residual = "no landmarks, posed by its neighbours" if self.residual == "–" else f"residual {self.residual} px"
        return f"yaw {self.yaw}°, {residual}" + (f" · {self.status}" if self.status != "ok" else "")


@dataclasses.dataclass(frozen=True)
class SheetFrame:
    """One column of a contact sheet."""

    caption: str
    pictures: Sequence[Picture]


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One part of the sweep."""

    name: str
    frames: Sequence[SheetFrame]


def _check_same_pictures(out: Path, capture: Capture, avatar: Avatar) -> None:
    fitted, found = {view.name for view in avatar.views}, {view.name for view in capture.views}
    if fitted != found:
        only = sorted(fitted ^ found)[0]
        raise ArtifactError(
            expected=f"an avatar fitted to the pictures of {out / 'capture.json'}",
            got=f"{out / 'avatar'}, fitted to {'others' if fitted.isdisjoint(found) else 'not quite the same'}: {only} is in one alone",
            do="run `recon fit` again with this folder as --out; the last one there did not end",
        )


def write_report(
    out: Path, path: Path, settings: RunSettings, *, with_frames: bool = True, progress: Callable[[str, int, int], None] | None = None
) -> Path:
    """Read the artefacts of an output folder and write the page to `path`; whatever stage has not run is left out of it.

    Beside it go its first row of pictures as strip.jpg, the maps uncertainty.png and skin.png, and overlays.html with the folder
    overlays: the fitted mesh over every photo at full size.

    Raises ArtifactError where capture.json, the avatar or the sweep are absent or broken, or capture.json is of other pictures than the
    avatar, as after a fit that failed in the folder of an earlier one.
    """
    import recon
    import render

    capture, avatar = read_capture(out / "capture.json"), recon.load_avatar(out / "avatar")
    _check_same_pictures(out, capture, avatar)
    sweep = render.load_sweep(out / "sweep.json") if (out / "sweep.json").is_file() else None
    evaluation = read_json(out / "evaluation.json") if (out / "evaluation.json").is_file() else {}
    frames_record = read_json(out / "frames" / "frames.json") if with_frames and (out / "frames" / "frames.json").is_file() else {}
    views = view_rows(avatar, capture, progress)
    sheets = sweep_sheets(out, avatar, sweep, settings, with_frames=bool(frames_record)) if sweep else []
    charts, unseen = expression_charts([view.weights for view in avatar.views])
    hero = hero_pictures(out, avatar, capture, sweep, with_frames=bool(frames_record))
    covered = coverage_section(avatar, capture)
    heat = None if avatar.uncertainty is None else draw_heat_map(avatar, avatar.uncertainty)
    skin = None if avatar.skin_labels is None else draw_skin_map(avatar, avatar.skin_labels)
    overlays = write_overlays(path.parent, avatar, capture, progress=progress)
    page = render_page(
        TEMPLATE,
        title=capture_name(capture),
        lead=report_text.lead(capture, avatar),
        facts=[Line(*fact) for fact in report_text.facts(avatar, evaluation)],
        notes=list(dict.fromkeys((*capture.notes, *avatar.notes))),
        hero=hero,
        statements=[Line(*item) for item in report_text.statements(out, capture, avatar, settings, frames_record)],
        views=views,
        hidden_views=sum(bool(row.status == "ok" and not row.pictures) for row in views),
        legend=legend(),
        num_overlays=len(overlays),
        coverage=covered,
        heat=None if heat is None else embed(heat, "how far the surface may be off, from three sides", lossless=True),
        heat_text=report_text.uncertainty(avatar),
        skin=None
        if skin is None
        else embed(skin, "what the fit took for skin, and what it did not believe, from three sides", lossless=True),
        skin_text=skin_words(avatar),
        expression_charts=charts,
        coverage_text=report_text.coverage(avatar, unseen),
        sheets=sheets,
        sweep_text=report_text.sweep_rows([kind for kind, path in _kinds(out, with_frames=bool(frames_record)) if path.is_dir()]),
        figures=[report_text.figure_row(figure) for figure in evaluation.get("figures", ())],
        figure_charts=_figure_charts(evaluation),
        figure_notes=evaluation.get("notes", ()),
        texture=texture_pictures(avatar),
        stages=[stamp for name in report_text.STAGE_NAMES if (stamp := read_stamp(out, name))],
        licences=[Line(*item) for item in report_text.licences(avatar, frames_record)],
        settings_json=json.dumps(plain(settings), indent=1),
        versions_text="\n".join(f"{name} {version}" for name, version in package_versions().items()),
        version=own_version(),
    )
    if hero:
        write_bytes(path.with_name("strip.jpg"), strip(hero))
    if heat is not None:
        save_picture(path.with_name("uncertainty.png"), heat)
    if skin is not None:
        save_picture(path.with_name("skin.png"), skin)
    return write_bytes(path, page.encode())


def render_page(template: str, **context: Any) -> str:
    """A template of this folder with its values in place; text is escaped, a value that is missing is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(**context)


def view_rows(avatar: Avatar, capture: Capture, progress: Callable[[str, int, int], None] | None) -> list[ViewRow]:
    """One row a picture, in the capture's order; pictures that never reached the solve keep the status from ingest."""
    fitted = {view.name: view for view in avatar.views}
    rows: list[ViewRow] = []
    # Twice the size on the page, for fine displays; larger captures are shown smaller, which bounds the page.
    longest_px = 720 if len(fitted) <= 20 else 540
    for index, taken in enumerate(capture.views):
        view = fitted.get(taken.name) or FittedView(taken.name, taken.status, taken.reason, None, None, {}, np.nan, np.nan, np.nan, np.nan)
        shown = view_pictures(avatar, capture, view, longest_px=longest_px) if sum(bool(r.pictures) for r in rows) < MAX_SHOWN_VIEWS else []
        rows.append(_view_row(view, shown))
        if progress:
            progress("overlays", index + 1, len(capture.views))
    return rows


def _view_row(view: FittedView, pictures: Sequence[Picture]) -> ViewRow:
    angles = (report_text.number(angle, 0) for angle in (view.yaw_deg, view.pitch_deg, view.roll_deg))
    return ViewRow(view.name, view.status, view.reason, report_text.number(view.residual_px, 1), *angles, pictures=pictures)


def hero_pictures(out: Path, avatar: Avatar, capture: Capture, sweep: Sweep | None, *, with_frames: bool) -> list[Picture]:
    """One picture of each kind: the photo nearest to the front, the mesh over it, and a frame of the sweep through the stages."""
    usable = [view for view in avatar.views if view.camera is not None and view.status in USABLE_STATUSES]
    pictures: list[Picture] = []
    if usable:
        front = min(usable, key=lambda view: abs(view.yaw_deg) if np.isfinite(view.yaw_deg) else 180)
        shown = view_pictures(avatar, capture, front, longest_px=HERO_PX, aspect=1.0)
        pictures += [
            dataclasses.replace(item, caption=caption)
            for item, caption in zip(shown, ("photo", "fitted mesh over the photo"), strict=False)
        ]
    if sweep:
        name = min(sweep.frames, key=lambda frame: abs(report_text.seen_pose(avatar, frame).yaw_deg - 20) + 90 * bool(frame.weights)).name
        pictures += [
            picture
            for kind, path in _kinds(out, with_frames=with_frames)
            if (picture := read_small(path / f"{name}.png", f"{kind}, frame {name}", kind, longest_px=HERO_PX))
        ]
    return pictures


def _kinds(out: Path, *, with_frames: bool) -> list[tuple[str, Path]]:
    """Caption and folder of each kind of picture of a frame, in the order of the stages."""
    controls = sorted(path for path in (out / "control").glob("*") if path.is_dir() and path.name != "init")
    kinds = [("render", out / "render" / "beauty"), *((f"control: {path.name}", path) for path in controls)]
    return [*kinds, ("generated", out / "frames")] if with_frames else kinds


def sweep_sheets(out: Path, avatar: Avatar, sweep: Sweep, settings: RunSettings, *, with_frames: bool) -> list[Sheet]:
    """The sweep cut into its parts; each column one frame, each row one kind of picture."""
    sheets = []
    for name, frames in report_text.sweep_parts(sweep, settings.sweep):
        columns = [_sheet_frame(out, avatar, frame, with_frames=with_frames) for frame in frames]
        sheets.append(Sheet(name, [column for column in columns if column.pictures]))
    return [sheet for sheet in sheets if sheet.frames]


def _sheet_frame(out: Path, avatar: Avatar, frame: Frame, *, with_frames: bool) -> SheetFrame:
    found = [
        read_small(path / f"{frame.name}.png", f"{kind}, frame {frame.name}", longest_px=THUMBNAIL_PX)
        for kind, path in _kinds(out, with_frames=with_frames)
    ]
    return SheetFrame(report_text.frame_caption(avatar, frame), [picture for picture in found if picture])


def _figure_charts(evaluation: Mapping[str, Any]) -> list[Line]:
    charts = []
    for curve in evaluation.get("curves", ()):
        series = [(item["name"], [(x, y) for x, y in item["points"] if x is not None and y is not None]) for item in curve["series"]]
        drawn = line_chart(series, x_label=curve["x_label"], y_label=curve["y_label"])
        charts += [Line(curve["name"], drawn)] if drawn else []
    return charts
