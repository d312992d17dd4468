"""The page of overlays: one picture a photo under a plain name, and none left of an earlier page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from recon.capture import Capture
from studio import overlays
from studio.overlays import overlay_file, write_overlays


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos and meshes are none of this page's work: a plain picture stands for them."""
    photo = np.full((40, 32, 3), 90, np.uint8)
    monkeypatch.setattr(overlays, "read_photo_or_none", lambda view: photo)
    monkeypatch.setattr(overlays, "face_box", lambda *_, **__: (0, 0, 32, 40))
    monkeypatch.setattr(overlays, "crop_and_shrink", lambda image, camera, box, side: (image, camera))
    monkeypatch.setattr(overlays, "draw_overlay", lambda image, avatar, view, camera: image)


def page_of(folder: Path, names: list[str]) -> set[str]:
    """Write the page of registered photos with these names; names of the files that then lie in the folder."""
    views = [SimpleNamespace(name=name, camera=object(), status="ok", yaw_deg=3.0, residual_px=1.2) for name in names]
    capture = Capture(folder / "anna", (), "relative", further_sources=(folder / "clip.mp4",))
    written = write_overlays(folder, cast(Any, SimpleNamespace(views=views)), capture)
    page = (folder / "overlays.html").read_text()
    assert "anna, clip.mp4" in page and all(overlay.file in page for overlay in written)
    return {path.name for path in (folder / "overlays").iterdir()}


def test_a_page_with_fewer_pictures_leaves_none_of_the_earlier_one(drawn, tmp_path):
    assert page_of(tmp_path, ["a.jpg", "b.PNG", "c.jpeg"]) == {"000_a.jpg", "001_b.jpg", "002_c.jpg"}
    (tmp_path / "overlays" / "my notes.txt").write_text("keep")
    assert page_of(tmp_path, ["b.PNG"]) == {"000_b.jpg", "my notes.txt"}
    assert page_of(tmp_path, []) == {"my notes.txt"}


def test_the_file_of_an_overlay_has_one_suffix_and_a_plain_name():
    assert overlay_file(0, "neutral_04.jpg") == "overlays/000_neutral_04.jpg"
    assert overlay_file(7, "left side/IMG 3.TIFF") == "overlays/007_left_side_IMG_3.jpg"
    assert overlay_file(12, "clip.mp4#000123") == "overlays/012_clip.mp4_000123.jpg"
