"""Every head model that the contract is tested on, loaded once a session, with helpers that measure on any of them."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.head_model import PARTS, REGIONS, HeadModel

HEAD_NAMES = ("anny", "ict", "flame", "anny+1")
"""Heads under test; ICT's source is looked for in $RECON_DATA, a FLAME-shaped file is made here."""

DATA = Path(os.environ.get("RECON_DATA", Path(__file__).parents[3] / "shared"))


@functools.cache
def load(name: str) -> HeadModel:
    """One of HEAD_NAMES; skips the test where its source is absent."""
    from assets.heads import load_head

    if name == "ict":
        from assets.heads.ict import load_ict

        source = DATA / "assets/ict_facekit.npz"
        if not source.is_file():
            pytest.skip(f"no {source}: set RECON_DATA to the folder that holds assets/ict_facekit.npz")
        return load_ict(source)
    if name == "flame":
        from assets.heads.flame import load_flame
        from tests.assets.flame_file import flame_path

        return load_flame(flame_path())
    return load_head(name)


def part(head: HeadModel, name: str) -> np.ndarray:
    """(V,) bool: the vertices of a part."""
    return head.vertex_parts == PARTS.index(name)


def region(head: HeadModel, name: str) -> np.ndarray:
    """(V,) bool: the vertices of a region."""
    return head.vertex_regions == REGIONS.index(name)


def delta(head: HeadModel, name: str) -> np.ndarray:
    """(V, 3) metres of one ARKit shape at weight 1."""
    return head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]


def present(head: HeadModel) -> list[str]:
    """Names of the shapes that the head can show."""
    return [name for name in ARKIT_BLENDSHAPES if name not in head.absent_blendshapes]


def random_neutrals(head: HeadModel, count: int, seed: int = 11) -> list[np.ndarray]:
    """(V, 3) heads at rest of random people, one standard deviation wide."""
    draws = np.random.default_rng(seed).normal(size=(count, head.num_identity))
    return [head.neutral(draw) for draw in draws]
