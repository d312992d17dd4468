"""What is the person's and what is an expression: a sparse prior on weights around a resting face that all instants share.

Model of a weight at instant i: total_i = rest + weight_i, where `rest` is one number a shape (this person's lips protrude, their
brows lie low) with a Gaussian prior and the weights are few and not negative: Laplace with a stiff part outside [0, 1]. Only the
totals move the mesh, so `rest` can be taken out of each step, and into the head at rest afterwards (`fold_rest`). What all instants
share becomes identity, and one instant with a smile among calm ones keeps its smile.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.solve.normal_equations import NormalEquations
from recon.solve.problem import Problem
from recon.solve.state import HeadState

WEIGHT_SCALE, WEIGHT_FLOOR = 0.3, 0.05
"""Scale of the Laplace prior in a lively instant, and the weight below which it is Gaussian, so that it has a derivative everywhere."""
CALM_SCALE = 0.025
"""Scale in a calm instant."""
LIVELINESS, ABOVE_CALM = 1.5, 3.0
"""An instant's scale as a multiple of its mean weight, and of what that is above the calmest quarter's. The maximum-likelihood scale of
a Laplace distribution is the mean itself, but a weight that is still on its way up must not be taken for a calm face's: an expression
seen from one side only would never get there. In the calmest faces what is left belongs to the head at rest."""
CALM_MEAN = 0.03
"""No face with a larger mean weight counts as calm, however lively the others are: where everybody smiles, nobody is at rest."""
WEIGHT_OUTSIDE_SD = 0.2
"""Standard deviation of the part of a weight outside [0, 1]: no face can be there, but a generic shape may have to."""
REST_SD = 0.15
"""Standard deviation between people of the resting face along each expression shape."""
MOVING_AT_REST = ("eyeBlink", "eyeLook")
"""Shapes that no face has at rest: eyes look somewhere in every picture, and lids that hang are looked at as lids."""
SIDES_SHARE = 0.6
"""Scale of the Laplace prior on the difference of a shape's two sides over the instant's own scale: below 1, so that the side which no
picture shows does as the other one."""
DIRECTIONS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Shapes that are lopsided by themselves. From one side a smile and a mouth pulled that way look alike, and without a charge for being
lopsided the latter would be the cheaper one, since it is one weight and a smile two."""
NO_SIDES = (*DIRECTIONS, "eyeLook")
"""Beginnings of names that are not the left side of a pair: directions, and eyes that look the same way."""
GENTLE_SD, GENTLE_OUTSIDE_SD = 0.15, 0.03
"""Standard deviations of a weight and of its part outside [0, 1] in the first stages."""
_ROUNDS = 30


def rest_sd(shape_names: tuple[str, ...]) -> np.ndarray:
    """(E,) standard deviation of the resting face along each shape; 0 for gaze and blinks."""
    return np.array([0.0 if name.startswith(MOVING_AT_REST) else REST_SD for name in shape_names])


def instant_scales(weights: np.ndarray) -> np.ndarray:
    """(I,) scales of the Laplace prior of instants with weights (I, E): the livelier a face already is, the more freely it moves.

    Empirical Bayes over instants: among several, the calm ones settle at zero and so say what the head at rest is.
    """
    mean = np.abs(weights).mean(1)
    above_calm = mean - min(np.quantile(mean, 0.25), CALM_MEAN) if len(mean) else mean
    return np.clip(np.maximum(LIVELINESS * mean, ABOVE_CALM * above_calm), CALM_SCALE, WEIGHT_SCALE)


