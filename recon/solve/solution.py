"""What a solve has found so far; every stage makes the next one from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from recon.solve.bundle import RoundReport
from recon.solve.problem import Problem
from recon.solve.state import HeadState
from recon.solve.unlike_skin import SkinMap
from recon.uncertainty import Uncertainty


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """Where a solve ended."""

    state: HeadState
    problem: Problem
    registered: list[int]
    """Indices of the prepared views that the result rests on, ascending."""
    rejected: dict[int, str]
    """Why each other view does not take part."""
    reports: tuple[RoundReport, ...]
    """The last round of every dense stage, for the log."""
    notes: tuple[str, ...] = ()
    strangers: frozenset[int] = frozenset()
    """Rejected views that show another person and are not to be registered."""
    skin: SkinMap | None = None
    """Where the pictures show this person's skin, and where hair, a beard, glasses or cloth; None where pictures were not matched."""
    uncertainty: Uncertainty | None = None
    """Spread of the surface, which recon/solve/uncertainty.py adds after the last stage."""
    corrections: Mapping[int, np.ndarray] | None = None
    """By instant (V, 3) float32 metres, head frame: what generic shapes miss of a lively face, on top of neutral and weights."""
