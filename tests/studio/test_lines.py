"""Lines over a picture: at their place to a fraction of a pixel, as wide as asked for, and never drawn from nonsense."""

from __future__ import annotations

import numpy as np
import pytest

from studio.lines import line_coverage


@pytest.mark.parametrize("supersample", [1, 3])
def test_a_level_line_covers_its_width_about_its_own_height(supersample: int):
    segments = np.array([[[-20.0, 12.5], [90.0, 12.5]]])
    cover = line_coverage(segments, 60, 30, 2.0, supersample=supersample)
    assert cover.shape == (30, 60) and cover.dtype == np.float32
    column = cover[:, 10:50].mean(1)
    # OpenCV's smoothing adds up to a pixel and a half of the picture that is drawn in.
    assert 2.0 <= column.sum() <= 2.0 + 1.5 / supersample
    assert (np.arange(30) + 0.5) @ column / column.sum() == pytest.approx(12.5, abs=0.05), "centres lie at +0.5"
    assert column[:10].max() == 0 and column[15:].max() == 0


def test_what_lies_far_outside_or_overflows_leaves_no_mark():
    segments = np.array([[[5.0, 5.0], [1e12, 7.0]], [[3e9, -3e9], [4.0, 4.0]], [[np.inf, 0.0], [1.0, 1.0]]])
    assert line_coverage(segments, 40, 20, 3.0, supersample=2).max() == 0
