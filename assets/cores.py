"""How many cores this process may use."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Cores that this process may run on, at least 1: under `taskset`, or in a container with a set of its own, fewer than the machine has.

    A share of time, as `docker run --cpus` sets, is not seen.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
