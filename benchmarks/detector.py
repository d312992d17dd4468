"""How well a calibration predicts where the detector puts its points, by yaw, against a fixed embedding.

Usage: python -m benchmarks.detector [--heads anny ict] [--detectors bundled tasks] [--num 140] [--markdown FILE] [--pictures FOLDER]

Held-out people (another seed: other identities, skins, lights, backgrounds) are rendered from yaw -82 to 82 degrees and detected.
The shipped calibration and a fixed embedding, made by the same procedure from pictures of |yaw| <= 15 degrees alone, both predict
the 478 points of each picture; both are judged on the same pictures. Anny is also judged with photographic skins of
$RECON_DATA/assets/skins where they are there. The detector `tasks` needs a `.task` file ($RECON_FACE_LANDMARKER, else the
installed one, else $RECON_DATA/assets/face_landmarker.task) and is left out without one, as is a head that is not installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from assets.detector_model import DetectorModel, load_detector_model
from assets.errors import MissingAssetError
from assets.head_model import HeadModel
from assets.heads import load_head
from recon.calibrate import mesh_detector, model_of
from recon.calibrate_renders import CalibrationSettings, Sighting, sight_heads
from recon.calibrate_skin import with_painted_eyes
from recon.face_mesh import find_task_file

DATA_DIR = Path(os.environ.get("RECON_DATA", Path(__file__).parents[2] / "shared"))

EDGES_DEG = (0, 15, 30, 45, 60, 75, 90)
"""Rows of the table: |yaw| from one to the next."""

FRONTAL_DEG = 15.0
"""The fixed embedding is made from pictures of yaws up to this."""

HELD_OUT_SEED, FIXED_SEED = 1000, 2000

NUM_FRONTAL = 150
"""Pictures of the fixed embedding: as many as the calibration has in its frontal bin."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: pictures whose |yaw| lies in one interval."""

    head: str
    detector: str
    skin: str
    """"painted" or "photographic"."""
    low_deg: int
    high_deg: int
    pictures: int
    rate: float
    """Share of the pictures in which a face was found."""
    fixed_px: float
    """Median error of the fixed embedding over pictures and landmarks, pixels of a picture 512 px wide."""
    calibrated_px: float
    fixed_percent: float
    """The same in per cent of the distance between the eyeball centres (in space, at the head's distance)."""
    calibrated_percent: float

    @property
    def ratio(self) -> float:
        """Calibrated over fixed; 0.5 is half the error."""
        return self.calibrated_percent / self.fixed_percent


def errors(head: HeadModel, model: DetectorModel, sighting: Sighting) -> tuple[np.ndarray, float]:
    """(478,) pixels between detected and predicted points, and how many pixels the interocular distance has."""
    camera = sighting.camera
    points = model.points(sighting.vertices, head.triangles, sighting.yaw_deg).astype(np.float64)
    px, _ = camera.project(points)
    left, right = head.eye_centres(sighting.vertices)
    eyes_px = float(np.linalg.norm(left - right)) * camera.K[0, 0] / camera.T_cam_world[2, 3]
    return np.linalg.norm(px - sighting.landmarks_px, axis=1), eyes_px


def measure(
    head: HeadModel, detector: str, skin: str, fixed: DetectorModel, calibrated: DetectorModel, sightings: Sequence[Sighting]
) -> list[Row]:
    """The rows of one head, detector and kind of skin."""
    rows = []
    for low, high in itertools.pairwise(EDGES_DEG):
        within = [sighting for sighting in sightings if low <= abs(sighting.yaw_deg) < high]
        seen = [sighting for sighting in within if sighting.landmarks_px is not None]
        if not seen:
            continue
        figures = []
        for model in (fixed, calibrated):
            found = [(*errors(head, model, sighting), sighting.camera.width) for sighting in seen]
            figures.append(float(np.median([away * 512 / width for away, _, width in found])))
            figures.append(float(np.median([100 * away / eyes for away, eyes, _ in found])))
        rows.append(
            Row(head.name, detector, skin, low, high, len(within), len(seen) / len(within), figures[0], figures[2], figures[1], figures[3])
        )
    return rows


def fixed_embedding(head: HeadModel, detector: str) -> DetectorModel:
    """One bin for all yaws, made like the calibration from frontal pictures alone."""
    settings = CalibrationSettings(num_heads=NUM_FRONTAL, seed=FIXED_SEED, min_yaw_deg=-FRONTAL_DEG, max_yaw_deg=FRONTAL_DEG)
    sightings = list(sight_heads(head, settings, mesh_detector(detector), progress=_show))
    return model_of(head, sightings, detector, bins_deg=np.zeros(1))


