"""Runs Khronos' validator and three.js in headless Chromium on exported files; `make test-browser` installs both."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture: three.js' own perspective camera looks at `target` from `distance` metres."""

    name: str
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    lit: bool = True
    """False: the texture alone, as it is."""
    camera_yaw_deg: float = 0.0
    """Where the camera stands around the head: positive at the subject's own left."""
    camera_pitch_deg: float = 0.0
    distance: float = 0.9
    target: tuple[float, float, float] = (0.0, 0.0, -0.05)
    fov_deg: float = 22.0
    width: int = 480
    height: int = 600


def need_browser() -> None:
    """Skip unless `make test-browser` runs, which sets RECON_BROWSER; then a tool that is not there is a failure."""
    if not os.environ.get("RECON_BROWSER"):
        pytest.skip("run with `make test-browser`, which installs Chromium, nodejs and npm packages")
    absent = [tool for tool in ("node", os.environ.get("CHROMIUM", "chromium")) if shutil.which(tool) is None]
    absent += [name for name in ("three", "gltf-validator") if not (HERE / "node_modules" / name).is_dir()]
    if absent:
        pytest.fail(f"not there: {', '.join(absent)}")


def node(script: str, *arguments: Path | str) -> Any:
    """What a script of this folder prints, as JSON; fails with what it said where it fails."""
    finished = subprocess.run(
        ["node", str(HERE / script), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False, cwd=HERE
    )
    if finished.returncode:
        pytest.fail(f"{script} failed:\n{finished.stderr}")
    return json.loads(finished.stdout)


def validate(path: Path) -> dict[str, Any]:
    """The validator's report of a GLB."""
    return node("validate.mjs", path)


def photograph(path: Path, shots: list[Shot], folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What three.js found in a GLB, and its pictures (H, W, 3) uint8 by name, which stay in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shots.json").write_text(json.dumps([dataclasses.asdict(shot) for shot in shots]))
    report = node("shoot.mjs", path, folder / "shots.json", folder)
    return report, {shot.name: np.array(Image.open(folder / f"{shot.name}.png").convert("RGB")) for shot in shots}
