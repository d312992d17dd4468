"""Where an avatar was looked for and is not: what lies there instead, and what beside it has nearly the same name."""

from __future__ import annotations

import difflib
from pathlib import Path

from assets.errors import ArtifactError

RECORD = "avatar.json"
"""The file by which an avatar folder is known."""

MAX_NAMED = 5
"""Of the avatars beside a path, so many are named."""


def check_avatar_place(folder: Path) -> None:
    """Raises ArtifactError where a path does not exist or holds no avatar, naming what does."""
    if (folder / RECORD).exists():
        return
    wanted = "the folder of an avatar, or an output folder that holds one"
    if folder.is_dir():
        inside = _avatars_in(folder)
        do = f"give {_listed(inside)}" if inside else "give the folder that `recon fit --out` wrote, or fit one there"
        raise ArtifactError(expected=wanted, got=f"{folder}, a folder without {RECORD}", do=do)
    if folder.exists():
        raise ArtifactError(expected=wanted, got=f"{folder}, which is a file", do="give the folder in which the avatar's files lie")
    raise ArtifactError(expected=wanted, got=f"{folder}, which does not exist", do=_instead(folder))


def _instead(path: Path) -> str:
    """What to give for a path that does not exist: the nearest name where its first missing part should be, else avatars there."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    place = missing.parent
    names = [found.name for found in _entries(place)]
    near = difflib.get_close_matches(missing.name, names, 1)
    if near:
        # The rest of the path is kept where it leads somewhere from there.
        rest = path.relative_to(missing)
        return f"try {place / near[0] / rest if (place / near[0] / rest).exists() else place / near[0]}"
    avatars = _avatars_in(place)
    if avatars:
        return f"correct the path; beside it lies {_listed(avatars)}"
    return f"correct the path: {place.resolve()} exists and holds no avatar, nor anything of a name like {missing.name!r}"


def _avatars_in(place: Path) -> list[Path]:
    """Folders inside `place` that are avatars, or output folders that hold one."""
    return [found for found in _entries(place) if (found / RECORD).is_file() or (found / "avatar" / RECORD).is_file()]


def _entries(place: Path) -> list[Path]:
    try:
        return sorted(found for found in place.iterdir() if not found.name.startswith("."))
    except OSError:
        return []


def _listed(paths: list[Path]) -> str:
    more = len(paths) - MAX_NAMED
    return " or ".join(map(str, paths[:MAX_NAMED])) + (f" or one of {more} more" if more > 0 else "")
