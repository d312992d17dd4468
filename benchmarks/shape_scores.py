"""Asking a network that knows nothing of this project what it sees in the ARKit shapes of a head, and judging its answers."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from assets import HeadModel
from assets.blendshapes import ARKIT_BLENDSHAPES, mirror_name
from assets.errors import DetectionError
from benchmarks.shape_renders import SITTINGS, Sitter, Sitting
from recon.face_mesh import run_face_mesh

Progress = Callable[[str, int, int], None]

TABLES = Path(__file__).with_name("meaning.toml")

TOP = 3
"""The shape asked for, or its twin, must be among this many scores that rise most."""

MIN_RISE = 0.025
"""A network whose score of a shape and of its twins rises by less than this on every head does not know the shape: it is left out
and listed. Scores lie in [0, 1]. It lies in a gap: what is left out rises by less than 0.015, what is judged by more than 0.035."""

WANTED_SHARE = 0.8
"""Of the judged shapes of a head."""


@dataclasses.dataclass(frozen=True)
class Question:
    """Weights whose picture is compared with that of other weights."""

    name: str
    weights: Mapping[str, float]
    against: Mapping[str, float]
    answers: tuple[tuple[str, ...], ...]
    """Of each group one score must be among those that rise most: the shape and its twins, or both eyes of a gaze."""
    is_gaze: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What the network made of one question on one head."""

    question: Question
    rises: np.ndarray
    """(52,) float64: mean rise of each score over the sittings, in the order of ARKIT_BLENDSHAPES; no rise where it has no score."""
    spread: np.ndarray
    """(52,) float64: standard deviation of the rises between sittings."""

    @property
    def top(self) -> tuple[str, ...]:
        """Names of the scores that rise most, the highest first."""
        return tuple(ARKIT_BLENDSHAPES[index] for index in np.argsort(-self.rises, kind="stable")[:TOP])

    @property
    def rise(self) -> float:
        """Of the weakest group of the wanted scores, the best."""
        return min(max(self.rise_of(name) for name in group) for group in self.question.answers)

    @property
    def passes(self) -> bool:
        """One wanted score of each group is among the top ones, and really rises."""
        return all(any(name in self.top and self.rise_of(name) > 0 for name in group) for group in self.question.answers)

    def rise_of(self, name: str) -> float:
        return float(self.rises[ARKIT_BLENDSHAPES.index(name)])


def questions(path: Path = TABLES) -> tuple[Question, ...]:
    """One for each ARKit shape that the network has a score for, then the gazes, from the table of twins and exceptions."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    twins = twins_table(path)
    special = {entry["shape"]: entry for entry in tables["asked"]}
    asked = []
    for name in ARKIT_BLENDSHAPES:
        if name == "tongueOut" or name.startswith("eyeLook"):
            continue
        entry = special.get(name, {"with": {name: 1.0}, "against": {}})
        asked.append(Question(name, entry["with"], entry["against"], ((name, *twins.get(name, ())),)))
    gazes = [Question(entry["name"], entry["with"], {}, tuple((eye,) for eye in entry["with"]), True) for entry in tables["gaze"]]
    return (*asked, *gazes)


def twins_table(path: Path = TABLES) -> dict[str, tuple[str, ...]]:
    """Shape -> the scores that count as its own besides its own."""
    return {name: tuple(names) for name, names in tomllib.loads(path.read_text(encoding="utf-8"))["twins"].items()}


def ask(
    head: HeadModel,
    asked: Sequence[Question],
    *,
    task: Path,
    sittings: Sequence[Sitting] = SITTINGS,
    progress: Progress | None = None,
) -> list[Answer]:
    """The network's answers on one head. Raises DetectionError where it sees no face in a picture."""
    rises = np.zeros((len(asked), len(sittings), len(ARKIT_BLENDSHAPES)))
    for column, sitting in enumerate(sittings):
        sitter = Sitter(head, sitting)
        at_rest: dict[str, np.ndarray] = {}
        for row, question in enumerate(asked):
            key = repr(sorted(question.against.items()))
            if key not in at_rest:
                at_rest[key] = scores(sitter.picture(question.against), task)
            rises[row, column] = scores(sitter.picture(question.weights), task) - at_rest[key]
            if progress is not None:
                progress(f"ask about {head.name}", column * len(asked) + row + 1, rises.shape[0] * rises.shape[1])
    return [Answer(question, rise.mean(0), rise.std(0)) for question, rise in zip(asked, rises, strict=True)]


def scores(image: np.ndarray, task: Path) -> np.ndarray:
    """(52,) scores of the network in the order of ARKIT_BLENDSHAPES; 0 for tongueOut, which it has not."""
    faces = run_face_mesh(image, task=task, min_confidence=0.3)
    if not faces or faces[0].blendshape_scores is None:
        raise DetectionError(expected="a face in the rendered picture", got="none", do="look at the head with `--sheet`")
    return np.array([faces[0].blendshape_scores.get(name, 0.0) for name in ARKIT_BLENDSHAPES])


def unknown_shapes(answers: Mapping[str, Sequence[Answer]]) -> tuple[str, ...]:
    """Shapes that the network does not respond to on any of the heads (answers by head name, all to the same questions).

    A shape is known if its mirror image is: no network knows the left corner of a mouth and not the right one.
    """
    best = {row[0].question.name: max(answer.rise for answer in row) for row in zip(*answers.values(), strict=True)}
    return tuple(name for name in best if max(best[name], best.get(mirror_name(name), 0.0)) < MIN_RISE and name in ARKIT_BLENDSHAPES)


def passed_share(answers: Sequence[Answer], left_out: Sequence[str]) -> tuple[int, int]:
    """(passed, judged) shapes of one head, without gaze and those left out."""
    judged = [answer for answer in answers if not answer.question.is_gaze and answer.question.name not in left_out]
    return sum(answer.passes for answer in judged), len(judged)
