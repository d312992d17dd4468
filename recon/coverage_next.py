"""Which photo to take next: the direction and expression that the coverage model expects most of, in plain words."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from recon.coverage import (
    EXPRESSIVE_WORTH,
    FULL_WORTH_DEG,
    Coverage,
    CoverSurface,
    SeenFrom,
    added_information,
    direction_of,
    loss_mm,
    pair_information,
    spread_mm,
    visibility,
    with_view,
)
from recon.coverage_expressions import EXPRESSIONS

YAWS_DEG: tuple[float, ...] = tuple(float(yaw) for yaw in range(-90, 91, 15))
PITCHES_DEG: tuple[float, ...] = (-30.0, 0.0, 30.0)
"""Directions that a photographer can be told: around the head in steps of 15 degrees, at eye height and well above or below it."""

MIN_GAIN = 0.01
"""A photo that is expected to take off less than this share is not asked for."""

PLAIN_FIRST = 0.9
"""Of photos worth nearly the same, the one that is easier to take is asked for: level before tilted, at rest before an expression."""


@dataclasses.dataclass(frozen=True)
class NextPhoto:
    """A photo worth taking."""

    yaw_deg: float
    pitch_deg: float
    expression: str
    """One of EXPRESSIONS, "" for a face at rest."""
    gain: float
    """Share of the expected error that it takes off, in [0, 1]."""
    areas: tuple[str, ...]
    """Where it helps most, plain words, at most two."""
    text: str
    """The request in plain words, with direction and reason."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidate:
    yaw_deg: float
    pitch_deg: float
    group: int
    """Index of the expression, -1 for rest."""
    direction: np.ndarray
    seen: np.ndarray

    @property
    def shows(self) -> np.ndarray:
        return np.arange(len(EXPRESSIONS)) == self.group

    @property
    def rest(self) -> float:
        return 1.0 if self.group < 0 else EXPRESSIVE_WORTH

    @property
    def effort(self) -> int:
        """0 for a level photo at rest; each thing that has to be asked for adds one."""
        return int(self.pitch_deg != 0) + int(self.group >= 0)


def next_photos(coverage: Coverage, count: int = 3) -> tuple[NextPhoto, ...]:
    """The photos to take next, best first, each as if those before it had been taken; fewer where little is left to gain."""
    candidates, chosen = _candidates(coverage.surface), []
    for _ in range(count):
        before = coverage.loss_mm
        gains = [1.0 - _loss_with(coverage, candidate) / before for candidate in candidates]
        best = _easiest_of_the_best(candidates, gains)
        if gains[best] < MIN_GAIN:
            break
        candidate = candidates[best]
        chosen.append(_described(coverage, candidate, gains[best]))
        coverage = with_view(coverage, candidate.direction, candidate.seen, candidate.rest, candidate.shows)
    return tuple(chosen)


def gain_map(coverage: Coverage, yaws_deg: np.ndarray, pitches_deg: np.ndarray) -> np.ndarray:
    """(len(pitches), len(yaws)) share of the expected error of the head at rest that a further level face from there takes off."""
    pitch, yaw = (grid.ravel() for grid in np.meshgrid(pitches_deg, yaws_deg, indexing="ij"))
    directions = direction_of(yaw, pitch)
    seen = visibility(coverage.surface, directions)
    shows, before = np.zeros(len(EXPRESSIONS), bool), float(coverage.sd_mm @ coverage.surface.importance)
    after = [
        spread_mm(coverage.information + added_information(coverage, directions[k], seen[k], 1.0, shows), coverage.surface)[0]
        @ coverage.surface.importance
        for k in range(len(yaw))
    ]
    return (1.0 - np.array(after) / before).reshape(len(pitches_deg), len(yaws_deg))


def yaw_gaps(views: Sequence[SeenFrom]) -> list[tuple[float, float]]:
    """(from, to) degrees of yaw, -90 to 90, between neighbouring views that are too far apart to be matched fully."""
    yaws = sorted({-90.0, 90.0, *(float(np.clip(view.yaw_deg, -90, 90)) for view in views if view.is_placed)})
    placed = [view.yaw_deg for view in views if view.is_placed]
    # The ends count as gaps only where the outermost view is no profile.
    limits = {(a, b): 30.0 if {a, b} & {-90.0, 90.0} - set(placed) else 35.0 for a, b in itertools.pairwise(yaws)}
    return [pair for pair, limit in limits.items() if pair[1] - pair[0] > limit]


