"""Photos in, an avatar and a rendered sweep out.

Usage: python examples/01_fit_and_sweep.py PHOTOS_OR_VIDEO OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import recon
import render


def main(photos: Path, out: Path, settings: recon.FitSettings | None = None, width: int = 512) -> None:
    """Fit one avatar and render an orbit and a smile."""
    capture = recon.load_capture(photos)  # every picture with a status
    avatar = recon.fit(capture, settings or recon.FitSettings())  # geometry, expressions, texture, cameras
    recon.save_avatar(out / "avatar", avatar)

    orbit = render.orbit(avatar, yaw_deg=[-60, -30, 0, 30, 60], width=width, height=width)
    smile = render.expression_ramp(avatar, weights={"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}, num_frames=3, width=width, height=width)
    for buffers in render.render_sweep(avatar, render.concatenate([orbit, smile])):
        render.save_buffers(out / "render", buffers, aovs=("beauty", "depth16", "normal_cam"))
    print(f"{sum(view.camera is not None for view in avatar.views)} of {len(avatar.views)} pictures used, renders in {out / 'render'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
