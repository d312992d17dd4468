"""Avatars on disk: a folder of `avatar.json`, `avatar.safetensors`, pictures and `expressions.yaml`, exact to the bit.

docs/avatar_files.md says what each file holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assets.errors import ArtifactError, InputError, ReconError
from assets.head_model import HeadModel
from recon.avatar import Avatar
from recon.avatar_places import check_avatar_place
from recon.avatar_record import SCHEMA_VERSION, avatar_of, avatar_record, avatar_tensors, distinct_corrections, upgraded
from recon.expression_file import expressions_text, parse_expressions, read_expressions
from recon.stored_head import check_stored_head, load_stored_head

FILES = ("avatar.json", "avatar.safetensors", "albedo.png", "confidence.png")
"""What every avatar folder has."""
OPTIONAL_FILES = ("normal.png", "hair.png", "expressions.yaml")
"""What it has where the avatar has it; these names are the avatar's too, not for files of the user's own."""
_PICTURES = {"albedo_srgb": ("albedo.png", "RGB"), "confidence": ("confidence.png", "L")}
_OPTIONAL_PICTURES = {"normal_map": ("normal.png", "RGB"), "hair_mask": ("hair.png", "L")}
_REFIT = "run `recon fit` again, or give another avatar folder"


def save_avatar(folder: Path | str, avatar: Avatar) -> Path:
    """Write an avatar folder; returns it.

    Everything is written to a temporary folder beside and renamed, so an older avatar there stays whole until the new one is.
    Files that the user put into that folder are kept. Raises ArtifactError where the avatar holds numbers that are not finite,
    InputError where the folder cannot be written or holds something else than an avatar.
    """
    folder = Path(folder).resolve()
    tensors = avatar_tensors(avatar)
    _check_finite(tensors | {"expression_scale": np.array([avatar.expression_scale])}, f"the avatar to be saved in {folder}")
    text = _record_text(avatar, folder)
    # What could not be read back is refused before anything is written.
    parse_expressions(expressions_text(avatar.expressions), f"the avatar to be saved in {folder}")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / FILES[0]).exists()):
        raise InputError(
            expected="a new folder, an empty one, or one with an older avatar",
            got=f"{folder}, which holds something else",
            do="choose another folder for the avatar",
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise InputError(expected="a folder that can be written", got=f"{folder}: {error}", do="choose another one") from error
    try:
        _write(scratch / "new", avatar, text, tensors)
        _swap(scratch, folder)
    finally:
        _clear(scratch, folder)
    return folder


def load_avatar(folder: Path | str, *, head: HeadModel | None = None) -> Avatar:
    """Read an avatar folder back, to the bit; the head model is loaded by its name unless given.

    Folders of older schema versions are read as avatars without what they lack; `expressions.yaml` counts as the user left it.
    Raises ArtifactError for a missing or broken file, a newer schema version, a head of another topology or shape, or numbers not
    finite; MissingAssetError or MissingPackageError where the head is not installed or FLAME's file is no longer where it was.
    """
    folder = Path(folder)
    check_avatar_place(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise ArtifactError(expected=f"an avatar folder with {', '.join(FILES)}", got=f"no {folder / name}", do=_REFIT)
    record = _read_json(folder / FILES[0])
    head = head or load_stored_head(record["head"], folder)
    check_stored_head(head, record["head"], folder)
    tensors = _read_tensors(folder / FILES[1])
    _check_finite(tensors, str(folder / FILES[1]))
    named = _PICTURES | {field: file for field, file in _OPTIONAL_PICTURES.items() if record.get(field)}
    pictures = {field: _read_png(folder / name, mode) for field, (name, mode) in named.items()}
    expressions = read_expressions(folder / OPTIONAL_FILES[2])
    try:
        avatar = avatar_of(head, record, tensors, pictures, expressions)
    except ReconError as error:
        # Its own parts go into these, so that there is one of each.
        wanted, got = f"a complete avatar record: {error.expected}", f"{folder / FILES[0]}: {error.got}"
        raise ArtifactError(expected=wanted, got=got, do=_REFIT) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(expected="a complete avatar record", got=f"{folder}: {type(error).__name__} {error}", do=_REFIT) from error
    _check_shapes(avatar, folder)
    return avatar


def _record_text(avatar: Avatar, folder: Path) -> str:
    try:
        return json.dumps(avatar_record(avatar), indent=1, allow_nan=False)
    except ValueError as error:
        raise ArtifactError(
            expected="finite numbers in an avatar's record", got=f"{error} in the avatar to be saved in {folder}", do=_REFIT
        ) from error


def _write(folder: Path, avatar: Avatar, text: str, tensors: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save

    folder.mkdir()
    (folder / FILES[0]).write_text(text, encoding="utf-8")
    # Not by save_file, whose error for a full disk is no OSError.
    (folder / FILES[1]).write_bytes(save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
    for field, (name, _) in (_PICTURES | _OPTIONAL_PICTURES).items():
        picture = getattr(avatar, field)
        if picture is not None:
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / name, compress_level=4)
    if avatar.expressions:
        (folder / OPTIONAL_FILES[2]).write_text(expressions_text(avatar.expressions), encoding="utf-8")


def _swap(scratch: Path, folder: Path) -> None:
    """Put scratch/new in the folder's place; the user's own files there move along into the new one.

    Whatever ends it early, an interruption too, puts everything back: what has moved is read from the disk, not remembered.
    """
    new, old = scratch / "new", scratch / "old"
    try:
        for foreign in _foreign_files(folder):
            os.replace(foreign, new / foreign.name)
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    except BaseException:
        if new.exists():
            if old.exists():
                os.replace(old, folder)
            for foreign in _foreign_files(new):
                os.replace(foreign, folder / foreign.name)
        raise


def _foreign_files(folder: Path) -> list[Path]:
    """What the user put into an avatar folder; empty where there is no folder."""
    return [path for path in sorted(folder.iterdir()) if path.name not in FILES + OPTIONAL_FILES] if folder.is_dir() else []


def _clear(scratch: Path, folder: Path) -> None:
    """Remove the scratch folder, file by file by our own names, so that nothing of the user's can ever go with it.

    The older avatar goes only once an avatar stands in its place; where even putting back failed, it stays here.
    """
    for kept in (scratch / "new", scratch / "old"):
        if kept.name == "new" or (folder / FILES[0]).exists():
            for name in FILES + OPTIONAL_FILES:
                with contextlib.suppress(OSError):
                    (kept / name).unlink()
        with contextlib.suppress(OSError):
            kept.rmdir()
    with contextlib.suppress(OSError):
        scratch.rmdir()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ArtifactError(expected="a JSON file", got=f"{path}: {error}", do=_REFIT) from error
    found = (record.get("schema"), record.get("schema_version")) if isinstance(record, dict) else (None, None)
    if found[0] != "recon.avatar" or type(found[1]) is not int or not 1 <= found[1] <= SCHEMA_VERSION:
        raise ArtifactError(
            expected=f"schema recon.avatar, a version from 1 to {SCHEMA_VERSION}",
            got=f"{path} with schema {found[0]}, version {found[1]}",
            do="read it with the version of recon that wrote it, or run `recon fit` again",
        )
    if not isinstance(record.get("head"), dict) or not {"name", "topology_hash", "num_vertices", "identity_names"} <= set(record["head"]):
        raise ArtifactError(expected="the head's name and topology", got=f"{path} without them", do=_REFIT)
    return upgraded(record)


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(expected="a safetensors file", got=f"{path}: {error}", do=_REFIT) from error


def _read_png(path: Path, mode: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # A broken chunk is a SyntaxError to Pillow.
        raise ArtifactError(expected="a PNG file", got=f"{path}: {error}", do=_REFIT) from error
    if image.mode != mode:
        raise ArtifactError(expected=f"a PNG of mode {mode}", got=f"{path} of mode {image.mode}", do=_REFIT)
    return np.array(image)


def _check_finite(tensors: Mapping[str, np.ndarray], where: str) -> None:
    for name, array in tensors.items():
        # The spread of a landmark that was never seen is inf by contract.
        bad = np.isnan(array) if name == "landmarks.spread_mm" else ~np.isfinite(array)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ArtifactError(expected=f"finite numbers in {name}", got=f"{array[first]} at {first} in {where}", do=_REFIT)


def _check_shapes(avatar: Avatar, folder: Path) -> None:
    expected = {
        "identity_coeffs": ((avatar.head.num_identity,), avatar.identity_coeffs),
        "offsets": ((avatar.head.num_vertices, 3), avatar.offsets),
        "T_world_head": ((4, 4), avatar.T_world_head),
        "light.sh_linear": ((9, 3), avatar.light.sh_linear),
        "confidence": (avatar.albedo_srgb.shape[:2], avatar.confidence),
    }
    expected |= {f"correction {k}": ((avatar.head.num_vertices, 3), array) for k, array in enumerate(distinct_corrections(avatar))}
    if avatar.uncertainty is not None:
        expected["uncertainty.vertex_sd_mm"] = ((avatar.head.num_vertices,), avatar.uncertainty.vertex_sd_mm)
    if avatar.skin_labels is not None:
        expected["skin_labels"] = ((avatar.head.num_vertices,), avatar.skin_labels)
    expected |= {f"shape correction {name}": ((avatar.head.num_vertices, 3), array) for name, array in avatar.shape_corrections.items()}
    for name, (shape, array) in expected.items():
        if array.shape != shape:
            raise ArtifactError(expected=f"{name} of shape {shape}", got=f"shape {array.shape} in {folder}", do=_REFIT)
    if len(avatar.landmarks.triangle_index) and avatar.landmarks.triangle_index.max() >= len(avatar.head.triangles):
        raise ArtifactError(expected="landmarks on the head's triangles", got=f"a triangle index past the end in {folder}", do=_REFIT)
