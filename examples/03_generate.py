"""Diffusion frames of a saved avatar with any Stable Diffusion model and its ControlNets.

Usage: python examples/03_generate.py AVATAR OUT MODEL DEPTH_CONTROLNET FACE_CONTROLNET
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import recon
import render
from conditioning import GenerateSettings, encode, generate


def main(avatar_dir: Path, out: Path, model: str, depth_net: str, face_net: str, width: int = 512, steps: int = 20) -> None:
    """Three views of one person, each conditioned on exact depth and landmarks."""
    avatar = recon.load_avatar(avatar_dir)
    sweep = render.orbit(avatar, yaw_deg=[-40, 0, 40], width=width, height=width)
    bundles = (encode(buffers) for buffers in render.render_sweep(avatar, sweep))  # one frame in memory at a time
    settings = GenerateSettings(model=model, controlnets=(depth_net, face_net), num_inference_steps=steps)
    out.mkdir(parents=True, exist_ok=True)
    for frame in generate(bundles, settings):
        Image.fromarray(frame.rgb).save(out / f"{frame.name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5])
