"""`recon bench smile`: the one-image smile test as a table, a contact sheet and a JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.errors import DegenerateGeometryError
from studio.artifacts import open_out_folder, write_json
from studio.check_canvas import CARD, INK, SOFT, Canvas
from studio.console import Reporter
from studio.geometry_truth import face_of_truth, load_mesh
from studio.pictures import save_picture
from studio.run_lock import writing_into

if TYPE_CHECKING:
    from assets.landmarks import LandmarkEmbedding
    from recon.avatar import Avatar, FittedView
    from recon.capture import Capture, CaptureSettings
    from recon.fitting import FitSettings
    from recon.smile_test import Answer, SmileTest, Truth
    from render.camera import Camera
    from render.mesh import Mesh
    from render.sweep import Frame, Light

TILE_PX = (330, 420)
"""Width and height of one picture of the sheet."""
PAD = 20
NEAR_FAR_M = (0.05, 20.0)
"""Depth range of the buffers, which the sheet does not use."""


def run_smile_bench(
    sources: Sequence[Path],
    out: Path,
    reporter: Reporter,
    *,
    expression: str,
    cameras: Path | None,
    capture_settings: CaptureSettings,
    fit_settings: FitSettings,
) -> SmileTest:
    """Fit the capture three times, print the table, write OUT/smile.png and OUT/smile.json."""
    import recon
    from recon.smile_test import smile_test

    capture = recon.load_capture(tuple(sources), cameras=cameras, settings=capture_settings)
    folders = [source if source.is_dir() else source.parent for source in sources]
    out = open_out_folder(out)
    with writing_into(out), reporter.stage("smile test"):
        test = smile_test(
            capture, fit_settings, expression=expression, truth_of=lambda names: truth_beside(folders, names), progress=reporter.progress
        )
        sheet = draw_sheet(test, capture)
        save_picture(out / "smile.png", sheet.picture)
        write_json(out / "smile.json", record_of(test, sheet))
    _print(test, sheet, reporter)
    reporter.say(f"pictures: {(out / 'smile.png').resolve()}")
    return test


def truth_beside(folders: Sequence[Path], names: tuple[str, ...]) -> Truth | None:
    """The true head with the expression of the named pictures, where gt/frames.json in or above a folder says which mesh that is."""
    for folder in (place for each in folders for place in (each, each.parent)):
        listed = folder / "gt" / "frames.json"
        if not listed.is_file():
            continue
        frames = {Path(str(f.get("file", ""))).name: f.get("expression") for f in _frames_of(listed)}
        found = {frames.get(Path(name).name) for name in names}
        mesh = folder / "gt" / f"{next(iter(found))}.ply"
        if len(found) == 1 and mesh.is_file():
            vertices, triangles = load_mesh(mesh)
            return vertices, triangles, face_of_truth(mesh.parent, vertices)[0]
    return None


def _frames_of(file: Path) -> list[dict[str, Any]]:
    """The entries of a gt/frames.json; none of a file that is something else, which is then no truth."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    frames = record.get("frames") if isinstance(record, dict) else None
    return [frame for frame in frames if isinstance(frame, dict)] if isinstance(frames, list) else []


@dataclasses.dataclass(frozen=True, eq=False)
class SmileSheet:
    """The contact sheet, and what was measured on its pictures."""

    picture: np.ndarray
    """(H, W, 3) uint8 sRGB."""
    levels_off: tuple[float, ...]
    """Mean absolute difference from the photo within the face, sRGB levels 0..255, after a gain for each colour; by answer."""


def draw_sheet(test: SmileTest, capture: Capture) -> SmileSheet:
    """The photo and the answers beside each other, each above its map of errors."""
    import recon

    width, height = TILE_PX
    canvas = Canvas(PAD + (1 + len(test.answers)) * (width + PAD), 2 * (height + PAD) + 126)
    canvas.card(8, 8, canvas.width - 16, canvas.height - 16, fill=CARD)
    view = next(each for each in capture.views if each.name == test.view.name)
    photo, camera = _cropped(recon.read_view(view), test.answers[-1].avatar, test.view)
    canvas.paste(photo, PAD, 64)
    canvas.text(PAD, 44, "the photo", 20, INK, heavy=True)
    canvas.paragraph(PAD, 110 + height, f"asked: {test.asked.name}", 19, width, INK, heavy=True)
    strongest = sorted(test.view.weights.items(), key=lambda item: -item[1])[:9]
    for row, (name, weight) in enumerate(strongest):
        canvas.text(PAD, 140 + height + 24 * row, f"{name} {weight:.2f}", 16, SOFT)
    off = []
    for k, each in enumerate(test.answers, 1):
        x = PAD + k * (width + PAD)
        picture, mask = _rendered(each, test, camera)
        off.append(levels_off(photo, picture, mask))
        canvas.text(x, 44, f"{each.knows} ({each.num_photos})", 20, INK, heavy=True)
        canvas.paste(picture, x, 64)
        canvas.paste(_error_map(each), x, 64 + height + PAD)
        canvas.text(x, 2 * height + PAD + 92, f"{each.error_mm:.2f} mm, 95 % within {each.p95_mm:.1f}", 18, INK)
    against = "the true head" if test.has_truth else "the head as fitted to the photo (no truth beside the capture)"
    canvas.text(PAD, canvas.height - 22, f"colours: distance from {against}; blue 0.1 mm, yellow 1, red 3 and more", 16, SOFT)
    return SmileSheet(canvas.picture(), tuple(off))


