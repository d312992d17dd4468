"""Which files of a source are pictures and videos, and what is said of those that are left out."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from assets.counting import how_many
from assets.errors import InputError
from recon.photo_formats import IMAGE_SUFFIXES, RAW_SUFFIXES, UNREAD_SUFFIXES, listed, why_not_read
from recon.video import VIDEO_SUFFIXES

MAX_FOLDER_DEPTH = 3
"""How deep folders inside are looked into, to say where pictures lie."""

MAX_NAMED_FOLDERS = 4
"""Of more folders with pictures than this the last ones are counted, not named."""


@dataclasses.dataclass(frozen=True)
class SourceFiles:
    """What a source holds, each in natural name order."""

    images: tuple[Path, ...] = ()
    """Photos of endings that are read."""
    videos: tuple[Path, ...] = ()
    unread: tuple[Path, ...] = ()
    """Pictures of endings that are known, but not read; a camera raw file beside a photo of its name is none of them."""
    notes: tuple[str, ...] = ()
    """What was left out."""


def source_files(path: Path) -> SourceFiles:
    """The files of a folder (or of its folder `images`, where it has no pictures of its own), or the one file that was given.

    Raises InputError where there is no picture: it says in which folders inside there are some.
    """
    if path.is_file():
        return _single(path)
    folder, files = path, folder_files(path)
    if not _pictures(files) and (path / "images").is_dir():
        folder, files = path / "images", folder_files(path / "images")
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    spare = _raw_beside_photos(files, images)
    unread = [file for file in files if file.suffix.lower() in UNREAD_SUFFIXES and file not in spare]
    if not images and not videos:
        _require_any(path, files, unread)
    notes = [*_notes_on_others(files, spare, len(images) + len(videos)), *_notes_on_folders(folder)]
    return SourceFiles(tuple(images), tuple(videos), tuple(unread), tuple(notes))


def folder_files(folder: Path) -> list[Path]:
    """Files in natural name order (IMG_2 before IMG_10); names starting with a dot are the system's own."""
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    return sorted(
        files, key=lambda file: ([int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name.lower())], file.name)
    )


def _single(path: Path) -> SourceFiles:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return SourceFiles(images=(path,))
    if suffix in VIDEO_SUFFIXES:
        return SourceFiles(videos=(path,))
    reason = why_not_read(path)
    raise InputError(
        expected=f"a photo ({listed(IMAGE_SUFFIXES)}) or a video ({listed(VIDEO_SUFFIXES)})",
        got=f"{path}: {reason}" if reason else str(path),
        do="convert the file, or give the folder with the photos",
    )


def _require_any(path: Path, files: Sequence[Path], unread: Sequence[Path]) -> None:
    """Raises InputError that says where pictures lie, and why those are not read that are here."""
    inside = dict(folders_with_pictures(path))
    held = [how_many(len(files), "other file")] if len(files) > len(unread) else []
    if unread:
        held = [f"{how_many(len(unread), 'picture')} that cannot be read ({unread[0].name}: {why_not_read(unread[0])})", *held]
    if inside:
        held = [*(held or ["no pictures of its own"]), f"{how_many(sum(inside.values()), 'picture')} in {_named(inside)}"]
    do = "give the folder that holds the photos themselves; folders inside it are not searched"
    if inside:
        first = next(iter(inside))
        these = (
            f"the folder that shows the person: {path / first}" if len(inside) == 1 else f"these folders as sources, such as {path / first}"
        )
        do = f"folders inside are not searched: give {these}" + (
            "" if len(inside) == 1 else "; several go in together if they show one person"
        )
    elif unread:
        do = "export them, and give the folder that holds the photos"
    raise InputError(
        expected=f"a folder with photos ({listed(IMAGE_SUFFIXES)}) or videos ({listed(VIDEO_SUFFIXES)})",
        got=f"{path} with {', '.join(held) or 'no files'}",
        do=do,
    )


def folders_with_pictures(folder: Path) -> Iterator[tuple[str, int]]:
    """Name, relative to `folder`, and number of photos and videos of each folder inside that has some, in name order.

    Looks MAX_FOLDER_DEPTH deep, and not into hidden folders or an output folder of this program.
    """
    for at, names, files in os.walk(folder):
        here = Path(at)
        depth = len(here.relative_to(folder).parts)
        names[:] = sorted(name for name in names if not name.startswith(".") and not (here / name / "run.json").exists())
        count = len(_pictures([here / name for name in files if not name.startswith(".")]))
        if depth and count:
            yield here.relative_to(folder).as_posix(), count
        if depth == MAX_FOLDER_DEPTH:
            names.clear()


def _named(folders: dict[str, int]) -> str:
    """How many folders, and the first of them with what they hold: "3 folders inside: left (8), right (9), up (2)"."""
    named = ", ".join(f"{name} ({count})" for name, count in list(folders.items())[:MAX_NAMED_FOLDERS])
    more = len(folders) - MAX_NAMED_FOLDERS
    return f"{how_many(len(folders), 'folder')} inside: {named}" + (f" and {more} more" if more > 0 else "")


def _pictures(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES]


def _raw_beside_photos(files: Sequence[Path], images: Sequence[Path]) -> list[Path]:
    """Camera raw files whose photo, of the same name but for the ending, is read."""
    stems = {image.stem.lower() for image in images}
    return [file for file in files if file.suffix.lower() in RAW_SUFFIXES and file.stem.lower() in stems]


def _notes_on_others(files: Sequence[Path], spare: Sequence[Path], num_pictures: int) -> list[str]:
    others = [file.name for file in files if file.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES | UNREAD_SUFFIXES]
    notes = []
    if spare:
        lie = how_many(len(spare), "camera raw file lies", "camera raw files lie")
        notes.append(f"{lie} beside a photo of the same name, which was taken instead (such as {spare[0].name})")
    if len(others) > max(num_pictures, 5):
        notes.append(f"{len(others)} files are neither photo nor video and were left out (such as {others[0]})")
    return notes


def _holds_pictures(folder: Path) -> bool:
    """Whether a folder has pictures that could be a further source; one that may not be read (a card's lost+found) has none."""
    try:
        return not (folder / "run.json").exists() and bool(_pictures(folder_files(folder)))
    except OSError:
        return False


def _notes_on_folders(folder: Path) -> list[str]:
    """A note where folders inside hold pictures; an output folder of this program is none of them."""
    inside = [inner for inner in sorted(folder.iterdir()) if inner.is_dir() and not inner.name.startswith(".")]
    names = [inner.name for inner in inside if _holds_pictures(inner)]
    if not names:
        return []
    these = (
        f"the folder {names[0]} inside holds pictures too and was"
        if len(names) == 1
        else f"{len(names)} folders inside hold pictures too and were"
    )
    return [f"{these} not searched" + ("" if len(names) == 1 else f" (such as {names[0]})") + ": give it as a further source"]
