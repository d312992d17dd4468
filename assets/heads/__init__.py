"""Registry of head models: the names that `--head` takes."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from assets.errors import MissingAssetError, RangeError
from assets.head_model import HeadModel, check_head
from assets.heads.listing import HeadEntry as HeadEntry
from assets.licences import LicencedPart
from assets.refinement import split_name
from assets.subdivide import MAX_LEVELS

HEAD_NAMES: tuple[str, ...] = ("anny", "ict", "flame:PATH")
"""Names that `load_head` knows; each may be followed by "+1" or "+2", subdivided that often."""

_FLAME = "flame:"


@dataclasses.dataclass(frozen=True)
class HeadName:
    """A head's name taken apart."""

    family: str
    """"anny", "ict" or "flame"."""
    file: Path | None
    """Absolute path of FLAME's file; None for the others."""
    levels: int
    """How often the head is subdivided, 0 to 2."""

    def __str__(self) -> str:
        return (f"{_FLAME}{self.file}" if self.file else self.family) + (f"+{self.levels}" if self.levels else "")


def parse_head_name(name: str) -> HeadName:
    """The parts of a head's name; raises RangeError, with the nearest name that is valid, for any other."""
    base, levels = _split_levels(name)
    if not 0 <= levels <= MAX_LEVELS:
        raise RangeError(expected=f"a head subdivided at most {MAX_LEVELS} times", got=repr(name), do=f"use {base}+{MAX_LEVELS}")
    if base in ("anny", "ict"):
        return HeadName(base, None, levels)
    if base.startswith(_FLAME) and base != _FLAME:
        return HeadName("flame", Path(base.removeprefix(_FLAME)).expanduser().absolute(), levels)
    raise RangeError(
        expected=f"the name of a head model: {', '.join(HEAD_NAMES)}, each optionally with +1 or +2", got=repr(name), do=_nearest(base)
    )


def _split_levels(name: str) -> tuple[str, int]:
    """A name and its number of subdivisions; a file whose own name ends in +1 is that file."""
    is_file = name.startswith(_FLAME) and Path(name.removeprefix(_FLAME)).expanduser().is_file()
    return (name, 0) if is_file else split_name(name)


def _nearest(base: str) -> str:
    """What the user may have meant; a file of FLAME's kind without the prefix is told apart from a slip."""
    if base.lower().endswith((".pkl", ".npz")):
        return f"did you mean '{_FLAME}{base.split(':', 1)[-1]}'?"
    near = difflib.get_close_matches(base.lower().split(":")[0], ("anny", "ict", "flame"), 1, 0.0)
    meant = near[0] if near else HEAD_NAMES[0]
    return f"did you mean {'flame:PATH' if meant == 'flame' else meant!r}?"


def load_head(name: str = "anny", *, licence: str | None = None) -> HeadModel:
    """Loads a head model by name, compiling it into the user's cache on first use; its `name` is the name given.

    `name` is "anny", "ict" or "flame:PATH", each optionally followed by "+1" or "+2". `licence` states the licence of FLAME's file
    ("cc-by-4.0" for the open one of 2023); the other heads' licences are known and it is not looked at.

    Raises RangeError for an unknown name, MissingPackageError or MissingAssetError where the head is not installed, InputError
    where FLAME's file cannot be used, ShapeError where what was loaded breaks the record's contract.
    """
    parsed = parse_head_name(name)
    if parsed.file is not None:
        head = _load_flame(parsed.file, licence)
    else:
        head = _LOADERS[parsed.family]()
    if parsed.levels:
        from assets.heads.subdivided import load_subdivided

        head = load_subdivided(head, parsed.levels)
    return check_head(dataclasses.replace(head, name=str(parsed)))


def _load_anny() -> HeadModel:
    from assets.heads.anny import load_anny

    return load_anny()


def _load_ict() -> HeadModel:
    from assets.heads.ict import load_ict

    return load_ict()


_LOADERS: Mapping[str, Callable[[], HeadModel]] = {"anny": _load_anny, "ict": _load_ict}


def _load_flame(file: Path, licence: str | None) -> HeadModel:
    from assets.heads.flame import load_flame

    if not file.is_file():
        raise MissingAssetError(
            expected="a file of FLAME (.pkl or .npz) that you have licensed and downloaded",
            got=f"no file {file}",
            do="check the path after 'flame:'; the model is given out at flame.is.tue.mpg.de after registration",
        )
    return load_flame(file, licence=licence)


def check_licence_statement(name: str, licence: str | None) -> None:
    """Raises RangeError where a user states the licence of a head that comes with its own: it would change nothing, unnoticed."""
    if licence is not None and parse_head_name(name).file is None:
        raise RangeError(
            expected="a stated licence together with --head flame:PATH, whose file is the user's own",
            got=f"the licence {licence!r} for the head {name!r}, whose licence is known",
            do="leave out --head-licence, or name the FLAME file",
        )


def head_part(name: str, *, licence: str | None = None) -> LicencedPart:
    """Licence of a head by name, known without loading it; raises RangeError for an unknown name."""
    from assets.heads.listing import licence_of

    return licence_of(parse_head_name(name), licence)


def list_heads() -> tuple[HeadEntry, ...]:
    """One entry for each head: Anny, ICT-FaceKit, and how to give a FLAME file. Loads those that are installed (seconds)."""
    from assets.heads.listing import flame_entry

    return (*(describe_head(name) for name in ("anny", "ict")), flame_entry())


def describe_head(name: str, *, licence: str | None = None) -> HeadEntry:
    """The entry of one head, really loaded; what is not installed or broken has a status that says so.

    Raises RangeError for an unknown name.
    """
    from assets.heads.listing import entry_of

    return entry_of(parse_head_name(name), licence, lambda: load_head(name, licence=licence))
