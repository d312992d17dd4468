"""An interrupted fit goes on after its last finished stage, to the bit; nothing stale, broken or foreign is ever taken."""

from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from assets import load_head
from assets.errors import InputError
from recon.solve import pipeline
from recon.solve.checkpoints import Checkpoints, digest
from recon.solve.pipeline import solve
from recon.solve.prepare import Prepared
from recon.solve.solution import Solution
from tests.recon.synthetic_person import Person, make_person, prepare_person


@pytest.fixture(scope="module")
def person() -> Person:
    return make_person(load_head(), yaws_deg=(-22.0, 3.0, 26.0))


@pytest.fixture
def prepared(person: Person) -> Prepared:
    return prepare_person(person)


def assert_same(a: Solution, b: Solution) -> None:
    for field in dataclasses.fields(a.state):
        np.testing.assert_array_equal(getattr(a.state, field.name), getattr(b.state, field.name), err_msg=field.name)
    np.testing.assert_array_equal(a.problem.deformable.offsets, b.problem.deformable.offsets)
    assert (a.registered, a.rejected, a.notes) == (b.registered, b.rejected, b.notes)
    assert digest(a.problem) == digest(b.problem) and digest(a.reports) == digest(b.reports)


def test_a_resumed_fit_ends_where_an_uninterrupted_one_does_to_the_bit(person, prepared, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pipeline, "FAST", tuple(dataclasses.replace(stage, rounds=1) for stage in pipeline.FAST))
    whole = solve(prepared, "fast", True, True)
    # The fast preset corrects no expression, but what it ends with is what the avatar keeps.
    assert not whole.corrections and whole.uncertainty is not None
    assert whole.state.weights.min() >= 0.0 and whole.state.weights.max() <= 1.0

    def interrupt(text: str, done: int, total: int) -> None:
        if text.startswith("middle flow"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(prepared, "fast", True, True, interrupt, Checkpoints(tmp_path / "c", prepared, "fast"))
    again = prepare_person(person)
    kept = Checkpoints(tmp_path / "c", again, "fast")
    texts: list[str] = []
    resumed = solve(again, "fast", True, True, lambda text, *_: texts.append(text), kept)
    assert kept.num_resumed >= 2 and not any(text.startswith(("landmarks", "coarse flow")) for text in texts)
    assert any(text.startswith("middle flow") for text in texts)
    assert_same(whole, resumed)
    assert resumed.problem.deformable.modes is again.problem.deformable.modes, "what belongs to the inputs is not stored"
    assert sum(path.stat().st_size for path in (tmp_path / "c").iterdir()) < 3_000_000


def _counting(folder: Path, inputs: object, settings: object) -> tuple[int, list[int]]:
    """How many of two stages had to be made."""
    kept, made = Checkpoints(folder, inputs, settings), []
    for number in (1, 2):
        kept.step(f"stage {number}", lambda number=number: made.append(number) or np.arange(number))
    return len(made), made


def test_nothing_stale_is_used_when_a_pixel_a_landmark_or_a_setting_is_another(prepared, tmp_path: Path):
    assert _counting(tmp_path, prepared, ("full", 1)) == (2, [1, 2])
    assert _counting(tmp_path, prepared, ("full", 1)) == (0, [])
    assert _counting(tmp_path, prepared, ("full", 2))[0] == 2
    picture = prepared.pictures[1]
    grey = picture.grey.copy()
    grey[37, 91] += 1
    pixel = dataclasses.replace(prepared, pictures=[prepared.pictures[0], dataclasses.replace(picture, grey=grey), *prepared.pictures[2:]])
    assert _counting(tmp_path, pixel, ("full", 2))[0] == 2
    views = list(prepared.problem.views)
    views[2] = dataclasses.replace(views[2], focal_px=views[2].focal_px + [0.0, 1e-9])
    focal = dataclasses.replace(prepared, problem=dataclasses.replace(prepared.problem, views=tuple(views)))
    assert _counting(tmp_path, focal, ("full", 2))[0] == 2
    assert _counting(tmp_path, focal, ("full", 2))[0] == 0


def test_a_half_written_stage_is_made_again(prepared, tmp_path: Path):
    _counting(tmp_path, prepared, "a")
    stage = next(tmp_path.glob("02-*.stage"))
    stage.write_bytes(stage.read_bytes()[:-7])
    assert _counting(tmp_path, prepared, "a") == (1, [2])


def test_what_lies_finished_is_named_in_the_order_of_the_solve_up_to_the_first_gap(tmp_path: Path):
    inputs = dataclasses.make_dataclass("Inputs", ["picture"], frozen=True)(np.arange(3))
    assert Checkpoints(tmp_path, inputs, "a").finished() == ()
    kept = Checkpoints(tmp_path, inputs, "a")
    for name in ("landmarks", "coarse flow", "free form"):
        kept.step(name, lambda: np.ones(2))
    assert Checkpoints(tmp_path, inputs, "a").finished() == ("landmarks", "coarse flow", "free form")
    (tmp_path / "02-coarse-flow.stage").unlink()
    assert Checkpoints(tmp_path, inputs, "a").finished() == ("landmarks",)
    assert Checkpoints(tmp_path, inputs, "b").finished() == (), "another solve's stages are none of this one's"


def test_files_of_the_users_own_in_that_folder_are_kept_and_a_broken_key_means_another_solve(prepared, tmp_path: Path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    assert _counting(tmp_path, prepared, "a")[0] == 2
    (tmp_path / "key.txt").write_bytes(b"\xff\xfe")
    assert _counting(tmp_path, prepared, "a")[0] == 2
    Checkpoints(tmp_path, prepared, "a").discard()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    with pytest.raises(InputError, match=r"photo\.jpg"):
        Checkpoints(tmp_path / "photo.jpg", prepared, "a")


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def test_a_file_that_would_call_something_is_not_obeyed(prepared, tmp_path: Path):
    _counting(tmp_path, prepared, "a")
    evil = pickle.dumps(_Evil(tmp_path / "called"))
    next(tmp_path.glob("01-*.stage")).write_bytes(evil)
    assert _counting(tmp_path, prepared, "a") == (1, [1])
    assert not (tmp_path / "called").exists()
    pickle.loads(evil)
    assert (tmp_path / "called").exists(), "a plain reader would have obeyed"


def test_every_stage_of_the_solve_is_kept(prepared, tmp_path: Path, monkeypatch):
    """Each call of `step` in the solve leaves a file, numbered in their order."""
    monkeypatch.setattr(pipeline, "FAST", (dataclasses.replace(pipeline.FAST[0], rounds=1),))
    solve(prepared, "fast", True, True, None, Checkpoints(tmp_path, prepared, "fast"))
    names = sorted(path.name for path in tmp_path.glob("*.stage"))
    assert [name[:2] for name in names] == [f"{number:02d}" for number in range(1, len(names) + 1)]
    assert [name[3:-6] for name in names][:3] == ["landmarks", "coarse-flow", "strangers"]
