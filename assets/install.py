"""Heads and detector files that are fetched for the user, checked, and kept with their licence."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import difflib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from assets.errors import ArtifactError, InputError, MissingAssetError, RangeError, ReconError
from assets.home import data_home
from assets.install_download import discard_download, download
from assets.install_table import INSTALLABLE as INSTALLABLE
from assets.install_table import Installable as Installable

Progress = Callable[[str, int, int], None]

RECORD_FILE, LICENCE_FILE = "asset.json", "LICENSE"


@dataclasses.dataclass(frozen=True)
class InstalledAsset:
    """What is known of an installed asset: the record `asset.json` beside its file."""

    name: str
    path: Path
    """The installed file itself; the licence lies beside it."""
    source: str
    """URL or path that it was installed from."""
    licence: str
    commercial: bool
    sha256: str
    """Of the installed file, recorded when it was installed."""
    size_bytes: int
    installed_on: str
    """Date, ISO 8601."""


def install(name: str, *, from_path: Path | None = None, progress: Progress | None = None) -> InstalledAsset:
    """Fetches an asset, checks it, and puts it with its licence and record into `data_home()`/assets/NAME, whole or not at all.

    Args:
        name: a key of INSTALLABLE.
        from_path: a file, folder or archive that the user already has; None downloads from the makers' place. A download that
            broke off is continued by the next call.
        progress: called with a label, how much is done (bytes or files) and how much there is (0 where unknown).

    Raises RangeError for an unknown name, MissingAssetError where the download fails, InputError where what came is not what
    was asked for or the disk is full. An earlier installation stays until the new one is complete.
    """
    entry = _entry(name)
    with _disk_told(entry.folder):
        if from_path is not None:
            if not from_path.exists():
                raise InputError(expected=f"a file or folder with {entry.title}", got=f"no {from_path}", do="check the path after --from")
            return _put(entry, from_path, str(from_path.resolve()), progress)
        return _from_makers(entry, progress)


def installed(name: str) -> InstalledAsset | None:
    """The record of an installed asset, None where it is not installed. Its file is not read: see `verified_file`.

    Raises RangeError for an unknown name, ArtifactError where the record is damaged.
    """
    entry = _entry(name)
    record, file = entry.folder / RECORD_FILE, entry.folder / entry.file
    if not record.is_file() or not file.is_file():
        return None
    try:
        fields = json.loads(record.read_text(encoding="utf-8"))
        return InstalledAsset(path=file, **{key.name: fields[key.name] for key in dataclasses.fields(InstalledAsset) if key.name != "path"})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            expected=f"the record of the installed {name} in {record}", got=f"{error!r}", do=f"recon assets install {name}"
        ) from error


def verified_file(asset: InstalledAsset) -> Path:
    """The installed file after comparing it with the hash recorded at its installation (0.05 s); ArtifactError where it differs."""
    found = _sha256(asset.path)
    if found != asset.sha256:
        raise ArtifactError(
            expected=f"{asset.path} as it was installed on {asset.installed_on} (SHA-256 {asset.sha256})",
            got=f"SHA-256 {found}: the file has changed since",
            do=f"recon assets install {asset.name}",
        )
    return asset.path


def check_content(entry: Installable, content_sha256: str, origin: Path) -> None:
    """Raises InputError where the hash of the numbers parsed from `origin` is not that of the entry's version."""
    if content_sha256 != entry.content_sha256:
        raise InputError(
            expected=f"{entry.title} of {entry.version} (SHA-256 of its numbers {entry.content_sha256})",
            got=f"{content_sha256} from {origin}: another version, or changed files",
            do="take the files of that version, or leave --from away to download them",
        )


# --- From what came to what is kept ---------------------------------------------------------------------------------