def _cropped(photo: np.ndarray, avatar: Avatar, view: FittedView) -> tuple[np.ndarray, Camera]:
    """The face in the photo at the tile's size, and the camera that belongs to it."""
    import cv2

    from studio.report_pictures import face_box

    if view.camera is None:
        raise DegenerateGeometryError(expected="a view with a camera", got=view.name, do="choose another expression")
    width, height = TILE_PX
    x0, y0, w, h = face_box(avatar, view, photo.shape[1], photo.shape[0], aspect=width / height, margin=1.02)
    small = cv2.resize(photo[y0 : y0 + h, x0 : x0 + w], TILE_PX, interpolation=cv2.INTER_AREA)
    return small, view.camera.cropped(x0=x0, y0=y0, width=w, height=h).resized(width=width, height=height)


def _rendered(each: Answer, test: SmileTest, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 the answer where the photo was taken, lit as its own photos were, and (H, W) bool where the face is."""
    from assets.drawn import drawn_triangles
    from assets.head_model import REGIONS
    from recon.avatar import transform_points
    from render import Frame, render_buffers

    head, T_world_head = each.avatar.head, np.asarray(test.view.T_world_head)
    vertices = transform_points(T_world_head, each.vertices.astype(np.float64)).astype(np.float32)
    mesh = dataclasses.replace(each.avatar.mesh(), vertices=vertices, triangles=drawn_triangles(head))
    buffers = render_buffers(_Posed(each.avatar, mesh), Frame("smile", camera), NEAR_FAR_M)
    is_face = (head.vertex_regions == REGIONS.index("face"))[head.triangles].all(1)
    mask = np.zeros(buffers.fragments.face_id.shape, bool)
    hit = buffers.fragments.face_id >= 0
    mask[hit] = is_face[buffers.fragments.face_id[hit]]
    return buffers.beauty_srgb, mask


class _Posed:
    """An avatar whose mesh is settled already."""

    def __init__(self, avatar: Avatar, mesh: Mesh) -> None:
        self._avatar, self._mesh = avatar, mesh

    def pose(self, frame: Frame) -> Mesh:
        return self._mesh

    @property
    def albedo_srgb(self) -> np.ndarray:
        return self._avatar.albedo_srgb

    @property
    def light(self) -> Light:
        return self._avatar.light

    @property
    def landmarks(self) -> LandmarkEmbedding:
        return self._avatar.landmarks

    @property
    def T_world_head(self) -> np.ndarray:
        return np.eye(4)


def levels_off(photo: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference of two pictures (H, W, 3) within a mask, sRGB levels, after the gain of each colour that fits best."""
    a, b = photo[mask].astype(np.float64), picture[mask].astype(np.float64)
    if not len(a):
        return float("nan")
    gain = (a * b).sum(0) / np.maximum((b * b).sum(0), 1e-9)
    return float(np.abs(a - gain * b).mean())


def _error_map(each: Answer) -> np.ndarray:
    """(H, W, 3) uint8: the answer from the front, its skin coloured by how far it is off."""
    from recon.uncertainty import heat_srgb
    from studio.heat import side_picture

    mesh = dataclasses.replace(each.avatar.mesh(), vertices=each.vertices)
    log_off = np.log(np.maximum(each.off_mm, 1e-3))

    def colours(corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        return heat_srgb(np.exp((log_off[corners] * barycentric).sum(1)))

    return side_picture(mesh, colours, 0.0, *TILE_PX)


def record_of(test: SmileTest, sheet: SmileSheet) -> dict[str, object]:
    """What smile.json says."""
    rows = [
        {"knows": a.knows, "photos": a.num_photos, "error_mm": a.error_mm, "p95_mm": a.p95_mm, "levels_off": off}
        for a, off in zip(test.answers, sheet.levels_off, strict=True)
    ]
    return {
        "expression": test.asked.name,
        "picture": test.view.name,
        "weights": dict(test.view.weights),
        "against": "truth" if test.has_truth else "the full capture's own fit to the picture",
        "answers": rows,
    }


def _print(test: SmileTest, sheet: SmileSheet, reporter: Reporter) -> None:
    against = "the true head" if test.has_truth else "the full capture's fit to the photo, as no truth lies beside it"
    rows = [
        [a.knows, str(a.num_photos), f"{a.error_mm:.2f}", f"{a.p95_mm:.2f}", f"{off:.1f}"]
        for a, off in zip(test.answers, sheet.levels_off, strict=True)
    ]
    reporter.table(
        f"{test.asked.name}: distance over the face from {against}",
        ("avatar from", "photos", "median mm", "95 % mm", "levels off the photo"),
        rows,
    )