def prior_weights(weights: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precisions (I, E) of the two quadratics that touch the prior at `weights` (I, E): towards 0, and towards [0, 1]."""
    inside = 1.0 / (scales[:, None] * np.sqrt(weights**2 + WEIGHT_FLOOR**2))
    outside = np.where((weights < 0) | (weights > 1), WEIGHT_OUTSIDE_SD**-2, 0.0)
    return inside, outside


def _cost(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(E,) what the prior charges for weights (I, E)."""
    laplace = (np.sqrt(weights**2 + WEIGHT_FLOOR**2) / scales[:, None]).sum(0)
    return laplace + 0.5 * (((weights - np.clip(weights, 0, 1)) / WEIGHT_OUTSIDE_SD) ** 2).sum(0)


def resting_totals(totals: np.ndarray, sd: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(E,) the resting face that totals (I, E) are most probable with: a weighted median that the prior pulls towards zero.

    The cost has several valleys: the best of zero and of the instants' own totals is where the descent starts.
    """
    anchor = 1.0 / np.maximum(sd, 1e-6) ** 2
    starts = np.concatenate([np.zeros((1, totals.shape[1])), totals])
    costs = np.stack([_cost(totals - start, scales) + 0.5 * anchor * start**2 for start in starts])
    rest = np.where(sd > 0, np.take_along_axis(starts, costs.argmin(0)[None], 0)[0], 0.0)
    for _ in range(_ROUNDS):
        weights = totals - rest
        inside, outside = prior_weights(weights, scales)
        wanted = (inside * totals + outside * (totals - np.clip(weights, 0, 1))).sum(0)
        rest = np.where(sd > 0, wanted / ((inside + outside).sum(0) + anchor), 0.0)
    return rest


def add_gentle_prior(equations: NormalEquations, state: HeadState, instants: list[int]) -> None:
    """Weights of the given instants near zero and inside [0, 1], for as long as the head itself is not yet right."""
    for instant in instants:
        weights, columns = state.weights[instant], state.layout.weights(instant)
        equations.add_prior("expression prior", columns, -weights, GENTLE_SD)
        outside = (weights < 0) | (weights > 1)
        equations.add_prior("expression range", columns[outside], (np.clip(weights, 0, 1) - weights)[outside], GENTLE_OUTSIDE_SD)


def add_expression_prior(equations: NormalEquations, problem: Problem, state: HeadState, instants: list[int]) -> None:
    """The prior on the weights of the given instants, with the resting face eliminated."""
    sd, weights = rest_sd(problem.deformable.shape_names), state.weights[instants]
    inside, outside = prior_weights(weights, instant_scales(weights))
    columns = np.stack([state.layout.weights(instant) for instant in instants])
    beyond, is_out = np.clip(weights, 0, 1) - weights, outside > 0
    equations.add_prior("expression prior", columns.ravel(), -weights.ravel(), 1 / np.sqrt(inside.ravel()))
    equations.add_prior("expression range", columns[is_out], beyond[is_out], WEIGHT_OUTSIDE_SD)
    add_sides(equations, problem, state, instants)
    precision, rest = inside + outside, np.zeros_like(sd) if state.rest is None else state.rest
    for k in np.flatnonzero(sd > 0):
        # The resting face is free to follow its weights: with both at once, r of gradient g and coupling -p to each total.
        anchor = 1 / sd[k] ** 2
        pull = float(inside[:, k] @ weights[:, k] - outside[:, k] @ beyond[:, k] - anchor * rest[k])
        own = columns[:, k]
        equations.hessian[np.ix_(own, own)] -= np.outer(precision[:, k], precision[:, k]) / (precision[:, k].sum() + anchor)
        equations.gradient[own] += precision[:, k] * pull / (precision[:, k].sum() + anchor)


def side_pairs(shape_names: tuple[str, ...]) -> np.ndarray:
    """(P, 2) indices of the left and right side of one movement."""
    left = [name for name in shape_names if name.endswith("Left") and not name.startswith(NO_SIDES)]
    pairs = [(shape_names.index(name), name.removesuffix("Left") + "Right") for name in left]
    return np.array([(index, shape_names.index(right)) for index, right in pairs if right in shape_names], int).reshape(-1, 2)


def add_sides(equations: NormalEquations, problem: Problem, state: HeadState, instants: list[int]) -> None:
    """Faces are as lopsided as the pictures say and no more."""
    names, scales = problem.deformable.shape_names, SIDES_SHARE * instant_scales(state.weights[instants])
    pairs, directions = side_pairs(names), np.array([names.index(name) for name in DIRECTIONS if name in names], int)
    for instant, scale in zip(instants, scales, strict=True):
        weights, columns = state.weights[instant], state.layout.weights(instant)
        difference, both = weights[pairs[:, 0]] - weights[pairs[:, 1]], columns[pairs]
        precision, alone = _sides_precision(difference, scale), _sides_precision(weights[directions], scale)
        for k, sign in ((0, 1.0), (1, -1.0)):
            equations.hessian[both[:, k], both[:, k]] += precision
            equations.hessian[both[:, k], both[:, 1 - k]] -= precision
            equations.gradient[both[:, k]] -= sign * precision * difference
        equations.add_prior("expression sides", columns[directions], -weights[directions], 1 / np.sqrt(alone))
        equations.cost["expression sides"] += 0.5 * float(precision @ difference**2)


def _sides_precision(difference: np.ndarray, scale: float) -> np.ndarray:
    """Precision of the quadratic that touches the Laplace prior on a lopsidedness."""
    return 1.0 / (scale * np.sqrt(difference**2 + WEIGHT_FLOOR**2))


def with_rest(problem: Problem, state: HeadState, instants: list[int]) -> HeadState:
    """The same faces, with what the given instants share moved from their weights into the head at rest."""
    totals = state.weights if state.rest is None else state.weights + state.rest
    scales = instant_scales(state.weights[instants])
    rest = resting_totals(totals[instants], rest_sd(problem.deformable.shape_names), scales)
    weights = state.weights.copy()
    weights[instants] = totals[instants] - rest
    return dataclasses.replace(state, weights=weights, rest=rest)
