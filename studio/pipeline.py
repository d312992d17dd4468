"""Runs the stages in order, skips what is done, records what was run. The recipe itself is the list in studio/stages.py."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from assets.errors import InputError, RangeError
from studio.artifacts import (
    Staging,
    Stamp,
    hash_inputs,
    hash_of_record,
    open_out_folder,
    plain,
    read_stamp,
    sha256_of,
    stamp_path,
    write_json,
)
from studio.console import Reporter
from studio.doctor import git_commit, own_version, package_versions
from studio.settings import RunSettings
from studio.stages import STAGES, Job, Stage

MEMORY_INTERVAL_S = 0.05
"""How often the resident set of the process is looked at."""


@dataclasses.dataclass(frozen=True)
class StageOutcome:
    """What happened to one stage in this run."""

    name: str
    state: str
    """"ran", "done before" or "left out"."""
    summary: str
    """One line of facts, or the reason for leaving it out."""
    wall_s: float
    """Wall time when it ran, now or before; 0 where left out."""
    peak_rss_mb: float
    """Largest resident set of the whole process while it ran (psutil, sampled every 50 ms), MiB; 0 where left out."""


def run_pipeline(
    source: Path,
    out: Path,
    settings: RunSettings,
    *,
    force: Sequence[str] = (),
    only: Sequence[str] = (),
    reporter: Reporter | None = None,
    stages: Sequence[Stage] = STAGES,
) -> list[StageOutcome]:
    """Photos or a video in; everything else into `out`.

    A stage whose stamp matches its settings and inputs is skipped, together with a line that says so; `force` names stages to run
    all the same, and `only` those to run at all. After an interruption the same call goes on where it stopped.

    Raises InputError where the source or the output folder cannot be used, RangeError for an unknown stage name, and whatever a stage
    raises; complete artefacts of earlier stages stay.
    """
    _check_names(force, only, stages)
    if not source.exists():
        raise InputError(expected="a folder of photos, or a video file", got=f"no such path: {source}", do="check the path")
    for stage in stages:
        stage.check(settings)
    reporter = reporter or Reporter(quiet=True)
    out = open_out_folder(out)
    record = _RunRecord(source.resolve(), out, settings, hash_inputs(source, without=(out,)))
    keys: dict[str, str] = {}
    forced = set(force)
    for stage in stages:
        if forced.intersection(stage.needs):
            forced.add(stage.name)
        if only and stage.name not in only:
            stamp = read_stamp(out, stage.name)
            keys.update({stage.name: stamp.key} if stamp else {})
            continue
        outcome = _run_one(stage, record, keys, reporter, forced=stage.name in forced)
        record.add(outcome)
        reporter.say(_outcome_line(outcome))
    record.finish()
    return record.outcomes


def _outcome_line(outcome: StageOutcome) -> str:
    match outcome.state:
        case "ran":
            return f"+ {outcome.name}: {outcome.summary} ({outcome.wall_s:.1f} s)"
        case "done before":
            return f"= {outcome.name}: {outcome.summary} (done before, skipped)"
        case _:
            return f"- {outcome.name}: left out: {outcome.summary}"


def _check_names(force: Sequence[str], only: Sequence[str], stages: Sequence[Stage]) -> None:
    names = [stage.name for stage in stages]
    for name in (*force, *only):
        if name not in names:
            raise RangeError(expected=f"a stage out of {', '.join(names)}", got=repr(name), do="correct the name")


def _run_one(stage: Stage, record: _RunRecord, keys: dict[str, str], reporter: Reporter, *, forced: bool) -> StageOutcome:
    reason = stage.why_not(record.settings)
    if reason:
        return StageOutcome(stage.name, "left out", reason, 0.0, 0.0)
    key = _key_of(stage, record, keys)
    stamp = read_stamp(record.out, stage.name)
    if stamp and stamp.key == key and not forced and all((record.out / name).exists() for name in stamp.outputs):
        keys[stage.name] = key
        return StageOutcome(stage.name, "done before", stamp.summary, stamp.wall_s, stamp.peak_rss_mb)
    keys[stage.name] = key
    return _execute(stage, record, key, reporter, fresh=forced)


def _key_of(stage: Stage, record: _RunRecord, keys: dict[str, str]) -> str:
    """Changes with the stage's settings, with the keys of the stages that it needs, and with the contents of what it reads."""
    read = {name: sha256_of(record.out / name) for name in stage.reads if (record.out / name).exists()}
    before = {name: keys[name] for name in stage.needs if name in keys}
    own = stage.settings_of(record.settings)
    inputs = record.inputs if stage.reads_source else {}
    return hash_of_record([stage.name, own_version(), own, before, read, inputs])


def _execute(stage: Stage, record: _RunRecord, key: str, reporter: Reporter, *, fresh: bool) -> StageOutcome:
    stamp_file = stamp_path(record.out, stage.name)
    staging = Staging(record.out, stage.name, key)
    if fresh:
        staging.discard()
        staging = Staging(record.out, stage.name, key)
    started, clock = _utc_now(), time.monotonic()
    try:
        with reporter.stage(stage.name), PeakMemory() as memory:
            summary = stage.run(Job(record.source, record.out, record.settings, reporter.progress), staging)
    except BaseException:
        if not staging.done_frames:
            staging.discard()
        raise
    stamp_file.unlink(missing_ok=True)
    outputs = staging.publish()
    wall_s = round(time.monotonic() - clock, 3)
    settings = plain(stage.settings_of(record.settings))
    write_json(stamp_file, Stamp(stage.name, key, {"settings": settings}, outputs, summary, started, wall_s, round(memory.peak_mb, 1)))
    return StageOutcome(stage.name, "ran", summary, wall_s, round(memory.peak_mb, 1))


def _utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class PeakMemory:
    """Samples the resident set of this process in a thread; `peak_mb` is the largest value seen, MiB."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.peak_mb = max(self.peak_mb, process.memory_info().rss / 2**20)
            if self._stop.wait(MEMORY_INTERVAL_S):
                return

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()


class _RunRecord:
    """`run.json`, written before work starts and after every stage."""

    def __init__(self, source: Path, out: Path, settings: RunSettings, inputs: dict[str, str]) -> None:
        self.source, self.out, self.settings, self.inputs = source, out, settings, inputs
        self.outcomes: list[StageOutcome] = []
        self._facts = {
            "source": source,
            "started": _utc_now(),
            "finished": None,
            "settings": settings,
            "versions": package_versions(),
            "git_commit": git_commit(Path(__file__).resolve().parent.parent),
            "inputs_sha256": inputs,
            "memory_is": "largest resident set of the whole process during the stage, psutil, sampled every 50 ms, MiB",
        }
        self._write()

    def add(self, outcome: StageOutcome) -> None:
        self.outcomes.append(outcome)
        self._write()

    def finish(self) -> None:
        self._facts["finished"] = _utc_now()
        self._write()

    def _write(self) -> None:
        write_json(self.out / "run.json", {**self._facts, "stages": self.outcomes})
