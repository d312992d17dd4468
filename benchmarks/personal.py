"""Personal expression shapes: how much better they predict what no picture shows than the head model's own.

Usage: python -m benchmarks.personal [--heads anny ict] [--people ict anny ict-bent anny-bent] [--work DIR] [--json FILE]

Each line is one expression of a person outside the head's family: the median distance over the face in mm by the head model's shapes
and by the person's, for the instance that was learned from and for three others (`benchmarks/personal_smile.py` has the protocol).
Pictures are rendered the first time. JSON has personal_smile.HEAD.median_mm and personal_smile.HEAD.gain, and the same of each person.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.personal_people import OUTSIDE, PEOPLE
from benchmarks.personal_smile import FULL, INSTANCES, Prediction, figures, predictions
from benchmarks.stand_ins import default_work_dir

TARGET_MM, TARGET_GAIN = {"anny": 0.45, "ict": 0.30}, 0.25


def line_of(rows: list[Prediction]) -> str:
    """One expression of one person: generic > personal for each instance."""
    by_instance = {row.instance: row for row in rows}
    cells = (f"{by_instance[i].generic_mm:.3f} > {by_instance[i].personal_mm:.3f}" for i in (FULL, *INSTANCES))
    return f"{rows[0].person:10s} {rows[0].head:5s} {rows[0].expression:9s} " + "  ".join(cells)


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=list(OUTSIDE), choices=list(OUTSIDE))
    parser.add_argument("--people", nargs="+", default=list(PEOPLE), choices=list(PEOPLE))
    parser.add_argument("--work", type=Path, default=default_work_dir())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{'person':10s} {'head':5s} {'face, mm':9s} " + "  ".join(f"{name:13s}" for name in (f"{FULL} (seen)", *INSTANCES)))
    rows: list[Prediction] = []
    for head in arguments.heads:
        for name in OUTSIDE[head]:
            if name in arguments.people:
                found = predictions(name, head, arguments.work)
                for expression in dict.fromkeys(row.expression for row in found):
                    print(line_of([row for row in found if row.expression == expression]), flush=True)
                rows += found
    results = figures(rows)
    for head in arguments.heads:
        if f"personal_smile.{head}.gain" in results:
            median, gain = results[f"personal_smile.{head}.median_mm"], results[f"personal_smile.{head}.gain"]
            generic = results[f"personal_smile.{head}.generic_mm"]
            target = f"(targets {TARGET_MM[head]:.2f} mm, {100 * TARGET_GAIN:.0f} %)"
            words = f"{generic:.3f} mm by generic shapes, {median:.3f} by personal ones, {100 * gain:.0f} % better"
            print(f"{head}: unseen instances {words} {target}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