def _candidates(surface: CoverSurface) -> list[_Candidate]:
    places = [(yaw, pitch) for pitch in PITCHES_DEG for yaw in YAWS_DEG]
    directions = direction_of(*np.array(places).T)
    seen = visibility(surface, directions)
    return [
        _Candidate(*places[k], group, directions[k], seen[k])
        for k in range(len(places))
        for group in range(-1, len(EXPRESSIONS))
        # An expression is asked for level and from where the face is seen.
        if group < 0 or (places[k][1] == 0 and abs(places[k][0]) <= 60)
    ]


def _loss_with(coverage: Coverage, candidate: _Candidate) -> float:
    return loss_mm(coverage.information + _added(coverage, candidate), coverage.surface)


def _added(coverage: Coverage, candidate: _Candidate) -> np.ndarray:
    """(1 + E, P): what a candidate adds to a set."""
    added = added_information(coverage, candidate.direction, candidate.seen, candidate.rest, candidate.shows)
    if not len(coverage.directions):
        # A first photo has no partner: it is worth what two of its kind would show, so that a set can begin.
        added[0] += candidate.rest * pair_information(np.array(FULL_WORTH_DEG)) * candidate.seen**2
    return added


def _easiest_of_the_best(candidates: list[_Candidate], gains: list[float]) -> int:
    good = [k for k, gain in enumerate(gains) if gain >= PLAIN_FIRST * max(gains)]
    return min(good, key=lambda k: (candidates[k].effort, -gains[k], abs(candidates[k].yaw_deg)))


def _described(coverage: Coverage, candidate: _Candidate, gain: float) -> NextPhoto:
    surface, added = coverage.surface, _added(coverage, candidate)
    row = 0 if candidate.group < 0 else 1 + candidate.group
    drop = (spread_mm(coverage.information, surface) - spread_mm(coverage.information + added, surface))[row] * surface.importance
    totals = {area: sum(d for d, a in zip(drop, surface.areas, strict=True) if a == area) for area in sorted(set(surface.areas))}
    areas = tuple(sorted(totals, key=lambda area: -totals[area])[:2])
    where = in_words(candidate.yaw_deg, candidate.pitch_deg)
    group = None if candidate.group < 0 else EXPRESSIONS[candidate.group]
    face = "face at rest" if group is None else group.ask
    text = f"{where[0].upper()}{where[1:]}, {face}. {_reason(coverage, candidate, areas)}"
    return NextPhoto(candidate.yaw_deg, candidate.pitch_deg, "" if group is None else group.name, float(gain), areas, text)


def _reason(coverage: Coverage, candidate: _Candidate, areas: tuple[str, ...]) -> str:
    where = " and ".join(f"the {area}" for area in areas)
    if candidate.group >= 0:
        shown = int(coverage.shows[:, candidate.group].sum())
        if shown == 0:
            return f"No picture shows this expression; it moves {where} most."
        counted = {1: "Only one picture shows"}.get(shown, f"{shown} pictures show")
        return f"{counted} this expression: a further side gives {where} depth."
    if not len(coverage.directions):
        return f"Begin with this one: it shows {where} best."
    return f"It adds most to {where}, which too few pictures see from two sides."


def in_words(yaw_deg: float, pitch_deg: float) -> str:
    """Where the photographer stands, by the person's own left and right: "from the person's left at 45 degrees, level"."""
    turn, tilt = round(abs(yaw_deg)), round(abs(pitch_deg))
    side = "left" if yaw_deg < 0 else "right"
    if turn < 8:
        around = "from straight in front"
    elif turn >= 83:
        around = f"from the person's {side}, a full profile"
    else:
        around = f"from the person's {side} at {turn} degrees"
    if tilt < 8:
        return f"{around}, level"
    return f"{around}, from {'below' if pitch_deg > 0 else 'above'} at {tilt} degrees"
