"""Where a landmark scheme's points lie on a head's surface."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from assets.cache import write_arrays
from assets.errors import ConventionError, MissingAssetError, ShapeError
from assets.head_model import HeadModel

SCHEME_SIZES = {"mediapipe478": 478, "ibug68": 68}
"""Number of landmarks of each scheme."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkEmbedding:
    """Each landmark as a point on a triangle, found by rendering, detecting and ray-casting back (recon/calibrate.py)."""

    scheme: str
    """"mediapipe478" or "ibug68"."""
    topology_hash: str
    """HeadModel.topology_hash of the head that it belongs to."""
    triangle_index: np.ndarray
    """(L,) int32 into HeadModel.triangles."""
    barycentric: np.ndarray
    """(L, 3) float32, sums to 1."""
    spread_mm: np.ndarray
    """(L,) float32: typical distance of the detector's point from this one, in mm on the surface; inf where never seen."""

    def points(self, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(L, 3) positions on posed vertices (V, 3)."""
        corners = vertices[triangles[self.triangle_index]]
        return np.einsum("lk,lkc->lc", self.barycentric.astype(vertices.dtype), corners)


DATA_DIR = Path(__file__).parent / "data"
"""Where the embeddings that come with the package lie."""


def embedding_path(head: HeadModel, scheme: str = "mediapipe478", *, folder: Path = DATA_DIR) -> Path:
    """The embedding's file, named after the head, its topology and the scheme."""
    return folder / f"{head.name}-{head.topology_hash}.{scheme}.npz"


def load_embedding(head: HeadModel, scheme: str = "mediapipe478", *, folder: Path = DATA_DIR) -> LandmarkEmbedding:
    """The landmarks of a scheme on a head.

    Raises MissingAssetError where none was made for the head's topology, ShapeError where the file does not fit the head.
    """
    path = embedding_path(head, scheme, folder=folder)
    if not path.is_file():
        raise MissingAssetError(
            expected=f"the {scheme} landmarks of head {head.name!r} in {path}",
            got="no such file",
            do=f"run: python -m recon.calibrate --head {head.name}",
        )
    with np.load(path, allow_pickle=False) as arrays:
        embedding = LandmarkEmbedding(
            scheme=scheme,
            topology_hash=head.topology_hash,
            triangle_index=arrays["triangle_index"].astype(np.int32),
            barycentric=arrays["barycentric"].astype(np.float32),
            spread_mm=arrays["spread_mm"].astype(np.float32),
        )
    return check_embedding(embedding, len(head.triangles))


def save_embedding(head: HeadModel, embedding: LandmarkEmbedding, *, folder: Path = DATA_DIR) -> Path:
    """Writes an embedding where `load_embedding` looks for it, and returns the file.

    Raises ConventionError where it was made for another topology, ShapeError where its arrays do not fit.
    """
    if embedding.topology_hash != head.topology_hash:
        raise ConventionError(
            expected=f"landmarks on the topology {head.topology_hash} of head {head.name!r}",
            got=f"landmarks on {embedding.topology_hash}",
            do="calibrate on the same head model that you save for",
        )
    check_embedding(embedding, len(head.triangles))
    path = embedding_path(head, embedding.scheme, folder=folder)
    arrays = {name: getattr(embedding, name) for name in ("triangle_index", "barycentric", "spread_mm")}
    write_arrays(path, arrays)
    return path


def check_embedding(embedding: LandmarkEmbedding, num_triangles: int) -> LandmarkEmbedding:
    """Returns the embedding after checking its arrays against the scheme and the number of triangles; else ShapeError."""
    count = len(embedding.triangle_index)
    wanted = SCHEME_SIZES.get(embedding.scheme, count)
    index, weights = embedding.triangle_index, embedding.barycentric
    sound = (
        count == wanted
        and weights.shape == (count, 3)
        and embedding.spread_mm.shape == (count,)
        and (count == 0 or (index.min() >= 0 and index.max() < num_triangles))
        and bool((embedding.spread_mm >= 0).all())  # Never nan: what was never seen is inf.
        and bool(np.isfinite(weights).all())
        and bool(np.allclose(weights.sum(1), 1.0, atol=1e-4))
    )
    if not sound:
        least = embedding.spread_mm.min(initial=np.inf)
        raise ShapeError(
            expected=f"{wanted} {embedding.scheme} landmarks on {num_triangles} triangles, weights that sum to 1, spread_mm of 0 or more",
            got=f"triangle_index {index.shape}, barycentric {weights.shape}, spread_mm {embedding.spread_mm.shape} from {least}",
            do="calibrate the embedding anew",
        )
    return embedding
