"""The head model behind a stored avatar: what its record says of it, and how it is found again, by name, file and content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assets.errors import ArtifactError, MissingAssetError, MissingPackageError, RangeError
from assets.head_model import HeadModel
from assets.heads import HeadName, load_head, parse_head_name
from assets.home import data_home

_REFIT = "or run `recon fit` again"


def stored_head_record(head: HeadModel) -> dict[str, Any]:
    """What avatar.json says of its head: name (with FLAME's file in it), source, licence, topology, and a hash of its shapes."""
    return {
        "name": head.name,
        "topology_hash": head.topology_hash,
        "shape_hash": shape_hash(head),
        "source": head.source,
        "licence": head.licence,
        "commercial": head.commercial,
        "num_vertices": head.num_vertices,
        "identity_names": list(head.identity_names),
    }


def shape_hash(head: HeadModel) -> str:
    """First 12 hex digits of the SHA-256 of average head and identity basis: an avatar's coefficients mean nothing on any other."""
    digest = hashlib.sha256(np.ascontiguousarray(head.vertices).data)
    digest.update(np.ascontiguousarray(head.identity_basis).data)
    return digest.hexdigest()[:12]


def load_stored_head(stored: Mapping[str, Any], folder: Path) -> HeadModel:
    """The head that an avatar in `folder` was fitted with, by the head record of its avatar.json.

    FLAME's file is looked for where it was, then by its file name in the folder `flame` of the user's data folder.
    Raises ArtifactError for a name that no head has, MissingAssetError or MissingPackageError where the head is not there.
    """
    name = str(stored["name"])
    wanted = f"the head {name!r} that the avatar {folder} was fitted with"
    try:
        return load_head(_found_again(name, wanted), licence="cc-by-4.0" if stored.get("commercial") else None)
    except (MissingAssetError, MissingPackageError) as error:
        if error.expected == wanted:
            raise
        raise type(error)(expected=wanted, got=f"{error.expected}: {error.got}", do=f"{error.do}; {_REFIT}") from error


def _found_again(name: str, wanted: str) -> str:
    """The head's name, with FLAME's file where it lies now; MissingAssetError where it lies nowhere that is looked."""
    parsed = _parsed(name, wanted)
    if parsed.file is None or parsed.file.is_file():
        return name
    copy = data_home() / "flame" / parsed.file.name
    if copy.is_file():
        return f"flame:{copy}" + (f"+{parsed.levels}" if parsed.levels else "")
    raise MissingAssetError(
        expected=wanted,
        got=f"neither {parsed.file} nor {copy}",
        do=f"put the file back, or copy it to {copy}; {_REFIT} with the file's new place",
    )


def _parsed(name: str, wanted: str) -> HeadName:
    try:
        return parse_head_name(name)
    except RangeError as error:
        raise ArtifactError(expected=wanted, got=f"no head has that name: {error.expected}", do=f"{error.do} {_REFIT}") from error


def check_stored_head(head: HeadModel, stored: Mapping[str, Any], folder: Path) -> None:
    """Raises ArtifactError where the head differs from the one that an avatar in `folder` was fitted with, in mesh or shapes."""
    same = (stored["topology_hash"], stored["num_vertices"], stored["identity_names"])
    if same != (head.topology_hash, head.num_vertices, list(head.identity_names)):
        raise ArtifactError(
            expected=f"an avatar on head {head.name!r} with topology {head.topology_hash} from {head.source}",
            got=f"{folder} on head {stored['name']!r} with topology {stored['topology_hash']} from {stored.get('source')}",
            do="install the head's version that the avatar was fitted with, or run `recon fit` again",
        )
    shape = shape_hash(head)
    # Avatars saved before the field was there are taken at their word.
    if stored.get("shape_hash", shape) != shape:
        raise ArtifactError(
            expected=f"an avatar on head {head.name!r} with the shapes {shape} of {head.source}",
            got=f"{folder} on the shapes {stored['shape_hash']} of {stored.get('source')}: same mesh, other average head or identity basis",
            do="give back the file or version that the avatar was fitted with, or run `recon fit` again",
        )
