"""Dense matches between unwrapped views: optical flow both ways, kept where it agrees with itself and correlates."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from recon.solve.unwrap import Unwrapped

# Neighbours are taken between these angles: closer ones hardly tell depth, further ones see too little of the same skin.
MIN_ANGLE_DEG, MAX_ANGLE_DEG = 6.0, 50.0
# A match is kept where going and coming back ends within this many texels, ...
MAX_ROUND_TRIP_TEXELS = 0.8
# ... the patches correlate at least this well, ...
MIN_CORRELATION = 0.3
# ... and the flow is shorter than this: beyond it the start is too far off for flow to be trusted.
MAX_FLOW_TEXELS = 25.0
CORRELATION_WINDOW = 13
# Flow is computed on the box around what both views show and so many texels more, which its coarse levels smooth over.
MARGIN_TEXELS = 16
# Pairs with fewer matches than this say nothing reliable.
MIN_MATCHES = 100


@dataclasses.dataclass(frozen=True, eq=False)
class FlowMatches:
    """Matched texels of a pair of views."""

    rows: np.ndarray
    """(N,) int texel row."""
    columns: np.ndarray
    """(N,) int texel column."""
    px_a: np.ndarray
    """(N, 2) float64 working pixels where view a shows the texel's skin."""
    px_b: np.ndarray
    """(N, 2) likewise in view b."""
    weight: np.ndarray
    """(N,) in [0, 1]."""
    share: float
    """Of the skin that both views show, how much was matched, before thinning: about 0.2 for unrelated patterns."""


def viewing_angles_deg(centres: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N, N) angles between the directions from a target point (3,) to camera centres (N, 3), both in the head frame."""
    direction = centres - target
    direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return np.degrees(np.arccos(np.clip(direction @ direction.T, -1.0, 1.0)))


def neighbour_pairs(angles_deg: np.ndarray, per_view: int, handicap_deg: np.ndarray | float = 0.0) -> list[tuple[int, int]]:
    """Sorted index pairs (a < b): each view with its nearest neighbours between MIN_ANGLE_DEG and MAX_ANGLE_DEG.

    `handicap_deg` (N, N) is added to the angles when the nearest are chosen, not when they are judged too near or far.
    """
    ranks = angles_deg + handicap_deg
    pairs: set[tuple[int, int]] = set()
    for a, row in enumerate(angles_deg):
        usable = [int(b) for b in np.argsort(ranks[a], kind="stable") if b != a and MIN_ANGLE_DEG < row[b] < MAX_ANGLE_DEG]
        pairs |= {(min(a, b), max(a, b)) for b in usable[:per_view]}
    return sorted(pairs)


def match_pair(a: Unwrapped, b: Unwrapped, *, stride: int, max_matches: int) -> FlowMatches | None:
    """Match two views in one chart on every `stride`-th texel; None where they share too little.

    The texel's own place is taken as the middle of the match: view a is read half the flow before it, view b half after.
    """
    top, left, bottom, right = _shared_box(a.mask & b.mask, stride)
    a, b = _cropped(a, top, left, bottom, right), _cropped(b, top, left, bottom, right)
    shared = a.mask & b.mask
    inner = cv2.erode(shared.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0 if shared.size else shared
    if inner.sum() < 500:
        return None
    picture_a, picture_b = _to_bytes(a.pattern, shared), _to_bytes(b.pattern, shared)
    forward, backward = dense_flow(picture_a, picture_b), dense_flow(picture_b, picture_a)
    there = np.stack(np.meshgrid(np.arange(shared.shape[1]), np.arange(shared.shape[0])), -1).astype(np.float32) + forward
    round_trip = np.linalg.norm(forward + warped(backward, there), axis=2)
    correlation = correlation_of(picture_a, warped(picture_b, there))
    good = (
        inner & (round_trip < MAX_ROUND_TRIP_TEXELS) & (correlation > MIN_CORRELATION) & (np.linalg.norm(forward, axis=2) < MAX_FLOW_TEXELS)
    )
    share = float(good.sum() / inner.sum())
    rows, columns = np.nonzero(good[::stride, ::stride])
    if len(rows) < MIN_MATCHES:
        return None
    rows, columns = _thin(rows * stride, columns * stride, max_matches)
    half = 0.5 * forward[rows, columns]
    px_a, px_b = _read(a.px, columns - half[:, 0], rows - half[:, 1]), _read(b.px, columns + half[:, 0], rows + half[:, 1])
    # Half a flow step may leave the chart, where the pixel positions are not defined.
    kept = (np.abs(px_a - a.px[rows, columns]).max(1) < 30) & (np.abs(px_b - b.px[rows, columns]).max(1) < 30)
    if kept.sum() < MIN_MATCHES:
        return None
    rows, columns, ncc = rows[kept], columns[kept], correlation[rows, columns][kept]
    squareness = np.sqrt(a.cosine[rows, columns] * b.cosine[rows, columns])
    return FlowMatches(rows + top, columns + left, px_a[kept], px_b[kept], np.clip(ncc, 0, 1) * squareness, share)


def _shared_box(shared: np.ndarray, stride: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what both views show, with a margin; top and left are multiples of the stride."""
    rows, columns = np.flatnonzero(shared.any(1)), np.flatnonzero(shared.any(0))
    if len(rows) == 0:
        return 0, 0, 0, 0
    top, left = max(0, rows[0] - MARGIN_TEXELS), max(0, columns[0] - MARGIN_TEXELS)
    return int(top - top % stride), int(left - left % stride), int(rows[-1] + 1 + MARGIN_TEXELS), int(columns[-1] + 1 + MARGIN_TEXELS)


def _cropped(view: Unwrapped, top: int, left: int, bottom: int, right: int) -> Unwrapped:
    box = slice(top, bottom), slice(left, right)
    return Unwrapped(view.cosine[box], view.px[box], view.pattern[box])


def warped(picture: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(H, W, ...) picture read at texel indices (H, W, 2)."""
    return cv2.remap(picture, there[..., 0], there[..., 1], cv2.INTER_LINEAR)


def _to_bytes(pattern: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.clip(128 + 40 * pattern * mask, 0, 255).astype(np.uint8)


def dense_flow(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32 displacement in texels. Reference: Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # pyright: ignore[reportAttributeAccessIssue]
    dis.setFinestScale(0)
    dis.setPatchSize(8)
    dis.setPatchStride(3)
    dis.setVariationalRefinementIterations(5)
    dis.setGradientDescentIterations(25)
    # The initial flow is given (as zero) because the overload without it is missing from cv2's type stubs.
    return dis.calc(source, target, np.zeros((*source.shape, 2), np.float32))


def correlation_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W) correlation of two byte pictures about 128 over square windows."""
    a, b = a.astype(np.float32) - 128, b.astype(np.float32) - 128
    box = lambda picture: cv2.boxFilter(picture, -1, (CORRELATION_WINDOW, CORRELATION_WINDOW))  # noqa: E731
    return box(a * b) / np.sqrt(box(a * a) * box(b * b) + 100.0)


def _thin(rows: np.ndarray, columns: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` of the texels, drawn evenly and always the same."""
    if len(rows) <= count:
        return rows, columns
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:count])
    return rows[chosen], columns[chosen]


def _read(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 2) float64 bilinear samples of (H, W, 2) at texel indices."""
    return cv2.remap(picture, x.astype(np.float32)[:, None], y.astype(np.float32)[:, None], cv2.INTER_LINEAR)[:, 0].astype(np.float64)