def _entry(name: str) -> Installable:
    if name not in INSTALLABLE:
        near = difflib.get_close_matches(name, INSTALLABLE, 1, 0.0)[0]
        raise RangeError(expected=f"something to install: {', '.join(INSTALLABLE)}", got=repr(name), do=f"did you mean {near!r}?")
    return INSTALLABLE[name]


def _from_makers(entry: Installable, progress: Progress | None) -> InstalledAsset:
    """Downloads and installs. What was downloaded is kept where the disk failed, and thrown away where it was used or is no use."""
    place = entry.folder.parent / f".{entry.name}.download.part"
    path = download(entry.url, place, max_bytes=entry.max_bytes, label=f"download {entry.name}", progress=progress)
    try:
        asset = _put(entry, path, entry.url, progress)
    except ReconError:
        discard_download(path)
        raise
    discard_download(path)
    return asset


def _put(entry: Installable, given: Path, source: str, progress: Progress | None) -> InstalledAsset:
    """Makes the asset in a folder beside and moves it into place."""
    entry.folder.parent.mkdir(parents=True, exist_ok=True)
    staging = entry.folder.with_name(f".{entry.name}.{os.getpid()}.part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        file = staging / entry.file
        _MAKERS[entry.name](entry, given, file, progress)
        asset = InstalledAsset(
            name=entry.name,
            path=entry.folder / entry.file,
            source=source,
            licence=entry.licence,
            commercial=entry.commercial,
            sha256=_sha256(file),
            size_bytes=file.stat().st_size,
            installed_on=datetime.date.today().isoformat(),
        )
        record = {**dataclasses.asdict(asset), "path": entry.file, "title": entry.title, "version": entry.version}
        (staging / LICENCE_FILE).write_text(entry.licence_text, encoding="utf-8")
        (staging / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        _swap(staging, entry.folder)
        return asset
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(new: Path, place: Path) -> None:
    """The new folder takes the old one's place; where that fails the old one goes back."""
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _make_ict(entry: Installable, given: Path, file: Path, progress: Progress | None) -> None:
    from assets.heads.ict_source import write_packed
    from assets.install_archive import read_given_ict

    source = read_given_ict(given, progress=progress)
    check_content(entry, source.content_hash(), given)
    write_packed(file, source)


def _copy_checked(entry: Installable, given: Path, file: Path, progress: Progress | None) -> None:
    origin = given / entry.file if given.is_dir() else given
    if not origin.is_file():
        raise InputError(expected=f"{entry.file}, or a folder with it", got=f"{given} without it", do="check the path after --from")
    found = _sha256(origin)
    if found != entry.sha256:
        raise InputError(
            expected=f"{entry.file} {entry.version} of SHA-256 {entry.sha256}",
            got=f"{found}, {origin.stat().st_size} bytes, from {given}",
            do=f"take the file from {entry.url}, or leave --from away to download it",
        )
    shutil.copyfile(origin, file)


_MAKERS: dict[str, Callable[[Installable, Path, Path, Progress | None], None]] = {
    "ict-facekit": _make_ict,
    "face-landmarker": _copy_checked,
}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MissingAssetError(expected=f"a file that can be read at {path}", got=str(error), do="install it again") from error


@contextlib.contextmanager
def _disk_told(folder: Path) -> Iterator[None]:
    """What the file system refuses becomes an error in three parts."""
    try:
        yield
    except OSError as error:
        refused = Path(str(error.filename)) if error.filename is not None else None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            expected, got = f"room for an asset in {folder.parent}", "the disk is full"
            do = "free some space, or set RECON_HOME to a folder on another disk"
        elif refused is not None and not refused.is_relative_to(data_home()) and not data_home().is_relative_to(refused):
            expected, got, do = "files that can be read", f"{refused}: {error.strerror}", "check the path after --from"
        else:
            expected, got = f"a folder that can be written: {folder.parent}", error.strerror or str(error)
            do = "set RECON_HOME to a folder of yours"
        raise InputError(expected=expected, got=got, do=do) from error
