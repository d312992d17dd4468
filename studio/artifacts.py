"""Named artefacts in the output folder: atomic writes, hashes, plain JSON, and the stamps by which a stage is known to be done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assets.errors import ArtifactError, InputError

SCHEMA_VERSION = 1
"""Version of run.json, capture.json, frames.json and evaluation.json; a reader refuses any other."""


def open_out_folder(path: Path) -> Path:
    """Create the output folder and prove that it can be written; raises InputError where it cannot."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".write-test-"):
            pass
    except OSError as error:
        raise InputError(
            expected="an output folder that can be created and written", got=f"{path}: {error.strerror or error}", do="give another --out"
        ) from error
    return path.resolve()


def plain(value: Any) -> Any:
    """What JSON can hold: dataclasses as objects, arrays and tuples as lists, paths as text, numbers that are not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file beside its place and rename it, so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_json(path: Path, record: Any) -> Path:
    """Write a record as indented JSON with its schema version first."""
    body = {"schema_version": SCHEMA_VERSION, **plain(record)}
    return write_bytes(path, (json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read what write_json wrote; raises ArtifactError where the file is absent, broken, or of another schema version."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            expected=f"the artefact {path.name}", got=f"no file {path}", do="run the stage that writes it, or `recon run`"
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(expected=f"JSON in {path}", got=str(error), do="delete the file and run its stage again") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            expected=f"schema version {SCHEMA_VERSION} in {path}", got=repr(version), do="run its stage again with this version of recon"
        )
    return record


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, or of a folder's relative names and contents; hidden files are left out."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    for file_path in visible_files(path):
        digest.update(f"{file_path.relative_to(path).as_posix()}\0{sha256_of(file_path)}\n".encode())
    return digest.hexdigest()


def visible_files(folder: Path) -> list[Path]:
    """All files under a folder in name order, leaving out hidden names."""
    found: list[Path] = []
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(current) / name for name in files if not name.startswith(".")]
    return sorted(found)


def hash_inputs(source: Path, *, without: Iterable[Path] = ()) -> dict[str, str]:
    """SHA-256 by relative name of a capture's files: the source itself, and what lies in its folders `images` and `gt`."""
    if source.is_file():
        return {source.name: sha256_of(source)}
    left_out = {path.resolve() for path in without}
    folders = [folder for folder in (source, source / "images", source / "gt") if folder.is_dir() and folder.resolve() not in left_out]
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(source).as_posix(): sha256_of(path) for path in files}


def hash_of_record(record: Any) -> str:
    """SHA-256 of a record's plain JSON with sorted keys."""
    return hashlib.sha256(json.dumps(plain(record), sort_keys=True).encode()).hexdigest()


def replace_path(new: Path, place: Path) -> None:
    """Move a finished file or folder to its place; an older one is moved aside first and then removed."""
    if place.is_dir() and not place.is_symlink():
        aside = place.with_name(f".old-{place.name}")
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(place, aside)
        os.replace(new, place)
        shutil.rmtree(aside)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(new, place)


@dataclasses.dataclass(frozen=True)
class Stamp:
    """What a finished stage leaves in `.stages/NAME.json`."""

    stage: str
    key: str
    """Hash of everything that decides the result: the stage's settings, the keys before it, and the contents that it read."""
    settings: Mapping[str, Any]
    outputs: Mapping[str, str]
    """Artefact name to SHA-256 as the stage left it."""
    summary: str
    """One line for the table."""
    started: str
    """UTC, ISO 8601."""
    wall_s: float
    peak_rss_mb: float


def stamp_path(out: Path, stage: str) -> Path:
    return out / ".stages" / f"{stage}.json"


def read_stamp(out: Path, stage: str) -> Stamp | None:
    """The stamp of a stage, None where there is none that can be read."""
    try:
        record = read_json(stamp_path(out, stage))
        return Stamp(**{field.name: record[field.name] for field in dataclasses.fields(Stamp)})
    except (ArtifactError, KeyError):
        return None


class Staging:
    """A hidden folder in which one stage writes; its content moves to the output folder when the stage is complete.

    A frame-wise stage records each complete frame, so that after an interruption the same stage with the same key goes on.
    """

    def __init__(self, out: Path, stage: str, key: str) -> None:
        self.out = out
        self.folder = out / ".stages" / f"{stage}.partial"
        self._log_path = self.folder / ".frames.json"
        if self._read_log().get("key") != key:
            self.discard()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log: dict[str, Any] = {"frames": [], **self._read_log(), "key": key}

    def _read_log(self) -> dict[str, Any]:
        try:
            return read_json(self._log_path)
        except ArtifactError:
            return {}

    @property
    def done_frames(self) -> list[Any]:
        """The records of frames that are already complete."""
        return list(self._log["frames"])

    @property
    def done_names(self) -> set[str]:
        return {record["name"] for record in self._log["frames"]}

    def frame_done(self, name: str, **facts: Any) -> None:
        """Record one complete frame with what is to be known of it later."""
        self._log["frames"].append({"name": name, **plain(facts)})
        write_json(self._log_path, self._log)

    def publish(self) -> dict[str, str]:
        """Move everything to the output folder; returns artefact name to SHA-256."""
        outputs: dict[str, str] = {}
        for path in sorted(self.folder.iterdir()):
            if not path.name.startswith("."):
                outputs[path.name] = sha256_of(path)
                replace_path(path, self.out / path.name)
        self.discard()
        return outputs

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
