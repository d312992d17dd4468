"""A dense Gauss-Newton core: collect weighted rows and priors, solve for one step. It knows nothing of faces."""

from __future__ import annotations

import numpy as np

from assets.errors import DegenerateGeometryError


def cauchy_weight(distance: np.ndarray, scale: float) -> np.ndarray:
    """Weight of the Cauchy loss scale^2 / 2 log(1 + (d / scale)^2): 1 at zero, 1/2 at `scale`, never zero.

    Reference: iteratively re-weighted least squares, Holland and Welsch, 1977.
    """
    return 1.0 / (1.0 + (distance / scale) ** 2)


class NormalEquations:
    """Sum of J^T W J and J^T W r over rows `observed - predicted ~ J step`, with Gaussian priors on single parameters."""

    def __init__(self, num_parameters: int) -> None:
        self.num_parameters = num_parameters
        self.hessian = np.zeros((num_parameters, num_parameters))
        self.gradient = np.zeros(num_parameters)
        self.cost: dict[str, float] = {}
        """Half the weighted sum of squares by the name of the term."""

    def add_rows(self, name: str, columns: np.ndarray, jacobian: np.ndarray, residual: np.ndarray, weight: np.ndarray) -> None:
        """Add R rows that touch P parameters.

        Args:
            columns: (P,) int parameter indices, no index twice.
            jacobian: (R, P) derivative of the prediction.
            residual: (R,) observed minus predicted.
            weight: (R,) one over the variance, times a robust weight where wanted.
        """
        root = np.sqrt(weight)
        # Single precision halves the time of the product that dominates every fit; the sum is kept in double precision.
        rows = np.asarray(jacobian, np.float32) * root[:, None].astype(np.float32)
        right = residual * root
        self.hessian[np.ix_(columns, columns)] += rows.T @ rows
        self.gradient[columns] += rows.T @ right.astype(np.float32)
        self.cost[name] = self.cost.get(name, 0.0) + 0.5 * float(right @ right)

    def add_prior(self, name: str, columns: np.ndarray, difference: np.ndarray, sd: np.ndarray | float) -> None:
        """Pull parameters (P,) by `difference` = wanted - present, each with its own standard deviation."""
        precision = np.broadcast_to(1.0 / np.square(sd), np.shape(difference))
        self.hessian[columns, columns] += precision
        self.gradient[columns] += precision * difference
        self.cost[name] = self.cost.get(name, 0.0) + 0.5 * float(np.sum(precision * np.square(difference)))

    def eliminate(self, name: str, cross: np.ndarray, inner: np.ndarray, right: np.ndarray) -> None:
        """Take out B groups of K unknowns that rows added so far depend on beside the parameters (Schur complement).

        Args:
            cross: (num_parameters, B, K) sum of J^T W G, where G is the rows' derivative by a group's unknowns.
            inner: (B, K, K) sum of G^T W G with the groups' own prior, positive definite.
            right: (B, K) sum of G^T W r.
        """
        roots = np.linalg.inv(np.linalg.cholesky(inner))
        scaled = np.einsum("pbk,bjk->pbj", cross, roots.astype(np.float32), optimize=True).reshape(len(cross), -1)
        target = np.einsum("bjk,bk->bj", roots, right).reshape(-1)
        used = np.flatnonzero(scaled.any(1))
        scaled = scaled[used]
        self.hessian[np.ix_(used, used)] -= scaled @ scaled.T
        self.gradient[used] -= scaled @ target.astype(np.float32)
        self.cost[name] = self.cost.get(name, 0.0) - 0.5 * float(target @ target)

    def solve(self, free: np.ndarray, *, damping: float = 1e-3) -> np.ndarray:
        """The step (P,) for the parameters marked in `free` (P,) bool, zero elsewhere.

        Damping adds that share of the diagonal (Marquardt). Raises DegenerateGeometryError where nothing determines the step.
        """
        index = np.flatnonzero(free)
        step = np.zeros(self.num_parameters)
        matrix = self.hessian[np.ix_(index, index)]
        matrix[np.arange(len(index)), np.arange(len(index))] *= 1.0 + damping
        try:
            step[index] = np.linalg.solve(matrix, self.gradient[index])
        except np.linalg.LinAlgError as error:
            raise _undetermined("a singular system") from error
        if not np.isfinite(step).all():
            raise _undetermined("a step that is not finite")
        return step


def _undetermined(got: str) -> DegenerateGeometryError:
    return DegenerateGeometryError(
        expected="observations and priors that determine every free parameter", got=got, do="give more pictures or hold parameters fixed"
    )
