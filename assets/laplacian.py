"""The uniform Laplacian of a mesh: how far a value at a vertex is from the mean of its neighbours'."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def uniform_laplacian(triangles: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    """(V, V): a vertex minus the mean of its neighbours along edges of triangles (T, 3); zero rows for vertices without any."""
    a = np.concatenate([triangles[:, [0, 1, 2]].ravel(), triangles[:, [1, 2, 0]].ravel()])
    b = np.concatenate([triangles[:, [1, 2, 0]].ravel(), triangles[:, [0, 1, 2]].ravel()])
    adjacency = sp.csr_matrix((np.ones(len(a)), (a, b)), shape=(num_vertices, num_vertices))
    adjacency.data[:] = 1.0
    degree = np.asarray(adjacency.sum(1)).ravel()
    inverse = sp.diags(1.0 / np.maximum(degree, 1.0))
    return sp.csr_matrix(sp.diags((degree > 0).astype(float)) - inverse @ adjacency)
