"""Runs the stages in order, skips what is done, records what was run. The recipe itself is the list in studio/stages.py."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from assets.errors import ArtifactError, RangeError
from assets.licences import refuse_non_commercial
from studio.artifacts import Stamp, hash_of_record, open_out_folder, plain, read_json, read_stamp, sha256_of, stamp_path, write_json
from studio.console import Reporter
from studio.doctor import git_commit, own_version, package_versions
from studio.licences import run_parts
from studio.run_lock import writing_into
from studio.settings import RunSettings
from studio.source import check_out_is_apart, hash_sources
from studio.stages import STAGES, Job, Stage
from studio.staging import Staging, clear_leftover

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
    source: Path | Sequence[Path],
    out: Path,
    settings: RunSettings,
    *,
    cameras: Path | None = None,
    resume: bool = True,
    force: Sequence[str] = (),
    only: Sequence[str] = (),
    reporter: Reporter | None = None,
    stages: Sequence[Stage] = STAGES,
    commercial: bool = False,
) -> list[StageOutcome]:
    """Photos, videos, or several folders of them in; everything else into `out`.

    A stage whose stamp matches its settings and inputs is skipped, together with a line that says so; `force` names stages to run
    all the same, and `only` those to run at all. `cameras` makes the photos a calibrated rig. After an interruption the same call goes
    on where it stopped; without `resume` a fit begins anew even so. With `commercial` heads, detectors and models whose licences do not
    allow commercial use are refused.

    Raises LicenceError for these, InputError where the source or the output folder cannot be used, lie in each other's way, or another
    command is writing into the folder, RangeError for an unknown stage name, and whatever a stage raises; complete artefacts of
    earlier stages stay.
    """
    _check_names(force, only, stages)
    parts = run_parts(settings, out=out, only=only)
    if commercial:
        refuse_non_commercial(parts)
    sources = [source] if isinstance(source, Path) else list(source)
    for each in sources:
        check_out_is_apart(each, out)
    inputs = hash_sources(sources, cameras, settings.capture)
    for stage in stages:
        if not only or stage.name in only:
            stage.check(settings)
            stage.check_in(settings, out)
    reporter = reporter or Reporter(quiet=True)
    out = open_out_folder(out)
    licences = {"commercial": commercial, "licences": parts}
    with writing_into(out):
        resolved = [each.resolve() for each in sources]
        record = _RunRecord(resolved, out, settings, inputs, licences, cameras=cameras and cameras.resolve(), only=only, resume=resume)
        return _run_stages(stages, record, set(force), only, reporter)


def _run_stages(
    stages: Sequence[Stage], record: _RunRecord, forced: set[str], only: Sequence[str], reporter: Reporter
) -> list[StageOutcome]:
    keys: dict[str, str] = {}
    for stage in stages:
        if forced.intersection(stage.needs):
            forced.add(stage.name)
        if only and stage.name not in only:
            stamp = read_stamp(record.out, stage.name)
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
    read = {name: sha256_of(record.out / name) for name in stage.reads if (record.out / name).exists()}
    key = keys[stage.name] = _key_of(stage, record, keys, read)
    stamp = read_stamp(record.out, stage.name)
    if stamp and stamp.key == key and not forced and all((record.out / name).exists() for name in stamp.outputs):
        clear_leftover(record.out, stage.name)
        return StageOutcome(stage.name, "done before", stamp.summary, stamp.wall_s, stamp.peak_rss_mb)
    return _execute(stage, record, key, read, reporter, fresh=forced)


def _key_of(stage: Stage, record: _RunRecord, keys: dict[str, str], read: dict[str, str]) -> str:
    """Changes with the stage's settings, with the keys of the stages that it needs, and with the contents of what it reads."""
    before = {name: keys[name] for name in stage.needs if name in keys}
    own = stage.settings_of(record.settings)
    inputs = record.inputs if stage.reads_source else {}
    return hash_of_record([stage.name, own_version(), own, before, read, inputs])


def _execute(stage: Stage, record: _RunRecord, key: str, read: dict[str, str], reporter: Reporter, *, fresh: bool) -> StageOutcome:
    staging = Staging(record.out, stage.name, key)
    if fresh:
        staging.discard()
        staging = Staging(record.out, stage.name, key)
    started, clock = _utc_now(), time.monotonic()
    try:
        with reporter.stage(stage.name), PeakMemory() as memory:
            first, *further = record.sources
            resume = record.resume and not fresh
            staging.tell_resumed(reporter.say_in_stage)
            say = reporter.say_in_stage
            job = Job(first, record.out, record.settings, reporter.progress, record.cameras, tuple(further), resume, say)
            summary = stage.run(job, staging)
    except BaseException:
        if not staging.num_done:
            staging.discard()
        raise
    stamp_path(record.out, stage.name).unlink(missing_ok=True)
    outputs = staging.publish()
    wall_s, peak_mb = round(time.monotonic() - clock, 3), round(memory.peak_mb, 1)
    settings = plain(stage.settings_of(record.settings))
    stamp = Stamp(stage.name, key, {"settings": settings}, read, outputs, summary, started, wall_s, peak_mb)
    write_json(stamp_path(record.out, stage.name), stamp)
    staging.discard()
    return StageOutcome(stage.name, "ran", summary, wall_s, peak_mb)


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
    """`run.json`, written before work starts and after every stage.

    A run of some stages only, in a folder that holds the record of a whole run, leaves that record as it is and adds itself to
    `later_runs`.
    """

    def __init__(
        self,
        sources: Sequence[Path],
        out: Path,
        settings: RunSettings,
        inputs: dict[str, str],
        licences: Mapping[str, Any],
        *,
        cameras: Path | None,
        only: Sequence[str],
        resume: bool,
    ) -> None:
        self.sources, self.resume = sources, resume
        self.out, self.settings, self.inputs, self.cameras = out, settings, inputs, cameras
        self.outcomes: list[StageOutcome] = []
        self._whole = _record_of_whole_run(out) if only else None
        self._facts = {
            "source": sources[0],
            "further_sources": sources[1:],
            "cameras": cameras,
            "only": only,
            "started": _utc_now(),
            "finished": None,
            "settings": settings,
            **licences,
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
        record = {**self._facts, "stages": self.outcomes}
        if self._whole:
            record = {**self._whole, "later_runs": [*self._whole.get("later_runs", ()), record]}
        write_json(self.out / "run.json", record)


def _record_of_whole_run(out: Path) -> dict[str, Any] | None:
    try:
        record = read_json(out / "run.json")
    except ArtifactError:
        return None
    return None if record.get("only") else record
