"""Time and memory of the texture stage, in a process of its own."""

from __future__ import annotations

import dataclasses
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from recon.avatar import Avatar
from recon.capture import Capture
from recon.ingest import read_view
from recon.texture import TextureSettings, bake_texture


@dataclasses.dataclass(frozen=True)
class TextureCost:
    """What baking took."""

    num_photos: int
    size: int
    seconds: float
    peak_gb: float


def texture_cost(avatar: Avatar, capture: Capture, *, size: int = 2048) -> TextureCost:
    """Bake the photos of a capture into an avatar that was fitted to them, as `recon fit` does at its end."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_bake, avatar, capture, size).result()


def _bake(avatar: Avatar, capture: Capture, size: int) -> TextureCost:
    by_name, started = {view.name: view for view in capture.views}, time.perf_counter()
    bake_texture(avatar, lambda name: read_view(by_name[name]), TextureSettings(size=size))
    used = sum(view.T_world_head is not None for view in avatar.views)
    return TextureCost(used, size, time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)
