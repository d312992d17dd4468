"""How smooth the free-form offsets have to be, decided by the capture itself: by what predicts left-out measurements best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assets.head_model import HeadModel
from recon.solve.freeform import FreeFormStage, OffsetSystem
from recon.solve.surface_rows import SurfaceRows

WIDTHS_M = (0.0010, 0.0014, 0.0020, 0.0028, 0.0040, 0.0060)
"""Widths of dents that are tried, from as fine as a mesh can show to as wide as a cheek."""
MIN_GAIN = 0.01
"""Share of the left-out loss by which a softer surface has to be better than a stiffer one, and any offsets than none."""


def choose_width_m(
    head: HeadModel, kept: Sequence[SurfaceRows], held_out: Sequence[SurfaceRows], present: np.ndarray, *, finest_m: float = 0.0
) -> float | None:
    """The widest of WIDTHS_M that predicts the left-out measurements best; None where no offsets do so as well.

    Cross-validation (Stone, 1974): offsets are solved from the kept measurements and judged by the Cauchy loss of the left-out ones,
    which share no pair of views with them. On a head that its model explains, or skin with nothing to match, finer offsets are the
    kept pairs' noise and predict nothing; on a person outside the model they do. Ties go to the stiffer surface.

    Args:
        kept, held_out: linearised about offsets `present` (V, 3).
        finest_m: no finer width is tried. Sets of pairs share pictures, whose noise they predict in each other below this size.
    """
    system = OffsetSystem(head, kept, present)
    judge = OffsetSystem(head, held_out, present)
    if not system.num_rows or not judge.num_rows:
        return None
    best, best_loss = None, judge.loss(system.start)
    for width in sorted((width for width in WIDTHS_M if width >= finest_m), reverse=True):
        loss = judge.loss(system.solve(FreeFormStage(width_m=width, iterations=2)))
        if loss < (1.0 - MIN_GAIN) * best_loss:
            best, best_loss = width, loss
        elif best is not None and loss > (1.0 + MIN_GAIN) * best_loss:
            break  # Past the best, more freedom only makes it worse; before it, stiff widths undo offsets that are there.
    return best
