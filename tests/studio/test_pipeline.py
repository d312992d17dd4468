"""The pipeline's promises, shown with three small stages: what is skipped, what runs again, what an interruption leaves."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from assets.errors import ArtifactError, InputError, RangeError
from studio.artifacts import Staging, plain, read_json, read_stamp, write_bytes, write_json
from studio.pipeline import run_pipeline
from studio.settings import RunSettings, SweepSettings
from studio.stages import Job, Stage


class Recipe:
    """count.json -> frames/ (frame by frame) -> sum.json; `calls` says what really ran."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.interrupt_at = ""

    def count(self, job: Job, staging: Staging) -> str:
        self.calls.append("count")
        write_json(staging.folder / "count.json", {"count": job.settings.sweep.orbit_frames})
        if self.interrupt_at == "count":
            raise KeyboardInterrupt
        return "counted"

    def frames(self, job: Job, staging: Staging) -> str:
        self.calls.append("frames")
        for index in range(read_json(job.out / "count.json")["count"]):
            if f"{index}" in staging.done_names:
                continue
            self.calls.append(f"frame {index}")
            write_bytes(staging.folder / "frames" / f"{index}.txt", b"x" * index)
            if self.interrupt_at == f"frame {index}":
                raise KeyboardInterrupt
            staging.frame_done(f"{index}", square=index * index)
        write_json(staging.folder / "frames" / "frames.json", {"frames": staging.done_frames})
        return "framed"

    def total(self, job: Job, staging: Staging) -> str:
        self.calls.append("total")
        write_json(staging.folder / "sum.json", {"sum": sum(len(p.read_bytes()) for p in (job.out / "frames").glob("*.txt"))})
        return "summed"

    @property
    def stages(self) -> list[Stage]:
        return [
            Stage("count", self.count, lambda s: s.sweep.orbit_frames, reads_source=True),
            Stage("frames", self.frames, lambda s: s.sweep.width, ("count",), ("count.json",)),
            Stage("total", self.total, lambda s: s.sweep.height, ("frames",), ("frames",)),
        ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"not read by these stages")
    return folder


def settings(**sweep: int) -> RunSettings:
    return RunSettings(sweep=SweepSettings(**{"orbit_frames": 4, **sweep}))


