"""`expressions.yaml` of an avatar folder: the person's named expressions, in words that the user may edit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assets.blendshapes import check_weights
from assets.errors import ArtifactError, RangeError
from recon.avatar import NamedExpression

HEADER = """\
# Expressions of this person by name, for sweeps and captions. Rename them, say what each means and when the person does it,
# change weights, add or delete some: the file is read back as it stands. Comments of your own are lost when it is written anew.
"""

_KEYS = ("name", "meaning", "when", "weights", "views")
_DO = "correct the file, or delete it: the avatar is whole without it"


def expressions_text(expressions: Sequence[NamedExpression]) -> str:
    """The file's text; `parse_expressions` gives back equal records, weights to the bit."""
    import yaml

    records = [
        {
            "name": expression.name,
            "meaning": expression.meaning,
            "when": expression.when,
            "weights": {name: float(weight) for name, weight in expression.weights.items()},
            "views": list(expression.views),
        }
        for expression in expressions
    ]
    return HEADER + yaml.safe_dump({"expressions": records}, sort_keys=False, allow_unicode=True, width=120)


def read_expressions(path: Path) -> tuple[NamedExpression, ...]:
    """The expressions of a file; () where there is no such file. Raises ArtifactError, with the place, for one that makes no sense."""
    if not path.is_file():
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(expected="a text file of expressions", got=f"{path}: {error}", do=_DO) from error
    return parse_expressions(text, str(path))


def with_kept_words(expressions: Sequence[NamedExpression], older: Sequence[NamedExpression]) -> tuple[NamedExpression, ...]:
    """New expressions with the names and words that the user gave the older ones; what the user wrote is never lost.

    An older expression lives on in the new one with which it shares most pictures, if that is half of all that either has, else
    in the one of its name. One that lives on nowhere is kept as it was where somebody wrote what it means or when it is made, or
    put it in by hand (it has no pictures), unless its name is taken.
    """
    kept = list(expressions)
    free = set(range(len(kept)))
    for old in older:
        heir = max(free, key=lambda index: _likeness(old, kept[index]), default=None)
        if heir is not None and _likeness(old, kept[heir]) > 0:
            free.discard(heir)
            kept[heir] = dataclasses.replace(kept[heir], name=old.name, meaning=old.meaning, when=old.when)
        elif old.meaning or old.when or not old.views:
            kept.append(old)
    # What is no longer free, and what came after, bears a name of the user's.
    return _once_each(kept, [index for index in range(len(kept)) if index not in free])


def _likeness(one: NamedExpression, other: NamedExpression) -> float:
    """Pictures that both have as a share of all that either has, from a half on; less than that for the same name, 0 otherwise."""
    either = set(one.views) | set(other.views)
    share = len(set(one.views) & set(other.views)) / len(either) if either else 0.0
    return share if share >= 0.5 else 0.25 * (one.name == other.name)


def _once_each(expressions: Sequence[NamedExpression], users_own: Sequence[int]) -> tuple[NamedExpression, ...]:
    """No name twice: those at the places `users_own` keep theirs, the others get a number where theirs is taken."""
    result = list(expressions)
    names = {expressions[index].name for index in users_own}
    for index in sorted(set(range(len(result))) - set(users_own)):
        name, number = result[index].name, 2
        while name in names:
            name, number = f"{result[index].name} {number}", number + 1
        names.add(name)
        result[index] = dataclasses.replace(result[index], name=name)
    return tuple(result)


def parse_expressions(text: str, where: str) -> tuple[NamedExpression, ...]:
    """The expressions of the file's text; `where` is the file's name in errors.

    Raises ArtifactError for a text that is not YAML, an entry without name or weights, an unknown key or weight, a name that
    stands twice.
    """
    import yaml

    try:
        record = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A date that no calendar has and a list a thousand deep are errors of Python's own.
        raise ArtifactError(expected="a YAML file", got=f"{where}: {' '.join(str(error).split())}", do=_DO) from error
    entries = record.get("expressions") if isinstance(record, dict) else None
    if record is None or (isinstance(record, dict) and entries is None):
        entries = []
    if not isinstance(entries, list):
        raise ArtifactError(expected="a list under `expressions:`", got=f"{type(entries).__name__} in {where}", do=_DO)
    expressions = tuple(_expression(entry, f"entry {number} of {where}") for number, entry in enumerate(entries, 1))
    names = [expression.name for expression in expressions]
    for name in names:
        if names.count(name) > 1:
            raise ArtifactError(expected="names that stand once each", got=f"{name!r} {names.count(name)} times in {where}", do=_DO)
    return expressions


def _expression(entry: Any, where: str) -> NamedExpression:
    if not isinstance(entry, dict) or not set(entry) <= set(_KEYS) or not {"name", "weights"} <= set(entry):
        keys = ", ".join(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
        raise ArtifactError(expected=f"name and weights, perhaps {', '.join(_KEYS[1:])}", got=f"{keys} in {where}", do=_DO)
    name = _text(entry["name"], "name", where)
    if not name.strip():
        raise ArtifactError(expected="a name", got=f"none in {where}", do=_DO)
    where = f"{where} ({name!r})"
    views = entry.get("views") or []
    if not isinstance(views, list):
        raise ArtifactError(expected="a list of pictures as `views`", got=f"{views!r} in {where}", do=_DO)
    return NamedExpression(
        name=name,
        weights=_weights(entry["weights"], where),
        views=tuple(_text(view, "views", where) for view in views),
        meaning=_text(entry.get("meaning") or "", "meaning", where),
        when=_text(entry.get("when") or "", "when", where),
    )


def _text(value: Any, key: str, where: str) -> str:
    """YAML reads a bare `yes`, `1` or date as something else than text."""
    if not isinstance(value, str):
        raise ArtifactError(expected=f"text as `{key}`", got=f"{value!r} in {where}", do="put it between quotes")
    return value


def _weights(value: Any, where: str) -> dict[str, float]:
    try:
        if not isinstance(value, dict) or any(isinstance(weight, bool) for weight in value.values()):
            raise ValueError(f"{value!r} is not a list of weights by name")
        # YAML 1.1 takes 1e-3, without a point, for text.
        return check_weights({str(name): float(weight) for name, weight in value.items()})
    except (TypeError, ValueError, RangeError) as error:
        cause = f"{error.got}: {error.do}" if isinstance(error, RangeError) else str(error)
        raise ArtifactError(expected="ARKit weights by name", got=f"{cause} in {where}", do=_DO) from error
