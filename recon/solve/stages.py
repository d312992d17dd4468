"""The recipe of a fit as data: stage after stage, what is free, how fine the chart is, how far a residual is believed."""

from __future__ import annotations

import dataclasses

from recon.solve.problem import Free

POSE_AND_SHAPE: Free = frozenset({"shape", "scale", "pose", "expression"})
EVERYTHING: Free = POSE_AND_SHAPE | {"focal"}


@dataclasses.dataclass(frozen=True)
class LandmarkStage:
    """Gauss-Newton on the detected landmarks alone."""

    name: str
    free: Free
    steps: int
    shape_precision: float = 3.0
    """Factor on the shape prior: landmarks slide with yaw, so they may bend the shape only a little."""


@dataclasses.dataclass(frozen=True)
class DenseStage:
    """Rounds of unwrap, match and solve at one chart resolution."""

    name: str
    free: Free
    texel_mm: float
    blur_px: float
    """Gaussian on the working pictures before unwrapping."""
    window_texels: float
    """Sigma of the local normalisation."""
    stride: int
    """Every which texel may become a match."""
    rounds: int
    """Unwrap and match anew this often."""
    steps: int
    """Gauss-Newton steps on the matches of one round."""
    max_matches: int
    """Per pair of views."""
    match_weight: float
    """One over the variance of a match, px^-2."""
    robust_px: float
    """Scale of the Cauchy loss."""
    landmark_weight: float
    """Factor on the landmark term, which keeps the mesh from sliding along the skin."""
    contour_weight: float = 0.0
    """Further factor for landmarks on lids, pupils and lips: at the end only, since it bends what flow has yet to settle."""
    sparse_expressions: bool = True
    """Few and strong weights around a resting face that all instants share (recon/solve/expression_prior.py), told by all matches.

    Off: weights near zero, and lively views believed little, until the head is about right and cannot be mistaken for a face it makes.
    """
    doubting_rounds: int = 0
    """In so many of the first rounds what EXIF says of focal lengths counts for hardly more than a guess.

    Where it is right, the pictures come to about the same, and it is believed afterwards; a wrong one would hold them fast from the start.
    """


@dataclasses.dataclass(frozen=True)
class SurroundStage:
    """Scalp, neck and underside of the chin from their own matches and from silhouettes (recon/solve/surround.py)."""

    texel_mm: float = 1.4
    """Size of the charts' texels: half as fine as the face's, since these parts are smooth."""
    stride: int = 4
    blur_px: float = 0.8
    window_texels: float = 9.0
    matches_a_pair: int = 150
    """Of one pair of views in one chart."""
    rounds: int = 2
    """Match and look for edges anew this often."""
    steps: int = 3
    match_noise_px: float = 2.0
    """Standard deviation of a match, which stands for its neighbours' common error too."""
    match_robust_px: float = 1.5
    outline_noise_px: float = 2.0
    """Standard deviation of 5 mm of outline, likewise."""
    outline_robust_px: float = 4.0
    neck_trust: float = 0.3
    """Factor on matches of the neck between two instants: it bends where the head turns on it."""
    hair_m: float = 0.006
    """What is not skin by colour and lies so far outside of where the head model has the skull counts a third, half as far again nothing:
    it is hair."""


SURROUND = SurroundStage()
LANDMARKS: tuple[LandmarkStage, ...] = (LandmarkStage("landmarks", POSE_AND_SHAPE, steps=8),)

COARSE = DenseStage("coarse flow", POSE_AND_SHAPE, 1.6, 2.0, 7.0, 2, 5, 2, 1200, 0.05, 3.0, 0.3, sparse_expressions=False)
MIDDLE = DenseStage("middle flow", EVERYTHING, 1.0, 1.0, 9.0, 3, 4, 2, 1200, 0.13, 2.0, 0.05, doubting_rounds=3)
FINE = DenseStage("fine flow", EVERYTHING, 0.7, 0.5, 12.0, 4, 3, 2, 1500, 0.25, 0.7, 0.05, contour_weight=0.5)

FULL: tuple[DenseStage, ...] = (COARSE, MIDDLE, FINE)
FAST_SURROUND = dataclasses.replace(SURROUND, rounds=1)
FAST: tuple[DenseStage, ...] = (
    dataclasses.replace(COARSE, rounds=3, max_matches=600),
    dataclasses.replace(MIDDLE, rounds=2, max_matches=800, doubting_rounds=1),
)
RIG = FAST
"""Of both presets, where calibrated cameras allow the sweep, which is finer than the fine flow and takes a third of its time: it starts as
well from fewer rounds, since there are no focal lengths to find."""


# From this span of viewing directions on, matches determine depth as well as they ever will.
FULL_SPAN_DEG = 60.0
# Below this span matches tell too little of depth: per-vertex offsets would be made of noise, and focal lengths too.
MIN_DEPTH_SPAN_DEG = 30.0


def tempered(stage: DenseStage, span_deg: float) -> DenseStage:
    """The stage for views that span so many degrees: with little parallax matches count less and landmarks more.

    The variance of depth grows with the inverse square of the angle, while what misleads flow (light, hair, another day) stays. Views
    from one side alone do not tell a focal length from a distance, so there it stays as it was stated or guessed.
    """
    parallax = min(max(span_deg / FULL_SPAN_DEG, 0.1), 1.0)
    return dataclasses.replace(
        stage,
        free=stage.free if span_deg >= MIN_DEPTH_SPAN_DEG else stage.free - {"focal"},
        match_weight=stage.match_weight * parallax**2,
        landmark_weight=stage.landmark_weight + 2.0 * (1.0 - parallax),
    )
