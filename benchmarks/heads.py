"""Load times of the compiled heads, expressions a second, round trips of names; and the pictures of docs/heads.md.

Usage: python -m benchmarks.heads [--heads anny ict flame:PATH] [--json FILE] [--pictures DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from assets import HeadModel, load_head
from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.mappings import MAPPINGS, mapping, shape_residuals
from benchmarks.head_pictures import write_pictures

NUM_EXPRESSIONS = 1000

# Prints wall and processor seconds to import what a head needs, and then to load it.
_LOAD = """
import sys, time
import numpy
clocks = (time.perf_counter, time.process_time)
start = [clock() for clock in clocks]
import assets.heads.anny, assets.subdivide
middle = [clock() for clock in clocks]
assets.heads.load_head(sys.argv[1])
end = [clock() for clock in clocks]
print(*(b - a for a, b in zip(start, middle)), *(b - a for a, b in zip(middle, end)))
"""


def load_seconds(name: str, *, repeats: int = 5) -> dict[str, float]:
    """Medians over fresh processes; the first, which may compile the head, is left out."""
    runs = [subprocess.check_output([sys.executable, "-c", _LOAD, name], text=True).split() for _ in range(repeats + 1)]
    medians = np.median(np.array(runs[1:], float), axis=0)
    return dict(zip(("import_s", "import_cpu_s", "load_s", "load_cpu_s"), medians.tolist(), strict=True))


def expression_seconds(head: HeadModel, *, repeats: int = 5) -> tuple[float, float]:
    """Medians for a thousand random expressions of all 52 shapes: in one batch, and one by one with eight named weights each."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 1, (NUM_EXPRESSIONS, len(ARKIT_BLENDSHAPES))).astype(np.float32)
    named = [{str(name): 0.5 for name in rng.choice(ARKIT_BLENDSHAPES, 8, replace=False)} for _ in range(NUM_EXPRESSIONS)]
    batched, single = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        head.expression_offsets_batch(weights)
        middle = time.perf_counter()
        for row in named:
            head.expression_offsets(row)
        batched.append(middle - start)
        single.append(time.perf_counter() - middle)
    return statistics.median(batched), statistics.median(single)


def measure(names: list[str]) -> dict[str, dict[str, float | int | str]]:
    """One row of figures for each head."""
    rows = {}
    for name in names:
        head = load_head(name)
        batch, single = expression_seconds(head)
        rows[name] = {
            "vertices": head.num_vertices,
            "triangles": len(head.triangles),
            "identity": head.num_identity,
            "shapes": len(ARKIT_BLENDSHAPES) - len(head.absent_blendshapes),
            **load_seconds(name),
            "batch_1000_s": batch,
            "one_by_one_1000_s": single,
            "largest_shape_residual": float(head.blendshape_residuals.max()),
        }
    return rows


def print_round_trips() -> None:
    """For each system of names: what is mapped, what is lost from ARKit and back when all 52 weigh 1, and why."""
    for system in MAPPINGS:
        table = mapping(system)
        there = table.round_trip(dict.fromkeys(ARKIT_BLENDSHAPES, 1.0))
        back = table.round_trip_native(dict.fromkeys(table.native_names, 1.0))
        print(
            f"\n{table.title}: {len(table.native_of)} of {len(ARKIT_BLENDSHAPES)} ARKit names, {len(table.native_names)} names of its own"
        )
        kept = [trip.residual for name in table.native_of for trip in [table.round_trip({name: 1.0})]]
        print(f"  largest residual of a mapped name: {max(kept):.1g}; lost: {len(there.residuals)} from ARKit, {len(back.residuals)} to it")
        for name, reason in {**table.missing_native, **table.missing_arkit}.items():
            print(f"  {name:16} {reason}")


def print_residuals(head: HeadModel) -> None:
    """What a head's mapping could not reproduce, shape by shape; nothing for heads whose shapes are their own."""
    lost = {name: value for name, value in shape_residuals(head).items() if value}
    if lost:
        print(f"\n{head.name}: residual of each ARKit shape, relative to its motion; the others are the head's own")
    for name, residual in sorted(lost.items(), key=lambda item: item[1]):
        print(f"  {name:22} {residual:5.2f}{'  absent' if name in head.absent_blendshapes else ''}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=["anny", "anny+1"], help="names as given to --head")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--pictures", type=Path, help="only draw the contact sheets and schemes into this folder")
    options = parser.parse_args()
    if options.pictures:
        for name in options.heads:
            for file in write_pictures(load_head(name), options.pictures):
                print(f"{file}  {file.stat().st_size / 1024:.0f} KiB")
        return
    rows = measure(options.heads)
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    for name, row in rows.items():
        print(f"\n{name}")
        for figure, value in row.items():
            print(f"  {figure:24} {value:10.3f}" if isinstance(value, float) else f"  {figure:24} {value:10}")
        print_residuals(load_head(name))
    print_round_trips()
    if options.json:
        options.json.write_text(json.dumps({"machine": f"{platform.machine()}, {os.cpu_count()} cores", "heads": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
