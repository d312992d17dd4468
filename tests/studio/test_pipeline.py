"""The pipeline's promises, shown with three small stages: what is skipped, what runs again, what an interruption leaves."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from assets.atomic import write_bytes
from assets.errors import ArtifactError, InputError, RangeError
from studio.artifacts import changed_since, hash_files, plain, read_json, read_stamp, write_json
from studio.pipeline import run_pipeline
from studio.settings import RunSettings, SweepSettings
from studio.source import hash_sources
from studio.stages import Job, Stage
from studio.staging import Staging


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
            path = write_bytes(staging.folder / "frames" / f"{index}.txt", b"x" * index)
            if self.interrupt_at == f"frame {index}":
                raise KeyboardInterrupt
            staging.frame_done(f"{index}", [path], square=index * index)
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
    ("content", "expected"), [(b"{", "JSON in"), (b'{"schema_version": 99}', "99"), (b"[]", "list"), (None, "no file")]
)
def test_a_broken_artefact_is_an_artifact_error(tmp_path: Path, content: bytes | None, expected: str):
    path = tmp_path / "capture.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=expected):
        read_json(path)


@pytest.mark.parametrize("moment", ["before the move", "between the moves", "after the move"])
def test_an_interruption_while_publishing_never_shows_a_part_as_the_whole(source: Path, tmp_path: Path, monkeypatch, moment: str):
    """Ctrl-C on either side of the rename, and while what it replaced is removed: the next run ends as if it had not been."""
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    before, replace = tree(out), Staging._replace

    def interrupted(self: Staging, new: Path, place: Path) -> None:
        if place.name == "frames" and moment == "before the move":
            raise KeyboardInterrupt
        replace(self, new, place)
        if place.name == "frames" and moment == "between the moves":
            raise KeyboardInterrupt

    def interrupted_discard(self: Staging) -> None:
        if self.folder.name == "frames.partial" and hasattr(self, "_frames") and self.num_done:
            raise KeyboardInterrupt
        discard(self)

    discard = Staging.discard
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "_replace", interrupted)
        if moment == "after the move":
            patch.setattr(Staging, "discard", interrupted_discard)
        with pytest.raises(KeyboardInterrupt):
            run_pipeline(source, out, settings(width=7), stages=recipe.stages)
    assert tree(out) == before
    run_pipeline(source, out, settings(width=7), stages=recipe.stages)
    assert tree(out) == before and len(before) == 1 + 4 + 1 + 1
    assert not list((out / ".stages").glob("*.partial"))


def test_an_interrupted_swap_of_a_folder_puts_the_older_one_back(source: Path, tmp_path: Path, monkeypatch):
    import os

    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    before, replace = tree(out), os.replace

    def interrupted(new, place):
        if Path(new).parent.name == "frames.partial" and Path(new).name == "frames":
            raise KeyboardInterrupt
        replace(new, place)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(source, out, settings(width=7), stages=recipe.stages)
    assert tree(out) == before


def test_a_logged_frame_whose_file_has_gone_is_made_again_with_all_after_it(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    recipe.interrupt_at = "frame 3"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(source, out, settings(), stages=recipe.stages)
    (out / ".stages" / "frames.partial" / "frames" / "1.txt").unlink()
    recipe.interrupt_at, recipe.calls = "", []
    run_pipeline(source, out, settings(), stages=recipe.stages)
    assert recipe.calls == ["frames", "frame 1", "frame 2", "frame 3", "total"]
    assert [frame["square"] for frame in read_json(out / "frames" / "frames.json")["frames"]] == [0, 1, 4, 9]


def test_the_log_of_frames_is_appended_to_and_half_a_line_counts_as_no_frame(tmp_path: Path):
    staging = Staging(tmp_path, "s", "key")
    log = staging.folder / ".frames.jsonl"
    for index in range(3):
        path = write_bytes(staging.folder / f"{index}.txt", b"x")
        before = log.read_bytes()
        staging.frame_done(f"{index}", [path])
        assert log.read_bytes().startswith(before) and len(log.read_bytes()) - len(before) < 60
    log.write_bytes(log.read_bytes()[:-9])
    again = Staging(tmp_path, "s", "key")
    assert again.done_frames == [{"name": "0"}, {"name": "1"}]
    again.frame_done("2", [staging.folder / "2.txt"])
    assert Staging(tmp_path, "s", "key").done_names == {"0", "1", "2"}
    assert Staging(tmp_path, "s", "another key").num_done == 0


@pytest.mark.parametrize("place", ["", "images", "gt"])
def test_an_output_folder_among_the_photos_themselves_is_refused(source: Path, place: str):
    with pytest.raises(InputError, match="apart from the photos"):
        run_pipeline(source, source / place, settings(), stages=Recipe().stages)
    assert [path.name for path in source.iterdir()] == ["a.jpg"]


def test_photos_where_an_artefact_would_replace_them_are_refused(tmp_path: Path):
    photos = tmp_path / "project" / "frames"
    photos.mkdir(parents=True)
    (photos / "a.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="no artefact would replace"):
        run_pipeline(photos, tmp_path / "project", settings(), stages=Recipe().stages)
    assert (photos / "a.jpg").read_bytes() == b"mine"


def test_changed_cameras_beside_a_folder_of_images_run_everything(tmp_path: Path):
    """A rig's cameras.json may lie one folder above its pictures; ingest reads it there, so its contents count."""
    images = tmp_path / "rig" / "images"
    images.mkdir(parents=True)
    (images / "a.jpg").write_bytes(b"a")
    (images / "notes.txt").write_text("never read")
    (images.parent / "cameras.json").write_text("{}")
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(images, out, settings(), stages=recipe.stages)
    assert set(read_json(out / "run.json")["inputs_sha256"]) == {"a.jpg", "../cameras.json"}
    (images.parent / "cameras.json").write_text('{"cameras": {}}')
    assert states(run_pipeline(images, out, settings(), stages=recipe.stages)) == ["ran"] * 3
    (images / "notes.txt").write_text("changed, and still never read")
    assert states(run_pipeline(images, out, settings(), stages=recipe.stages)) == ["done before"] * 3


