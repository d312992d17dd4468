"""Distances of a ground truth to a fitted mesh, in millimetres by region, for every capture that has a `gt` folder."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import trimesh

from recon.quality import exposed, geometry_error
from render import RayScene

Align = Literal["none", "rigid", "similarity"]
REGIONS = ("face", "wide_face", "head")


@dataclasses.dataclass(frozen=True)
class RegionScore:
    """Exposed vertices of one region of the truth against the fitted surface."""

    median_mm: float
    mean_mm: float
    p95_mm: float


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64 and triangles (F, 3) of a mesh file, in the file's order."""
    mesh = trimesh.load(path, process=False, force="mesh")
    return np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces)  # pyright: ignore[reportAttributeAccessIssue]


def score_mesh(
    capture: Path, vertices: np.ndarray, triangles: np.ndarray, *, expression: str = "neutral", align: Align = "similarity"
) -> Mapping[str, RegionScore]:
    """Scores by region of a mesh (V, 3) in metres against `gt/EXPRESSION.ply` of a capture's folder.

    Where the folder has `gt/face_mask.npz`, its regions are measured by `recon.quality`; else the folder is one of $RECON_DATA's
    captures, and the scorer beside them measures by its own rules. Both align by the face alone.
    """
    if not (capture / "gt" / "face_mask.npz").exists():
        return _by_shared_scorer(capture, vertices, triangles, expression, align)
    truth, truth_triangles = read_mesh(capture / "gt" / f"{expression}.ply")
    masks = masks_of(capture, len(truth))
    found = geometry_error(vertices, triangles, truth, truth_triangles, mask=masks["face"], align=align)
    # The alignment is searched for once; the other regions are measured under it.
    moved = truth @ found.T_fitted_truth[:3, :3].T + found.T_fitted_truth[:3, 3]
    distance_mm = 1e3 * RayScene(vertices, triangles).closest(moved).distance.astype(np.float64) / found.scale
    seen = exposed(truth, truth_triangles)
    return {name: _summary(distance_mm[mask & seen]) for name, mask in masks.items()}


def _summary(mm: np.ndarray) -> RegionScore:
    return RegionScore(*(round(float(value), 3) for value in (np.median(mm), mm.mean(), np.quantile(mm, 0.95))))


def masks_of(capture: Path, count: int) -> dict[str, np.ndarray]:
    """Regions of a capture's truth as (count,) bool; "head" is all there is, and a file without "wide_face" (the sample's) goes without it.

    Without `gt/face_mask.npz` the regions are those of the scorer beside $RECON_DATA's captures, ranges of its vertices.
    """
    masks, path = {"head": np.ones(count, bool)}, capture / "gt" / "face_mask.npz"
    if not path.exists():
        ranges = _shared_scorer(_scorer_of(capture)).REGIONS
        return masks | {name: np.isin(np.arange(count), np.arange(count)[ranges[name]]) for name in ("face", "wide_face")}
    with np.load(path) as stored:
        for name in ("face", "wide_face"):
            if name in stored:
                masks[name] = np.isin(np.arange(count), stored[name])
    return masks


def _scorer_of(capture: Path) -> Path:
    return capture.parents[1] / "tools" / "score_geometry.py"


def _by_shared_scorer(capture: Path, vertices: np.ndarray, triangles: np.ndarray, expression: str, align: Align) -> dict[str, RegionScore]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fitted.ply"
        trimesh.Trimesh(vertices, triangles, process=False).export(path)
        found = _shared_scorer(_scorer_of(capture)).score(path, capture, expression, align)["mm"]
    return {name: RegionScore(row["median"], row["mean"], row["p95"]) for name, row in found.items()}


@functools.lru_cache(maxsize=1)
def _shared_scorer(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_geometry", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
