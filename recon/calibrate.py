"""Calibrate a detector on a head model: render people from all sides, detect, and find where on the head its landmarks lie.

`python -m recon.calibrate --head anny` and `recon assets calibrate --head anny` run the same function.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assets.detector_model import DETECTORS, DetectorModel, calibrations_dir, save_detector_model
from assets.errors import DetectionError, RangeError
from assets.head_model import HeadModel
from assets.heads import load_head
from recon.calibrate_places import find_places, gather, hat_weights
from recon.calibrate_renders import CalibrationSettings as CalibrationSettings
from recon.calibrate_renders import Detector, Progress, Sighting, sight_heads
from recon.calibrate_renders import random_sitter as random_sitter
from recon.calibrate_statistics import both_sides, deviations_mm, spread_of, with_fallback
from recon.calibrate_surfaces import mirror_landmarks
from recon.capture import View
from recon.detect import DetectSettings, detect

YAW_BINS_DEG = np.arange(0.0, 76.0, 15.0)
"""Middles of the yaw bins of the head turned to its own left; those to its right mirror them."""

DEFAULT_SETTINGS = CalibrationSettings()
"""What the files that come with the project were made with."""

_VIEW = View("render", Path("render"))


def calibrate_detector(
    head: HeadModel,
    *,
    detector: str = "bundled",
    settings: CalibrationSettings = DEFAULT_SETTINGS,
    textures: Sequence[np.ndarray] | None = None,
    progress: Progress | None = None,
) -> DetectorModel:
    """Where a detector ("bundled" or "tasks") sees each landmark on a head, by yaw; deterministic for a seed.

    `settings.num_heads` people are rendered (two a second and core for the heads of this project). `textures` (H, W, 3) uint8 in
    the head's UV chart replace the painted skins. Raises DetectionError where the detector sees too few faces, as with a head
    whose shapes or parts are broken, RangeError for an unknown detector, MissingAssetError where `tasks` has no file.
    """
    sightings = list(sight_heads(head, settings, mesh_detector(detector), textures=textures, progress=progress))
    _refuse_blindness(head, sightings)
    return model_of(head, sightings, detector)


def mesh_detector(detector: str) -> Detector:
    """The detector as the capture's own detection runs it (several crops, averaged), as a function from picture to pixels."""
    if detector not in DETECTORS:
        raise RangeError(expected=f"a detector: {' or '.join(DETECTORS)}", got=repr(detector), do="use 'bundled', which needs no file")
    settings = DetectSettings(detector=detector)  # pyright: ignore[reportArgumentType]

    def run(image: np.ndarray) -> np.ndarray | None:
        found = detect(_VIEW, image, settings)
        return None if found is None else found.landmarks_px.astype(np.float64)

    return run


def model_of(head: HeadModel, sightings: Sequence[Sighting], detector: str, *, bins_deg: np.ndarray = YAW_BINS_DEG) -> DetectorModel:
    """The statistics of sightings over bins (B,) of 0 and more, ascending from 0; one bin alone gives a fixed embedding."""
    evidence = gather(head, sightings, mirror_landmarks())
    shares = hat_weights(evidence.yaw_deg, bins_deg)
    places = find_places(head, evidence, shares)
    covariance, rate = spread_of(deviations_mm(head, evidence, places, shares), shares)
    has_face = np.isfinite(evidence.detected_mm[..., 0, 0]).mean(1)
    places, covariance = with_fallback(places, covariance, shares.T @ has_face)
    return both_sides(head, detector, bins_deg, places, covariance, rate)


def _refuse_blindness(head: HeadModel, sightings: Sequence[Sighting]) -> None:
    frontal = [sighting for sighting in sightings if abs(sighting.yaw_deg) < 45]
    seen = sum(sighting.landmarks_px is not None for sighting in frontal)
    if seen < max(4, len(frontal) // 2):
        raise DetectionError(
            expected="a face in most of the rendered pictures",
            got=f"{seen} of {len(frontal)} within 45 degrees for the head {head.name}",
            do="look at the head with `recon render`; its shapes or parts may be broken",
        )


def calibrate_and_save(
    head: HeadModel | str,
    *,
    detector: str = "bundled",
    folder: Path | None = None,
    settings: CalibrationSettings = DEFAULT_SETTINGS,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Calibrate a head, given or by name, and write the file; into `folder`, else where `load_detector_model` finds the user's own."""
    head = load_head(head) if isinstance(head, str) else head
    model = calibrate_detector(head, detector=detector, settings=settings, progress=progress)
    return (save_detector_model(head, model, folder=calibrations_dir() if folder is None else folder),)


def main(
    head: str = "anny",
    *,
    detector: str = "bundled",
    out: Path | None = None,
    num_heads: int = CalibrationSettings.num_heads,
    seed: int = CalibrationSettings.seed,
) -> None:
    """Calibrate a detector on a head model; the file goes to the folder OUT, else to the user's own calibrations."""

    def show(stage: str, done: int, total: int) -> None:
        sys.stderr.write(f"\r{stage} {done}/{total}" + ("\n" if done == total else ""))

    settings = CalibrationSettings(num_heads=num_heads, seed=seed)
    for path in calibrate_and_save(head, detector=detector, folder=out, settings=settings, progress=show):
        sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
