"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def recon_data() -> Path:
    """Folder with captures and models from outside; the test is skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("RECON_DATA", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no outside data at {folder} (set RECON_DATA)")
    return folder


@pytest.fixture(scope="session")
def face_render():
    """(RenderBuffers, head): a made-up person from the front, 640x640, rendered by the project itself."""
    from assets import load_head
    from recon.calibrate import CalibrationSettings, random_sitter
    from recon.calibrate_skin import chart_of, paint_skin
    from render import render_buffers

    head = load_head("anny")
    rng = np.random.default_rng(11)
    settings = CalibrationSettings(max_yaw_deg=0, max_pitch_deg=0, max_roll_deg=0, identity_scale=0.3, side_px=640)
    sitter, frame = random_sitter(head, paint_skin(chart_of(head), rng), settings, rng)
    return render_buffers(sitter, frame, (0.2, 2.0)), head


@pytest.fixture(scope="session")
def face_photo(face_render) -> np.ndarray:
    """(640, 640, 3) uint8 RGB picture of one face from the front, on grey."""
    picture = face_render[0].beauty_srgb.copy()
    picture.flags.writeable = False
    return picture
