"""How far the fitted head is from the ground truth, in millimetres: average head, landmarks alone, full fit.

Usage: python -m benchmarks.geometry [--captures sample studio-a phone-b video-c] [--json FILE]

The sample is rendered by the project itself; the captures of $RECON_DATA (else ../shared) are other renderings and are left out
where they are absent. Every row is run in a process of its own, so that its time and peak memory are its own. Distances go from
the truth's face to the fitted surface: after a similarity for loose pictures and for every "average" row (the average head has no
place in a world), as they lie in the world for fits of a calibrated rig (studio-a).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import multiprocessing
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import trimesh

from assets import load_head
from recon import FitSettings, export_mesh, fit, load_capture
from recon.quality import geometry_error

SAMPLE_DIR = Path(__file__).parents[1] / "assets" / "sample"
DATA_DIR = Path(os.environ.get("RECON_DATA", Path(__file__).parents[2] / "shared"))
CAPTURES = ("sample", "studio-a", "phone-b", "video-c")
KINDS = ("average", "landmarks", "full")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    capture: str
    head: str
    kind: str
    """"average": the head model's mean after alignment; "landmarks": without the pictures; "full": everything but texture."""
    median_mm: float
    mean_mm: float
    p95_mm: float
    seconds: float
    """Wall time with detection, without texture and scoring."""
    peak_gb: float
    """Resident memory of the process at its highest."""
    registered: int
    """Views that the fit rests on; 0 for the average head."""
    views: int


def source_of(capture: str) -> Path:
    """Where a capture's pictures lie; the path may not exist."""
    if capture == "sample":
        return SAMPLE_DIR
    folder = DATA_DIR / "captures" / capture
    return folder / "video.mp4" if (folder / "video.mp4").exists() else folder / "images"


def measure(capture: str, head: str, kind: str) -> Row:
    """Fit one capture in one way and score it."""
    rig = DATA_DIR / "captures" / capture / "cameras.json"
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        mesh_path = Path(folder) / "head.ply"
        if kind == "average":
            average = load_head(head)
            trimesh.Trimesh(average.vertices, average.triangles, process=False).export(mesh_path)
            registered = views = 0
            alignment = "similarity"
        else:
            loaded = load_capture(source_of(capture), cameras=rig if rig.exists() else None)
            avatar = fit(loaded, FitSettings(head=head, use_dense=kind == "full", free_form=kind == "full", texture=False))
            export_mesh(avatar, mesh_path, frame="world" if rig.exists() else "head")
            registered, views = sum(view.camera is not None for view in avatar.views), len(avatar.views)
            alignment = "none" if rig.exists() else "similarity"
        seconds, peak_gb = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        median, mean, p95 = score(mesh_path, capture, alignment)
    return Row(capture, head, kind, median, mean, p95, round(seconds, 1), round(peak_gb, 2), registered, views)


def score(mesh_path: Path, capture: str, alignment: str) -> tuple[float, float, float]:
    """(median, mean, 95th percentile) in millimetres over the face."""
    if capture != "sample":
        face = _shared_scorer().score(mesh_path, DATA_DIR / "captures" / capture, "neutral", alignment)["mm"]["face"]
        return face["median"], face["mean"], face["p95"]
    fitted = trimesh.load(mesh_path, process=False, force="mesh")
    truth = trimesh.load(SAMPLE_DIR / "gt" / "neutral.ply", process=False, force="mesh")
    mask = np.zeros(len(truth.vertices), bool)  # pyright: ignore[reportAttributeAccessIssue]
    mask[np.load(SAMPLE_DIR / "gt" / "face_mask.npz")["face"]] = True
    found = geometry_error(
        np.asarray(fitted.vertices),  # pyright: ignore[reportAttributeAccessIssue]
        np.asarray(fitted.faces),  # pyright: ignore[reportAttributeAccessIssue]
        np.asarray(truth.vertices),  # pyright: ignore[reportAttributeAccessIssue]
        np.asarray(truth.faces),  # pyright: ignore[reportAttributeAccessIssue]
        mask=mask,
        align="similarity",
    )
    return round(found.median_mm, 3), round(found.mean_mm, 3), round(found.p95_mm, 3)


def _shared_scorer() -> ModuleType:
    path = DATA_DIR / "tools" / "score_geometry.py"
    spec = importlib.util.spec_from_file_location("score_geometry", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Measure, print the table, write JSON with keys CAPTURE.HEAD.median_mm (full fit) and CAPTURE.HEAD.KIND.*."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captures", nargs="+", default=list(CAPTURES), choices=CAPTURES)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--head", default="anny")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, float | int] = {}
    print(f"{'capture':10s} {'head':6s} {'kind':10s} {'median':>7s} {'mean':>7s} {'p95':>7s} mm {'time':>8s} {'memory':>8s}  views")
    for capture in arguments.captures:
        if not source_of(capture).exists():
            print(f"{capture:10s} left out: no {source_of(capture)}")
            continue
        for kind in arguments.kinds:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                row = pool.submit(measure, capture, arguments.head, kind).result()
            print(
                f"{row.capture:10s} {row.head:6s} {row.kind:10s} {row.median_mm:7.3f} {row.mean_mm:7.3f} {row.p95_mm:7.3f}    "
                f"{row.seconds:6.1f} s {row.peak_gb:5.2f} GB  {row.registered}/{row.views}",
                flush=True,
            )
            results |= _flat(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def _flat(row: Row) -> dict[str, float | int]:
    figures = {key: value for key, value in dataclasses.asdict(row).items() if key not in ("capture", "head", "kind")}
    flat = {f"{row.capture}.{row.head}.{row.kind}.{key}": value for key, value in figures.items()}
    return flat | ({f"{row.capture}.{row.head}.{key}": value for key, value in figures.items()} if row.kind == "full" else {})


if __name__ == "__main__":
    main()
