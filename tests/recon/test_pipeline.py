"""The order of a fit's stages, with the stages themselves replaced by a note of their names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from recon.solve import pipeline
from recon.solve.stages import FINE, FULL, RIG

NAMES = {"rig": [stage.name for stage in RIG], "full": [stage.name for stage in FULL]}


@pytest.fixture
def stages_run(monkeypatch):
    """`run(cameras)` gives the dense stages' names when so many cameras remain after the landmarks, and after each dense stage."""

    def run(cameras: list[int]) -> list[str]:
        ran: list[str] = []
        prepared = SimpleNamespace(views=range(5), calibrated=range(5), is_rig=True)

        def solution() -> SimpleNamespace:
            remaining = cameras[min(len(ran), len(cameras) - 1)]
            return SimpleNamespace(registered=list(range(remaining)), problem=None, state=None, notes=())

        def dense(before, prepared, stage, progress):
            ran.append(stage.name)
            return solution()

        monkeypatch.setattr(pipeline, "_landmarks_only", lambda prepared, progress: solution())
        monkeypatch.setattr(pipeline, "_dense", dense)
        monkeypatch.setattr(pipeline, "_without_strangers", lambda solution, prepared, stage, progress: solution)
        monkeypatch.setattr(pipeline, "missed_views", lambda solution, prepared: [])
        monkeypatch.setattr(pipeline, "swept_views", lambda solution, prepared: solution.registered if len(solution.registered) > 3 else [])
        monkeypatch.setattr(pipeline, "view_span_deg", lambda problem, state, views: 90.0)
        monkeypatch.setattr(pipeline, "refine_modes", lambda solution, prepared, progress, levels: solution)
        pipeline.solve(prepared, "full", True, False)  # pyright: ignore[reportArgumentType]
        return ran

    return run


def test_a_rig_that_can_be_swept_starts_from_the_short_rounds_of_flow(stages_run):
    assert stages_run([5]) == NAMES["rig"]


def test_a_rig_whose_rejected_cameras_leave_too_few_for_the_sweep_is_refined_by_flow(stages_run):
    assert stages_run([3]) == NAMES["full"]


def test_a_rig_that_loses_cameras_after_flow_began_gets_the_fine_flow_instead_of_the_sweep(stages_run):
    assert stages_run([5, 5, 3]) == [*NAMES["rig"], FINE.name]
