"""ARKit's shapes by FLAME's expression components and jaw: a weighted, ridge-regularised least-squares fit, shape by shape.

For one shape with target displacements t and weights w (summing to 1 over the skin), coefficients c and jaw rotation vector r

    minimise  sum_v w_v | s_v d_v(c, r) - t_v |^2  +  (ridge_share^2 sum_v w_v | t_v |^2) |c|^2

with d the displacement of FLAME's own, non-linear rig and s the side step (1 for shapes of the whole face). For r fixed d is
linear in c; r is moved by Gauss-Newton steps with numerical derivatives and kept in its bounds. The residual that is reported
is sqrt(sum w |s d - t|^2 / sum w |t|^2): 0 exact, 1 nothing of it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.heads.flame_rig import JawRig

SETTINGS_FILE = Path(__file__).parents[1] / "data" / "flame_arkit.toml"

STILL_M = 1e-6
"""Root-mean-square motion taken for the ridge of a target that moves less, whose problem would else be singular."""

SETTLED_RAD = 1e-4
"""Change of the jaw's angles below which a fit has settled, 0.006 degrees."""


@dataclasses.dataclass(frozen=True)
class MappingSettings:
    """What flame_arkit.toml says; the reasons stand there."""

    ridge_share: float
    jaw_steps: int
    absent_above: float
    blink_open_above: float
    side_width_mm: float
    region_weights: Mapping[str, float]
    """Name of REGIONS to weight per area."""
    jaw_bounds_deg: tuple[tuple[float, float], ...]
    """Least and greatest angle about x (opening), y (turn to the subject's left) and z (tilt)."""
    jaw_shapes: tuple[str, ...]
    two_sided: tuple[str, ...]
    gaps: Mapping[str, str]
    """Shapes that are not tried, with the reason."""


@dataclasses.dataclass(frozen=True)
class ShapeMapping:
    """How one ARKit shape at weight 1 is made on FLAME."""

    name: str
    jaw_deg: tuple[float, float, float]
    """Rotation vector of the jaw joint in degrees: x opens, y turns to the subject's left, z tilts."""
    coefficients: tuple[float, ...]
    """(100,) expression coefficients, in standard deviations."""
    residual: float
    """Left-over motion relative to the target's, over the weighted skin; 0 for gaze, which is a rotation of the eyeballs."""
    side: str
    """"left" or "right" where the side step was applied, else "both"."""
    absent: str
    """Why the head does not have the shape; "" where it does."""

    def largest(self, count: int = 3) -> tuple[tuple[int, float], ...]:
        """The components (0 to 99) with the largest coefficients, and these."""
        order = np.argsort(-np.abs(self.coefficients), kind="stable")[:count]
        return tuple((int(index), self.coefficients[index]) for index in order if self.coefficients[index])


