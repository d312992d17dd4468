"""Sweeps as JSON files, exact to the last bit of every number."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from assets.atomic import write_text
from assets.blendshapes import weights_to_vector
from assets.errors import ArtifactError, ReconError
from render.camera import Camera
from render.sweep import Frame, Gaze, HeadPose, Light, Sweep

SCHEMA = {"schema": "recon.sweep", "version": 1}


def save_sweep(path: Path | str, sweep: Sweep) -> None:
    """Write a sweep as JSON, beside and then renamed, so that a broken file never stands under the name; InputError for a folder."""
    path = Path(path)
    values = SCHEMA | {"depth_range_m": list(sweep.depth_range_m), "frames": [_frame_to_dict(frame) for frame in sweep.frames]}
    write_text(path, json.dumps(values, indent=1) + "\n")


def load_sweep(path: Path | str) -> Sweep:
    """The inverse of save_sweep; raises ArtifactError where the file is absent, broken, or of another schema or version."""
    path = Path(path)
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(expected="a sweep file written by save_sweep", got=f"{path}: {error}", do="make the sweep again") from error
    head = {key: values.get(key) for key in SCHEMA} if isinstance(values, dict) else type(values).__name__
    if head != SCHEMA:
        raise ArtifactError(expected=f"a sweep file with {SCHEMA}", got=f"{path}: {head}", do="make the sweep again with this version")
    try:
        near, far = (float(limit) for limit in values["depth_range_m"])
        return Sweep(tuple(_frame_from_dict(frame) for frame in values["frames"]), (near, far))
    except (KeyError, TypeError, ValueError, ReconError) as error:
        raise ArtifactError(expected="a complete sweep file", got=f"{path}: {error!r}", do="make the sweep again") from error


def _frame_to_dict(frame: Frame) -> dict[str, Any]:
    return {
        "name": frame.name,
        "camera": frame.camera.to_dict(),
        "head_pose": dataclasses.asdict(frame.head_pose),
        "weights": {name: float(weight) for name, weight in frame.weights.items()},
        "gaze": dataclasses.asdict(frame.gaze),
        "light": None if frame.light is None else frame.light.sh_linear.tolist(),
    }


def _frame_from_dict(values: dict[str, Any]) -> Frame:
    weights_to_vector(values["weights"])
    light = values["light"]
    return Frame(
        name=str(values["name"]),
        camera=Camera.from_dict(values["camera"]),
        head_pose=HeadPose(**values["head_pose"]),
        weights=dict(values["weights"]),
        gaze=Gaze(**values["gaze"]),
        light=None if light is None else Light(np.array(light, np.float32).reshape(9, 3)),
    )
