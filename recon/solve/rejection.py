"""Which views do not fit: a stranger's face, a wrong detection, a broken camera."""

from __future__ import annotations

import numpy as np

# A view is rejected when its landmarks miss by this share of the face's diagonal ...
MAX_SHARE_OF_FACE = 0.035
# ... and by this many times the typical view.
MAX_TIMES_TYPICAL = 3.0
# Where the typical view misses by more than this share, no view is out of line, but the capture as a whole is not to be trusted.
BAD_CAPTURE_SHARE = 0.05


def misfitting_views(residual_px: np.ndarray, face_px: np.ndarray) -> np.ndarray:
    """(N,) bool: median landmark residuals (N,) that are out of line, for faces whose landmarks span face_px (N,) px.

    nan (no landmarks) is never rejected here. Both limits must be passed, so that a capture that fits badly as a whole is not
    emptied, and an excellent one is not thinned for a view that is merely good.
    """
    share = residual_px / face_px
    typical = np.nanmedian(share) if np.isfinite(share).any() else np.inf
    with np.errstate(invalid="ignore"):
        return (share > MAX_SHARE_OF_FACE) & (share > MAX_TIMES_TYPICAL * typical)
