"""Subdivided heads in the user's cache: making one takes half a minute, reading one less than a second."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from assets.cache import cache_dir, keep_arrays, read_arrays
from assets.head_model import HeadModel
from assets.subdivide import subdivide_head

SUBDIVISION_VERSION = 1
"""Part of the cache key: raise it whenever `subdivide_head` gives other arrays for the same head."""


def load_subdivided(head: HeadModel, levels: int) -> HeadModel:
    """`subdivide_head(head, levels)`, from the user's cache where it is there.

    The key is the content of the head, so one that was compiled anew is subdivided anew. A cache that cannot be written is warned
    of (RuntimeWarning) and done without.
    """
    name = f"{head.name.split(':')[0]}+{levels}"
    path = cache_dir() / "heads" / f"{name}-{_content_hash(head)}-{SUBDIVISION_VERSION}.npz"
    arrays = read_arrays(path)
    if arrays is not None:
        return dataclasses.replace(head, name=f"{head.name}+{levels}", **arrays)
    fine = subdivide_head(head, levels)
    keep_arrays(path, _arrays(fine))
    return fine


def _arrays(head: HeadModel) -> dict[str, np.ndarray]:
    """The head's fields that are arrays, by name; those that are texts stay what they were before."""
    return {field.name: array for field in dataclasses.fields(head) if isinstance(array := getattr(head, field.name), np.ndarray)}


def _content_hash(head: HeadModel) -> str:
    """First 16 hex digits of the SHA-256 of all arrays of a head."""
    digest = hashlib.sha256()
    for name, array in sorted(_arrays(head).items()):
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