def test_cameras_given_by_name_are_hashed_and_reach_the_stages(source: Path, tmp_path: Path):
    cameras, seen = tmp_path / "calibration.json", []
    cameras.write_text("{}")

    def count(job: Job, staging: Staging) -> str:
        seen.append(job.cameras)
        write_json(staging.folder / "count.json", {"count": 1})
        return "counted"

    stages = [dataclasses.replace(Recipe().stages[0], run=count)]
    run_pipeline(source, tmp_path / "out", settings(), cameras=cameras, stages=stages)
    assert seen == [cameras.resolve()]
    cameras.write_text("{ }")
    assert states(run_pipeline(source, tmp_path / "out", settings(), cameras=cameras, stages=stages)) == ["ran"]
    with pytest.raises(InputError, match="no such file"):
        run_pipeline(source, tmp_path / "out", settings(), cameras=tmp_path / "none.json", stages=stages)


def test_an_unreadable_photo_is_hashed_as_such_and_does_not_stop_the_run(source: Path, monkeypatch):
    from studio import artifacts

    (source / "b.jpg").write_bytes(b"good")
    whole = artifacts.sha256_of

    def refused(path: Path) -> str:
        if path.name == "a.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(artifacts, "sha256_of", refused)
    assert hash_sources([source], None, RunSettings().capture) == {"a.jpg": "unreadable", "b.jpg": hashlib.sha256(b"good").hexdigest()}
    assert hash_files([source / "gone.jpg"], base=source) == {"gone.jpg": "unreadable"}


def test_a_run_of_some_stages_keeps_the_record_of_the_whole_run(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(height=321), stages=recipe.stages)
    whole = read_json(out / "run.json")
    run_pipeline(source, out, settings(height=5), stages=recipe.stages, only=["count"])
    record = read_json(out / "run.json")
    assert {name: value for name, value in record.items() if name != "later_runs"} == whole
    (later,) = record["later_runs"]
    assert later["only"] == ["count"] and later["settings"]["sweep"]["height"] == 5 and later["finished"]
    assert [stage["name"] for stage in later["stages"]] == ["count"]


def test_a_stamp_knows_which_of_its_inputs_changed_since(source: Path, tmp_path: Path):
    recipe, out = Recipe(), tmp_path / "out"
    run_pipeline(source, out, settings(), stages=recipe.stages)
    assert changed_since(out, "frames") == []
    write_json(out / "count.json", {"count": 1})
    assert changed_since(out, "frames") == ["count.json"] and changed_since(out, "total") == []
