"""Named artefacts in the output folder: atomic writes, hashes, plain JSON, and the stamps by which a stage is known to be done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assets.atomic import write_text
from assets.errors import ArtifactError, InputError

SCHEMA_VERSION = 1
"""Version of run.json, capture.json, frames.json and evaluation.json; a reader refuses any other."""

ARTEFACTS: Mapping[str, str] = {
    "capture": "capture.json",
    "fit": "avatar",
    "sweep": "sweep.json",
    "render": "render",
    "control": "control",
    "train": "model",
    "generate": "frames",
    "export": "export",
    "evaluate": "evaluation.json",
    "report": "report.html",
}
"""Stage and the artefact that it leaves in the output folder."""


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


def write_json(path: Path, record: Any) -> Path:
    """Write a record as indented JSON with its schema version first."""
    body = {"schema_version": SCHEMA_VERSION, **plain(record)}
    return write_text(path, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what write_json wrote; raises ArtifactError where the file is absent, broken, or of another schema version."""
    record = read_object(path)
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            expected=f"schema version {SCHEMA_VERSION} in {path}", got=repr(version), do="run its stage again with this version of recon"
        )
    return record


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of any schema; raises ArtifactError where the file is absent or broken."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            expected=f"the artefact {path.name}", got=f"no file {path}", do="run the stage that writes it, or `recon run`"
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(expected=f"JSON in {path}", got=str(error), do="delete the file and run its stage again") from error
    if not isinstance(record, dict):
        raise ArtifactError(expected=f"a JSON object in {path}", got=type(record).__name__, do="delete the file and run its stage again")
    return record


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, or of a folder's relative names and contents; hidden files are left out."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
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


def hash_files(files: Iterable[Path], *, base: Path) -> dict[str, str]:
    """SHA-256 by path relative to `base`; "unreadable" for a file that cannot be read, so that its reader gives it a status."""
    return {Path(os.path.relpath(path, base)).as_posix(): _sha256_or_unreadable(path) for path in files}


def _sha256_or_unreadable(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return "unreadable"


def hash_of_record(record: Any) -> str:
    """SHA-256 of a record's plain JSON with sorted keys."""
    return hashlib.sha256(json.dumps(plain(record), sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Stamp:
    """What a finished stage leaves in `.stages/NAME.json`."""

    stage: str
    key: str
    """Hash of everything that decides the result: the stage's settings, the keys before it, and the contents that it read."""
    settings: Mapping[str, Any]
    reads: Mapping[str, str]
    """Artefact name to SHA-256 of what the stage read."""
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


def changed_since(out: Path, stage: str) -> list[str]:
    """Artefacts that a finished stage read and that are other ones, or gone, by now; none where the stage left no stamp."""
    stamp = read_stamp(out, stage)
    return [name for name, digest in (stamp.reads if stamp else {}).items() if not (out / name).exists() or sha256_of(out / name) != digest]
