"""Depth control pictures: values by hand."""

from __future__ import annotations

import numpy as np
import pytest

from assets.errors import RangeError, ShapeError
from conditioning.depth import encode_depth


def test_near_is_white_far_is_one_and_background_alone_is_black():
    depth = np.array([[0.8, 1.2, np.inf]], np.float32)
    for encoding in ("disparity", "linear"):
        assert encode_depth(depth, (0.8, 1.2), encoding)[0, :, 0].tolist() == [255, 1, 0]


def test_linear_halfway_by_hand():
    # (1.2 - 0.9) / 0.4 = 0.75; 1 + 254 * 0.75 = 191.5; 1.1: 0.25 -> 64.5: halves may fall either way by the last bit of 0.9 and 1.1.
    grey = encode_depth(np.array([[0.9, 1.1, 1.0]]), (0.8, 1.2), "linear")[0, :, 0].tolist()
    assert grey[2] == 128
    assert grey[0] in (191, 192)
    assert grey[1] in (64, 65)


def test_disparity_by_hand_differs_from_linear():
    # near 0.5, far 2: 1/z - 1/2 over 2 - 1/2. z = 1: 0.5 / 1.5 = 1/3 -> 1 + 84.67 -> 86. Linear: (2 - 1) / 1.5 = 2/3 -> 170.
    depth = np.array([[1.0]])
    assert encode_depth(depth, (0.5, 2.0), "disparity")[0, 0].tolist() == [86, 86, 86]
    assert encode_depth(depth, (0.5, 2.0), "linear")[0, 0].tolist() == [170, 170, 170]


@pytest.mark.parametrize("encoding", ["disparity", "linear"])
def test_monotone_over_the_whole_range_and_clamped_outside(encoding):
    depth = np.linspace(0.5, 1.5, 5001)[None]
    grey = encode_depth(depth, (0.8, 1.2), encoding)[0, :, 0].astype(int)
    assert (np.diff(grey) <= 0).all()
    assert grey[0] == 255 and grey[-1] == 1
    assert set(grey) == set(range(1, 256))


def test_nan_counts_as_background():
    assert encode_depth(np.array([[np.nan, 1.0]]), (0.8, 1.2))[0, :, 0].tolist()[0] == 0


def test_wrong_arguments_are_named():
    with pytest.raises(RangeError, match=r"0 < near < far"):
        encode_depth(np.ones((2, 2)), (1.2, 0.8))
    with pytest.raises(RangeError, match="'inverse'"):
        encode_depth(np.ones((2, 2)), (0.8, 1.2), "inverse")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"\(2, 2, 1\)"):
        encode_depth(np.ones((2, 2, 1)), (0.8, 1.2))
