"""Whether the avatar looks like the person: left-out photos, skin detail, crookedness, personal expressions, and what texturing costs.

Usage: python -m benchmarks.appearance [--json FILE] [--captures studio-a phone-b] [--head anny] [--preset full] [--views N]
       [--sheets FOLDER] [--no-personal]

For every photo at rest within 60 degrees the capture is fitted without it (with its texture and light); on the photo itself only pose,
expression, exposure and white balance are fitted, and the rendering is compared with it inside the face mask. `--views` takes so many
of them, spread evenly, instead of all. Captures are those of benchmarks.geometry. JSON has left_out.psnr_db and left_out.ssim as the
lower of the captures' means, skin_energy_ratio and skin_correlation as means over the photos, asymmetry_correlation as the lower one,
personal_smile.median_mm and .gain (benchmarks/personal.py), seconds and peak_gb of the texture stage on the last capture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from assets.errors import DetectionError
from benchmarks.appearance_asymmetry import asymmetry_correlation
from benchmarks.appearance_left_out import LeftOut, left_out, neutral_views
from benchmarks.appearance_texture import TextureCost, texture_cost
from benchmarks.geometry_captures import Case, case_of
from benchmarks.personal_people import OUTSIDE
from benchmarks.personal_smile import figures, predictions
from benchmarks.stand_ins import default_work_dir
from recon.capture import Capture
from recon.fitting import FitSettings, fit
from recon.ingest import load_capture

TARGETS = {
    "left_out.psnr_db": "at least 30",
    "left_out.ssim": "at least 0.92",
    "skin_energy_ratio": "0.8 to 1.2",
    "skin_correlation": "at least 0.5",
    "asymmetry_correlation": "at least 0.9",
    "personal_smile.median_mm": "at most 0.45 (anny)",
    "personal_smile.gain": "at least 0.25",
    "seconds": "at most 60",
    "peak_gb": "at most 3",
}


def main() -> None:
    """Measure, print, write sheets and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captures", nargs="+", default=["studio-a", "phone-b"])
    parser.add_argument("--head", default="anny", choices=sorted(OUTSIDE))
    parser.add_argument("--preset", default="full", choices=["full", "fast"])
    parser.add_argument("--views", type=int, default=0, help="so many left-out photos a capture; 0: all")
    parser.add_argument("--sheets", type=Path, help="folder for photo, rendering and difference side by side")
    parser.add_argument("--no-personal", action="store_true", help="leave out the personal expressions, which render people first")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = FitSettings(head=arguments.head, preset=arguments.preset)
    results: dict[str, float] = {}
    rows, crooked, cost = list[LeftOut](), dict[str, float](), None
    for name in arguments.captures:
        case, capture = opened(name)
        rows += left_out_rows(case, capture, settings, arguments.views, arguments.sheets)
        whole = fit(capture, settings)
        crooked[name] = asymmetry_correlation(whole, case)
        cost = texture_cost(whole, capture)
        print(f"{name}: left against right correlates {crooked[name]:.3f} with the truth; {text_of(cost)}", flush=True)
    results |= summary(rows, crooked, cost)
    if not arguments.no_personal:
        found = [row for person in OUTSIDE[arguments.head] for row in predictions(person, arguments.head, default_work_dir())]
        personal = figures(found)
        results |= {f"personal_smile.{key}": personal[f"personal_smile.{arguments.head}.{key}"] for key in ("median_mm", "gain")}
    for key, value in results.items():
        print(f"{key:26s} {value:8.3f}   {TARGETS.get(key, '')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def opened(name: str) -> tuple[Case, Capture]:
    """A capture of benchmarks.geometry with its pictures."""
    case = case_of(name)
    if not case.source.exists():
        raise SystemExit(f"no {case.source}: set RECON_DATA, or choose other --captures")
    return case, load_capture(case.folder if case.cameras is not None else case.source)


def left_out_rows(case: Case, capture: Capture, settings: FitSettings, limit: int, sheets: Path | None) -> list[LeftOut]:
    """One fit for each left-out photo, printed as it comes."""
    views, rows = neutral_views(case, capture), []
    if 0 < limit < len(views):
        views = [views[round(index)] for index in np.linspace(0, len(views) - 1, limit)]
    for view in views:
        try:
            row = left_out(case, capture, view, settings)
        except DetectionError as error:
            print(f"{case.name:9s} {view.name:22s} not found again: {error.got}", flush=True)
            continue
        skin = f"skin: energy {row.skin.energy_ratio:.2f}, correlation {row.skin.correlation:.2f}, noise {row.skin.noise_sd:.1f}"
        print(f"{case.name:9s} {row.view:22s} yaw {row.yaw_deg:4.0f}  {row.psnr_db:5.2f} dB  SSIM {row.ssim:.3f}  {skin}", flush=True)
        if sheets is not None:
            sheets.mkdir(parents=True, exist_ok=True)
            Image.fromarray(row.sheet).save(sheets / f"{case.key}-{Path(row.view).stem}.png")
        rows.append(row)
    return rows


def summary(rows: list[LeftOut], crooked: dict[str, float], cost: TextureCost | None) -> dict[str, float]:
    """The JSON's figures: means of each capture, and the lower one of them."""
    captures = list(dict.fromkeys(row.capture for row in rows))
    if not captures:
        raise SystemExit("no photo at rest within 60 degrees could be left out and found again")
    of = {name: [row for row in rows if row.capture == name] for name in captures}
    found = {
        "left_out.psnr_db": min(float(np.mean([row.psnr_db for row in of[name]])) for name in captures),
        "left_out.ssim": min(float(np.mean([row.ssim for row in of[name]])) for name in captures),
        "skin_energy_ratio": float(np.nanmean([row.skin.energy_ratio for row in rows])),
        "skin_correlation": float(np.nanmean([row.skin.correlation for row in rows])),
        "asymmetry_correlation": min(crooked.values()),
    }
    for name in captures:
        found[f"{name}.psnr_db"] = float(np.mean([row.psnr_db for row in of[name]]))
        found[f"{name}.ssim"] = float(np.mean([row.ssim for row in of[name]]))
    return found if cost is None else found | {"seconds": cost.seconds, "peak_gb": cost.peak_gb}


def text_of(cost: TextureCost) -> str:
    """What texturing took, in words."""
    return f"texture of {cost.num_photos} photos at {cost.size}: {cost.seconds:.0f} s, {cost.peak_gb:.1f} GB"


if __name__ == "__main__":
    main()
