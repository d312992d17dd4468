"""The binary half of a GLB file: bytes, the bufferViews and accessors that describe them, and the container around all.

Format: Khronos, glTF 2.0 specification, sections 3.6 (buffers, accessors, sparse accessors) and 4 (GLB).
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


class GlbBuffers:
    """Collects what goes into a GLB's binary chunk; `packed` makes the file of it and of a document that refers to it."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add_bytes(self, data: bytes, target: int | None = None) -> int:
        """Append data at a multiple of four bytes; returns the bufferView's index."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        self.views.append(view if target is None else {**view, "target": target})
        self.binary += data
        return len(self.views) - 1

    def add_vectors(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """(N, 2|3) float32 as a vertex attribute; returns the accessor's index. POSITION must state its bounds."""
        data = np.ascontiguousarray(values, "<f4")
        return self._accessor({"bufferView": self.add_bytes(data.tobytes(), ARRAY_BUFFER)}, data, bounds)

    def add_displacements(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """(N, 3) float32 of a morph target, most of it zero as a rule; returns the accessor's index.

        Only the rows that move are stored (a sparse accessor over zeros) where that takes less room; where none moves, nothing is.
        """
        data = np.ascontiguousarray(values, "<f4")
        moving = np.flatnonzero(data.any(1)).astype("<u4")
        if not len(moving):
            return self._accessor({}, data, bounds)
        # A stored row costs its index as well: 16 bytes for 12.
        if 16 * len(moving) >= 12 * len(data):
            return self.add_vectors(data, bounds=bounds)
        sparse = {
            "count": len(moving),
            "indices": {"bufferView": self.add_bytes(moving.tobytes()), "componentType": UNSIGNED_INT},
            "values": {"bufferView": self.add_bytes(data[moving].tobytes())},
        }
        return self._accessor({"sparse": sparse}, data, bounds)

    def add_indices(self, triangles: np.ndarray) -> int:
        """(F, 3) vertex numbers of a primitive; returns the accessor's index."""
        data = np.ascontiguousarray(triangles.ravel(), "<u4")
        view = self.add_bytes(data.tobytes(), ELEMENT_ARRAY_BUFFER)
        self.accessors.append({"bufferView": view, "componentType": UNSIGNED_INT, "count": len(data), "type": "SCALAR"})
        return len(self.accessors) - 1

    def _accessor(self, storage: dict[str, Any], data: np.ndarray, bounds: bool) -> int:
        accessor = storage | {"componentType": FLOAT, "count": len(data), "type": f"VEC{data.shape[1]}"}
        if bounds:
            accessor |= {"min": data.min(0).tolist(), "max": data.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def packed(self, document: dict[str, Any]) -> bytes:
        """The GLB: header, JSON chunk padded with spaces, binary chunk padded with zeros."""
        binary = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
        described = {"buffers": [{"byteLength": len(binary)}], "bufferViews": self.views, "accessors": self.accessors}
        text = json.dumps(document | described, separators=(",", ":"), allow_nan=False).encode("utf-8")
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
