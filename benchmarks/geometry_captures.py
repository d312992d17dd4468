"""The captures with ground truth that benchmarks measure on, and what is true of each of their pictures."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.stand_ins import STAND_INS, stand_in

SAMPLE_DIR = Path(__file__).parents[1] / "assets" / "sample"
DATA_DIR = Path(os.environ.get("RECON_DATA", Path(__file__).parents[2] / "shared"))
SHARED = ("studio-a", "phone-b", "video-c")
CAPTURES = ("sample", *SHARED)


@dataclasses.dataclass(frozen=True)
class Case:
    """One capture with ground truth."""

    name: str
    folder: Path
    """Holds `gt/`."""
    source: Path
    """A folder of photos, or a video."""
    cameras: Path | None
    """The rig's cameras.json; None where the cameras are unknown."""

    @property
    def kind(self) -> str:
        """ "rig", "loose" or "clip"."""
        return "rig" if self.cameras is not None else "clip" if self.source.is_file() else "loose"

    @property
    def key(self) -> str:
        """The name in JSON keys."""
        return self.name.replace("/", "-")


@dataclasses.dataclass(frozen=True, eq=False)
class FrameTruth:
    """What is true of one picture."""

    expression: str
    weights: Mapping[str, float]
    """ARKit weights by name."""
    K: np.ndarray
    """(3, 3) pixels."""
    T_cam_head: np.ndarray
    """(4, 4); the head's place in the world is in it."""
    T_cam_world: np.ndarray
    """(4, 4)."""


def case_of(name: str, work: Path | None = None) -> Case:
    """A capture by name; a stand-in is rendered where it is not there yet, the others' folders may be absent."""
    if name == "sample":
        return Case(name, SAMPLE_DIR, SAMPLE_DIR, None)
    folder = stand_in(name, work) if name in STAND_INS else DATA_DIR / "captures" / name
    video, rig = folder / "video.mp4", folder / "cameras.json"
    return Case(name, folder, video if video.exists() else folder / "images", rig if rig.exists() else None)


def source_of(capture: str) -> Path:
    """Where a capture's pictures lie; the path may not exist."""
    return case_of(capture).source


def frame_truths(case: Case) -> dict[str, FrameTruth]:
    """The truth of each picture by its view's name: the file's name, or `video.mp4#000012`."""
    frames = json.loads((case.folder / "gt" / "frames.json").read_text())["frames"]
    truths = {}
    for frame in frames:
        name = Path(frame["file"]).name if "file" in frame else f"{case.source.name}#{frame['index']:06d}"
        camera = frame["camera"]
        T_cam_world = np.array(camera["world_to_camera"])
        T_world_head = np.array(frame.get("T_world_head", np.eye(4).tolist()))
        weights = arkit_weights(frame["expression_coefficients"])
        expression = frame.get("expression", "mixed")
        truths[name] = FrameTruth(expression, weights, np.array(camera["K"]), T_cam_world @ T_world_head, T_cam_world)
    return truths


def arkit_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights under ARKit's names: ICT-FaceKit's `_L` and `_R` are spelt out, halves of one ARKit shape averaged, the rest left out."""
    if not any(name.endswith(("_L", "_R")) for name in weights):
        return {name: float(weight) for name, weight in weights.items() if name in _arkit_names()}
    found: dict[str, float] = {}
    for name, weight in weights.items():
        whole = name.removesuffix("_L").removesuffix("_R")
        spelt = name.replace("_L", "Left").replace("_R", "Right")
        if spelt in _arkit_names():
            found[spelt] = found.get(spelt, 0.0) + float(weight)
        elif whole in _arkit_names():
            found[whole] = found.get(whole, 0.0) + 0.5 * float(weight)
    return found


@functools.lru_cache(maxsize=1)
def _arkit_names() -> frozenset[str]:
    from assets.blendshapes import ARKIT_BLENDSHAPES

    return frozenset(ARKIT_BLENDSHAPES)
