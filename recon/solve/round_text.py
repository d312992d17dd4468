"""One line on a round of a dense stage: what was matched, how well it fits, and what the loss is made of."""

from __future__ import annotations

from collections.abc import Mapping

MIN_SHARE_OF_LOSS = 0.005
"""Terms that make up less of the loss than this are left out of the line."""


def round_text(stage: str, num_matches: int, median_residual_px: float, cost: Mapping[str, float]) -> str:
    """ "fine flow: 36012 matches, 0.31 px; loss 8120 = matches 7205 + landmarks 610 + shape prior 305", the largest terms first.

    The part before the first colon names the stage, so that a progress bar can keep it while the figures change.
    """
    total = sum(cost.values())
    named = [(value, name) for name, value in cost.items() if value > MIN_SHARE_OF_LOSS * total]
    terms = sorted(named, key=lambda term: (-term[0], term[1]))
    loss = f"; loss {total:.0f} = " + " + ".join(f"{name} {value:.0f}" for value, name in terms) if terms else ""
    return f"{stage}: {num_matches} matches, {median_residual_px:.2f} px{loss}"