def tree(folder: Path) -> dict[str, bytes]:
    """All artefacts; stamps and run.json hold times and are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if ".stages" not in path.parts}


def states(outcomes) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_a_second_run_skips_every_stage(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages)) == ["ran"] * 3
    first, recipe.calls = tree(out), []
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages)) == ["done before"] * 3
    assert recipe.calls == [] and tree(out) == first
    assert json.loads(first["sum.json"])["sum"] == 0 + 1 + 2 + 3


def test_a_changed_setting_runs_its_stage_and_the_later_ones_only(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    recipe.calls = []
    assert states(run_pipeline(source, out, settings(width=7), stages=recipe.stages)) == ["done before", "ran", "ran"]
    assert states(run_pipeline(source, out, settings(width=7, height=7), stages=recipe.stages)) == ["done before", "done before", "ran"]
    assert "count" not in recipe.calls


def test_a_changed_photo_runs_everything(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    (source / "a.jpg").write_bytes(b"another picture")
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages)) == ["ran"] * 3


def test_an_artefact_replaced_by_hand_is_kept_and_the_later_stages_use_it(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    write_json(out / "count.json", {"count": 6})
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages)) == ["done before", "ran", "ran"]
    assert read_json(out / "sum.json")["sum"] == 0 + 1 + 2 + 3 + 4 + 5


def test_a_missing_artefact_runs_its_stage_again(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    (out / "sum.json").unlink()
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages)) == ["done before", "done before", "ran"]


def test_force_runs_the_named_stage_and_what_needs_it_once(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages, force=["frames"])) == ["done before", "ran", "ran"]
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages)) == ["done before"] * 3


def test_an_interrupted_frame_stage_shows_nothing_and_goes_on_where_it_stopped(source: Path, tmp_path: Path):
    recipe, out, whole = Recipe(), tmp_path / "out", tmp_path / "whole"
    recipe.interrupt_at = "frame 2"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(source, out, settings(), stages=recipe.stages)
    assert sorted(tree(out)) == ["count.json"], "frames/ must not be there until it is complete"
    recipe.interrupt_at, recipe.calls = "", []
    assert states(run_pipeline(source, out, settings(), stages=recipe.stages)) == ["done before", "ran", "ran"]
    assert recipe.calls == ["frames", "frame 2", "frame 3", "total"], "frames 0 and 1 were complete, frame 2 was not"
    run_pipeline(source, whole, settings(), stages=Recipe().stages)
    assert tree(out) == tree(whole)
    assert not list((out / ".stages").glob("*.partial"))


def test_frames_of_other_settings_are_not_used_when_a_stage_goes_on(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    recipe.interrupt_at = "frame 2"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(source, out, settings(), stages=recipe.stages)
    recipe.interrupt_at, recipe.calls = "", []
    run_pipeline(source, out, settings(width=9), stages=recipe.stages)
    assert recipe.calls[:2] == ["frames", "frame 0"]


def test_an_interrupted_whole_stage_leaves_nothing(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    recipe.interrupt_at = "count"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(source, out, settings(), stages=recipe.stages)
    assert tree(out) == {} and not list((out / ".stages").glob("*"))
    assert read_json(out / "run.json")["finished"] is None


def test_an_interrupted_rerun_keeps_the_older_artefact_whole(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    before = tree(out)
    recipe.interrupt_at = "frame 1"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(source, out, settings(width=5), stages=recipe.stages)
    assert tree(out) == before


def test_run_json_holds_settings_versions_hashes_times_and_memory(source: Path, tmp_path: Path):
    run_pipeline(source, tmp_path / "out", settings(width=123), stages=Recipe().stages)
    record = read_json(tmp_path / "out" / "run.json")
    assert record["settings"]["sweep"]["width"] == 123
    assert {"recon-avatar", "python", "numpy", "torch", "diffusers"} <= set(record["versions"])
    assert record["inputs_sha256"] == {"a.jpg": hashlib.sha256(b"not read by these stages").hexdigest()}
    assert record["started"] <= record["finished"]
    assert [stage["name"] for stage in record["stages"]] == ["count", "frames", "total"]
    assert all(stage["peak_rss_mb"] > 20 and stage["wall_s"] >= 0 for stage in record["stages"])


def test_the_output_folder_may_lie_among_the_photos(source: Path):
    recipe = Recipe()
    run_pipeline(source, source / "out", settings(), stages=recipe.stages)
    assert states(run_pipeline(source, source / "out", settings(), stages=recipe.stages)) == ["done before"] * 3


def test_a_stage_that_is_left_out_says_why(source: Path, tmp_path: Path):
    stages = [dataclasses.replace(stage, why_not=lambda s: "no reason to") if stage.name == "total" else stage for stage in Recipe().stages]
    outcome = run_pipeline(source, tmp_path / "out", settings(), stages=stages)[-1]
    assert (outcome.state, outcome.summary) == ("left out", "no reason to")
    assert read_stamp(tmp_path / "out", "total") is None


def test_settings_that_can_be_known_wrong_are_refused_before_anything_is_written(source: Path, tmp_path: Path):
    def refuse(settings: RunSettings) -> None:
        raise RangeError(expected="a", got="b", do="c")

    stages = [dataclasses.replace(stage, check=refuse) if stage.name == "total" else stage for stage in Recipe().stages]
    with pytest.raises(RangeError):
        run_pipeline(source, tmp_path / "out", settings(), stages=stages)
    assert not (tmp_path / "out").exists()


def test_an_unknown_stage_name_is_refused(source: Path, tmp_path: Path):
    with pytest.raises(RangeError, match="fitt"):
        run_pipeline(source, tmp_path / "out", settings(), stages=Recipe().stages, force=["fitt"])


def test_a_folder_under_a_file_cannot_be_an_output_folder(source: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Not a directory"):
        run_pipeline(source, tmp_path / "file" / "out", settings(), stages=Recipe().stages)


def test_numbers_that_are_not_finite_are_null_in_json():
    assert plain({"a": float("nan"), "b": (1, float("inf"), Path("x"))}) == {"a": None, "b": [1, None, "x"]}


@pytest.mark.parametrize(
    ("content", "expected"), [(b"{", "JSON in"), (b'{"schema_version": 99}', "99"), (b"[]", "None"), (None, "no file")]
)
def test_a_broken_artefact_is_an_artifact_error(tmp_path: Path, content: bytes | None, expected: str):
    path = tmp_path / "capture.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=expected):
        read_json(path)
