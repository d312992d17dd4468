"""Expressions by the face landmarker's scores: where they are read, and of which faces they are believed."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from recon import check_expressions
from recon.capture import Detection, View
from recon.check_expressions import expressions_of
from recon.coverage_expressions import shown_expressions
from recon.face_mesh import MeshedFace


def test_scores_are_read_around_each_face_less_what_all_share_and_not_from_far_aside(monkeypatch):
    names = ["a", "b", "c", "d", "aside", "gone"]
    points = np.array([[100.0, 80.0], [180.0, 200.0]], np.float32)
    detections = {name: Detection(name, "mediapipe478", points, 1) for name in names}
    prepared = cast(Any, SimpleNamespace(views=[View(name, Path(name)) for name in [*names, "no face"]]))
    yaws_deg = {"a": 0.0, "b": 2.0, "c": -3.0, "d": math.nan, "aside": 60.0, "no face": math.nan, "gone": 0.0}
    jaw_open = iter([0.2, 0.2, 0.2, 0.9, 0.8])
    crops: list[tuple[int, ...]] = []

    def mesh(image: np.ndarray, **_: object) -> list[MeshedFace]:
        crops.append(image.shape)
        return [MeshedFace(np.zeros((478, 3)), {"jawOpen": next(jaw_open), "_neutral": 0.5})]

    monkeypatch.setattr(check_expressions, "find_task_file", lambda: Path("face_landmarker.task"))
    monkeypatch.setattr(check_expressions, "run_face_mesh", mesh)
    picture = np.zeros((400, 500, 3), np.uint8)
    weights, source = expressions_of(detections, prepared, None, yaws_deg, lambda view: None if view.name == "gone" else picture)
    assert source == "scores of the face landmarker"
    assert {name: {shape: round(value, 6) for shape, value in found.items()} for name, found in weights.items()} == {
        "a": {}, "b": {}, "c": {}, "d": {"jawOpen": 0.7}, "aside": {},
    }  # fmt: skip
    # 1.8 faces of 120 px around (140, 140).
    assert set(crops) == {(217, 217, 3)}


def test_a_smile_that_the_fits_prior_holds_back_is_shown_and_rest_is_not(monkeypatch):
    fitted = [{"mouthSmileLeft": value, "jawOpen": 0.1} for value in (0.02, 0.02, 0.02, 0.02, 0.19, 0.35, 0.9, 0.02)]
    views = [SimpleNamespace(instant=index) for index in range(len(fitted))]
    solution = cast(Any, SimpleNamespace(problem=SimpleNamespace(views=views), state=None, registered=range(len(fitted))))
    prepared = cast(Any, SimpleNamespace(views=[View(f"{index}", Path(f"{index}")) for index in range(len(fitted))]))
    monkeypatch.setattr(check_expressions, "find_task_file", lambda: None)
    monkeypatch.setattr(check_expressions, "weights_by_name", lambda problem, state, instant: fitted[instant])
    yaws_deg = {f"{index}": 5.0 * index - 20 for index in range(len(fitted))}
    weights, source = expressions_of({}, prepared, solution, yaws_deg, lambda view: None)
    assert source == "landmarks alone"
    # Of full, a third of a smile by landmarks is 0.6; what all share, the jaw, is none.
    np.testing.assert_allclose([weights[f"{index}"].get("mouthSmileLeft", 0.0) for index in (3, 4, 5, 6)], [0, 0.17 / 0.55, 0.6, 1.0])
    assert [shown_expressions(weights[f"{index}"]) for index in (3, 4, 5, 6)] == [(), (), ("smile",), ("smile",)]


def test_without_the_landmarkers_file_and_without_a_fit_nothing_is_told(monkeypatch):
    monkeypatch.setattr(check_expressions, "find_task_file", lambda: None)
    assert expressions_of({}, cast(Any, SimpleNamespace(views=[])), None, {}, lambda view: None) == ({}, "landmarks alone")
