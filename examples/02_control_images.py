"""Control images for a ControlNet, exact at any angle, from a saved avatar.

Usage: python examples/02_control_images.py AVATAR OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import recon
import render
from conditioning import encode, save_control


def main(avatar_dir: Path, out: Path, width: int = 512) -> None:
    """Depth and MediaPipe-face pictures of a head that turns by 80 degrees to both sides."""
    avatar = recon.load_avatar(avatar_dir)
    sweep = render.head_turn(avatar, yaw_deg=[-80, -40, 0, 40, 80], width=width, height=width)
    for buffers in render.render_sweep(avatar, sweep):
        for image in encode(buffers, kinds=("depth", "mediapipe_face")).images:  # (H, W, 3) uint8 RGB
            print(save_control(out, image))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
