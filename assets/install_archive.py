"""ICT-FaceKit out of whatever the user has of it: folder, packed NPZ, zip or tar archive; archives are never unpacked to disk."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from assets.errors import InputError
from assets.heads.ict_source import IctSource, read_ict, read_objs

Progress = Callable[[str, int, int], None]

MODEL_FOLDER, PACKED_FILE = "FaceXModel", "ict_facekit.npz"

MAX_MEMBER_BYTES = 16_000_000
"""Upstream's OBJ files have 2.6 MB; a longer one is not of them, or a bomb."""


def read_given_ict(path: Path, *, progress: Progress | None = None) -> IctSource:
    """ICT-FaceKit from a clone's folder, a packed NPZ or a folder with one, or a zip or tar archive of the clone.

    Of an archive only the needed members are read, into memory. Raises InputError where it is something else, damaged, incomplete,
    or an archive with links or with names that lead out of it.
    """
    if path.is_dir():
        return read_ict(path / PACKED_FILE if (path / PACKED_FILE).is_file() else path, progress=progress)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if "template.npy" not in archive.namelist():
                    return read_objs(_zip_members(archive, path), path, progress=progress)
            return read_ict(path)
        with tarfile.open(path, "r:*") as archive:
            return read_objs(_tar_members(archive, path), path, progress=progress)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        # Damaged gzip and bzip2 streams are OSErrors without a number; all others are the disk's.
        if error.errno is not None:
            raise
        raise _unreadable(path, error) from error


def _zip_members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, bytes]]:
    for member in archive.infolist():
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if _is_wanted(member.filename, is_link, member.file_size, path):
            yield PurePosixPath(member.filename).name, archive.read(member)


def _tar_members(archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        special = not (member.isfile() or member.isdir())
        if _is_wanted(member.name, special, member.size, path) and (content := archive.extractfile(member)) is not None:
            yield PurePosixPath(member.name).name, content.read()


def _is_wanted(name: str, is_special: bool, size: int, path: Path) -> bool:
    """Whether an archive's member is an OBJ file of the model; InputError for one that no honest archive has."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    # The archive's own folder is a member "." of a tar made by `tar -C FOLDER .`, and has no parts.
    if is_special or (parts and (parts[0] == "/" or ":" in parts[0] or ".." in parts)):
        raise InputError(
            expected="an archive of plain files and folders below one folder",
            got=f"{'a link or device' if is_special else 'a path that leads out of it'}: {name!r} in {path}",
            do="do not trust this archive; leave --from away to download from the makers",
        )
    wanted = len(parts) > 1 and parts[-2] == MODEL_FOLDER and parts[-1].endswith(".obj")
    if wanted and size > MAX_MEMBER_BYTES:
        raise InputError(
            expected=f"OBJ files of at most {MAX_MEMBER_BYTES / 1e6:.0f} MB",
            got=f"{name} of {size / 1e6:.0f} MB in {path}",
            do="take an archive of the makers",
        )
    return wanted


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        expected="a folder, a packed NPZ, a zip or a tar archive of ICT-FaceKit",
        got=f"{path}, which cannot be read: {error or type(error).__name__}",
        do="fetch it again, or leave --from away to download it from the makers",
    )