def photographic_skins(head: HeadModel) -> list[np.ndarray]:
    """Photographs in Anny's UV chart, with painted eyes; empty where there are none or the head has another chart."""
    paths = sorted((DATA_DIR / "assets" / "skins").glob("*.jpg")) if head.name == "anny" else []
    pictures = [cv2.cvtColor(cv2.resize(cv2.imread(str(path)), (1024, 1024)), cv2.COLOR_BGR2RGB) for path in paths]  # pyright: ignore
    return [with_painted_eyes(picture, head, np.random.default_rng(index)) for index, picture in enumerate(pictures)]


def run(name: str, detector: str, num: int, pictures: Path | None) -> list[Row]:
    """All rows of one head and detector; writes overlays of the held-out pictures near 60 degrees into `pictures`."""
    head = load_head(name)
    calibrated, fixed = load_detector_model(head, detector), fixed_embedding(head, detector)
    settings = CalibrationSettings(num_heads=num, seed=HELD_OUT_SEED, min_yaw_deg=-82)
    rows: list[Row] = []
    for skin, textures in (("painted", None), ("photographic", photographic_skins(head))):
        if textures is not None and not textures:
            continue
        found = list(sight_heads(head, settings, mesh_detector(detector), textures=textures, keep_images=True, progress=_show))
        rows += measure(head, detector, skin, fixed, calibrated, found)
        if pictures is not None:
            path = pictures / f"{name}-{detector}-{skin}.png"
            cv2.imwrite(str(path), cv2.cvtColor(overlays(head, fixed, calibrated, found), cv2.COLOR_RGB2BGR))
    return rows


def overlays(head: HeadModel, fixed: DetectorModel, calibrated: DetectorModel, sightings: Sequence[Sighting], count: int = 6) -> np.ndarray:
    """(H, W, 3) uint8: pictures near 60 degrees, fixed embedding above, calibrated below; detected green, predicted red, joined white."""
    shown = sorted((s for s in sightings if s.landmarks_px is not None), key=lambda s: abs(abs(s.yaw_deg) - 60))[:count]
    rows = []
    for model in (fixed, calibrated):
        tiles = []
        for sighting in shown:
            tile = cv2.resize(np.asarray(sighting.image), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            px, _ = sighting.camera.project(model.points(sighting.vertices, head.triangles, sighting.yaw_deg).astype(np.float64))
            for detected, predicted in zip(2 * np.asarray(sighting.landmarks_px), 2 * px, strict=True):
                a, b = (tuple(int(8 * value) for value in point) for point in (detected, predicted))
                cv2.line(tile, a, b, (255, 255, 255), 1, cv2.LINE_AA, 3)
                cv2.circle(tile, b, 12, (255, 40, 40), -1, cv2.LINE_AA, 3)
                cv2.circle(tile, a, 12, (40, 255, 40), -1, cv2.LINE_AA, 3)
            tiles.append(tile)
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def markdown(rows: Sequence[Row]) -> str:
    """The table of docs/detector.md."""
    lines = [
        "| head | detector | skins | yaw, degrees | pictures | found | fixed, px | calibrated, px | fixed, % | calibrated, % | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.head} | {row.detector} | {row.skin} | {row.low_deg}-{row.high_deg} | {row.pictures} | {100 * row.rate:.0f} % "
            f"| {row.fixed_px:.2f} | {row.calibrated_px:.2f} | {row.fixed_percent:.2f} | {row.calibrated_percent:.2f} | {row.ratio:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _show(stage: str, done: int, total: int) -> None:
    sys.stderr.write(f"\r{stage} {done}/{total}" + ("\n" if done == total else ""))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=["anny", "ict"])
    parser.add_argument("--detectors", nargs="+", default=["bundled", "tasks"])
    parser.add_argument("--num", type=int, default=140)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    task = DATA_DIR / "assets" / "face_landmarker.task"
    if "tasks" in arguments.detectors and find_task_file() is None and task.is_file():
        os.environ["RECON_FACE_LANDMARKER"] = str(task)
    if arguments.pictures is not None:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name in arguments.heads:
        for detector in arguments.detectors:
            try:
                rows += run(name, detector, arguments.num, arguments.pictures)
            except MissingAssetError as missing:
                print(f"{name} with {detector} is left out: {missing.got}; {missing.do}")
    print(markdown(rows))
    if arguments.markdown:
        arguments.markdown.write_text(markdown(rows))


if __name__ == "__main__":
    main()