def read_settings(path: Path = SETTINGS_FILE) -> MappingSettings:
    """The settings of the mapping from their data file."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    jaw = table["jaw"]
    return MappingSettings(
        **table["fit"],
        region_weights=table["weights"],
        jaw_bounds_deg=tuple((low, high) for low, high in (jaw["open_deg"], jaw["turn_deg"], jaw["tilt_deg"])),
        jaw_shapes=tuple(jaw["shapes"]),
        two_sided=tuple(table["two_sided"]["shapes"]),
        gaps=table["gaps"],
    )


def side_of(name: str, settings: MappingSettings) -> str:
    """The side that a shape is confined to: "left", "right" or "both"."""
    if name in settings.two_sided or not name.endswith(("Left", "Right")):
        return "both"
    return "left" if name.endswith("Left") else "right"


def side_step(x_m: np.ndarray, side: str, width_mm: float) -> np.ndarray:
    """(V,) 1 on the side, 0 on the other, a smooth step between -width and +width of the middle; 1 for "both"."""
    if side == "both":
        return np.ones(len(x_m))
    share = np.clip((x_m * (1 if side == "left" else -1) * 1000 / width_mm + 1) / 2, 0, 1)
    return share * share * (3 - 2 * share)


def fit_shapes(
    rig: JawRig, targets: np.ndarray, weights: np.ndarray, x_m: np.ndarray, settings: MappingSettings
) -> tuple[list[ShapeMapping], np.ndarray]:
    """Every ARKit shape, and its displacements (52, V, 3) in metres on the rig's vertices, zero for the absent ones.

    `targets` (52, V, 3) metres, `weights` (V,) not negative, `x_m` (V,) the vertices' x about the middle. Gaze shapes are left
    at zero, as present: their motion is the eyeballs'.
    """
    share = weights / weights.sum()
    designs = {side: _Design(rig, share, side_step(x_m, side, settings.side_width_mm), settings) for side in ("both", "left", "right")}
    mappings, deltas = [], np.zeros(targets.shape)
    for index, name in enumerate(ARKIT_BLENDSHAPES):
        side = side_of(name, settings)
        if "Look" in name:
            mappings.append(ShapeMapping(name, (0.0, 0.0, 0.0), (0.0,) * len(rig.expression), 0.0, side, ""))
            continue
        coefficients, turn = designs[side].solve(targets[index], jaw=name in settings.jaw_shapes)
        moved = designs[side].offsets(coefficients, turn)
        residual = _residual(moved, targets[index], share)
        absent = settings.gaps.get(name, "")
        if not absent and residual > settings.absent_above:
            absent = f"{residual:.2f} of its motion is outside what FLAME's expressions and jaw can do (more than {settings.absent_above})"
        deltas[index] = 0.0 if absent else moved
        jaw_deg = float(np.rad2deg(turn[0])), float(np.rad2deg(turn[1])), float(np.rad2deg(turn[2]))
        mappings.append(ShapeMapping(name, jaw_deg, tuple(float(c) for c in coefficients), residual, side, absent))
    return mappings, deltas


def _residual(moved: np.ndarray, target: np.ndarray, share: np.ndarray) -> float:
    size = float(share @ (target**2).sum(1))
    # A target that moves nothing of the skin (the tongue) is wholly missed by definition.
    return float(np.sqrt(share @ ((moved - target) ** 2).sum(1) / size)) if size > 1e-16 else 1.0


class _Design:
    """The least-squares problem of one side step; targets differ, the normal matrix at rest does not."""

    def __init__(self, rig: JawRig, share: np.ndarray, step: np.ndarray, settings: MappingSettings) -> None:
        self._rig, self._step, self._settings = rig, step, settings
        self._root = np.sqrt(share)[:, None]
        self._rest = self._columns(np.zeros(3))
        self._low, self._high = np.deg2rad(np.array(settings.jaw_bounds_deg)).T

    def offsets(self, coefficients: np.ndarray, turn: np.ndarray) -> np.ndarray:
        return self._step[:, None] * self._rig.offsets(coefficients, turn)

    def solve(self, target: np.ndarray, *, jaw: bool) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (100,) and jaw rotation vector (3,) in radians."""
        turn, columns = np.zeros(3), self._rest
        ridge = (self._settings.ridge_share * max(float(np.linalg.norm(self._root * target)), STILL_M)) ** 2
        coefficients = self._coefficients(target, turn, columns, ridge)
        for _ in range(self._settings.jaw_steps if jaw else 0):
            before = turn
            turn = np.clip(turn + self._jaw_step(target, coefficients, turn, columns, ridge), self._low, self._high)
            columns = self._columns(turn)
            coefficients = self._coefficients(target, turn, columns, ridge)
            if np.abs(turn - before).max() < SETTLED_RAD:
                break
        return coefficients, turn

    def _columns(self, turn: np.ndarray) -> np.ndarray:
        """(3 V, 100) weighted motion of each component under a turned jaw."""
        moved = self._rig.expression_under(turn)
        return (moved * (self._root * self._step[:, None])).reshape(len(moved), -1).T

    def _coefficients(self, target: np.ndarray, turn: np.ndarray, columns: np.ndarray, ridge: float) -> np.ndarray:
        rest = (self._root * (target - self._step[:, None] * self._rig.jaw_offsets(turn))).ravel()
        return np.linalg.solve(columns.T @ columns + ridge * np.eye(columns.shape[1]), columns.T @ rest)

    def _jaw_step(self, target: np.ndarray, coefficients: np.ndarray, turn: np.ndarray, rest: np.ndarray, ridge: float) -> np.ndarray:
        """The change of the jaw's angles in a joint linear solve for them and the coefficients."""
        here = self.offsets(coefficients, turn)
        nudge = 1e-4
        slopes = np.stack([(self.offsets(coefficients, turn + nudge * axis) - here) / nudge for axis in np.eye(3)])
        columns = np.concatenate([rest, (slopes * self._root).reshape(3, -1).T], axis=1)
        left = columns.T @ columns
        left[: len(coefficients), : len(coefficients)] += ridge * np.eye(len(coefficients))
        # A joint that moves nothing (files without a jaw) would leave the system singular.
        left[-3:, -3:] += 1e-9 * np.eye(3)
        right = columns.T @ (self._root * (target - here)).ravel()
        right[: len(coefficients)] -= ridge * coefficients
        return np.linalg.solve(left, right)[-3:]
