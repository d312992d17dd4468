"""The stages one by one, on artefacts wherever they lie: what `recon sweep`, `render`, `control`, `generate`, `evaluate`,
`export` and `report` do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assets.counting import how_many
from assets.errors import ArtifactError, InputError
from studio.artifacts import hash_of_record, open_out_folder, read_json, sha256_of, stamp_path, write_json
from studio.console import Reporter
from studio.doctor import own_version
from studio.licences import generate_parts, recorded_parts
from studio.pictures import load_bundles
from studio.run_lock import writing_into
from studio.settings import ControlStageSettings, EvaluateSettings, GenerateSettings, SweepSettings
from studio.stages import control_to, make_sweep, render_to
from studio.staging import Staging

if TYPE_CHECKING:
    from recon.avatar import Avatar
    from render.writing import AovName


def find_avatar(path: Path) -> Avatar:
    """The avatar in a folder, or in the folder `avatar` of an output folder; raises ArtifactError where there is none."""
    import recon

    return recon.load_avatar(avatar_folder(path))


def avatar_folder(path: Path) -> Path:
    """The avatar's own folder, where an output folder may be given as well."""
    return path / "avatar" if (path / "avatar").is_dir() else path


def sweep(avatar_path: Path, out: Path, settings: SweepSettings, reporter: Reporter) -> None:
    """Write a sweep file for an avatar."""
    import render

    made = make_sweep(find_avatar(avatar_path), settings)
    open_out_folder(out.parent)
    render.save_sweep(out, made)
    reporter.say(f"{out}: {how_many(len(made.frames), 'frame')}")


@contextlib.contextmanager
def staged(out: Path, stage: str, decides: Sequence[object], reporter: Reporter) -> Iterator[Staging]:
    """A staging folder in `out`, whose files move there when the block ends well; what is interrupted goes on with the next call.

    `decides` is everything that decides the result: frames that were done under other settings are not used.
    """
    folder = open_out_folder(out)
    with writing_into(folder):
        staging = Staging(folder, f"{stage}-alone", hash_of_record([stage, own_version(), *decides]))
        try:
            with reporter.stage(stage):
                staging.tell_resumed(reporter.say_in_stage)
                yield staging
        except BaseException:
            if not staging.num_done:
                staging.discard()
            raise
        staging.publish_files()
        staging.discard()


def render_frames(avatar_path: Path, sweep_path: Path, out: Path, aovs: Sequence[AovName], reporter: Reporter) -> None:
    """Render a sweep, one frame in memory at a time."""
    import render

    avatar, sweep = find_avatar(avatar_path), render.load_sweep(sweep_path)
    decides = (sha256_of(avatar_folder(avatar_path)), sha256_of(sweep_path), tuple(aovs))
    with staged(out, "render", decides, reporter) as staging:
        line = render_to(staging.folder, avatar, sweep, aovs, staging, reporter.progress)
    reporter.say(f"{out}: {line}")


def control(avatar_path: Path, sweep_path: Path, out: Path, settings: ControlStageSettings, reporter: Reporter) -> None:
    """Render a sweep and write its control images."""
    import render

    avatar, sweep = find_avatar(avatar_path), render.load_sweep(sweep_path)
    decides = (sha256_of(avatar_folder(avatar_path)), sha256_of(sweep_path), settings)
    with staged(out, "control", decides, reporter) as staging:
        line = control_to(staging.folder, avatar, sweep, settings, staging, reporter.progress)
    reporter.say(f"{out}: {line}")


def generate_to(control_path: Path, out: Path, settings: GenerateSettings, reporter: Reporter) -> None:
    """Draw one frame per control bundle."""
    from conditioning.diffusion.checks import check_settings
    from studio.generation import draw_frames, statement_of, write_frames_record

    folder = control_folder(control_path)
    bundles = load_bundles(folder)
    check_settings(settings)
    with staged(out, "generate", (sha256_of(folder), settings), reporter) as staging:
        draw_frames(bundles, settings, staging, staging.folder, prompts={}, progress=reporter.progress)
        parts = (*recorded_parts(folder / "control.json"), *generate_parts(settings))
        write_frames_record(staging.folder, statement_of(settings), settings, staging, parts)
    reporter.say(f"{out}: {how_many(len(bundles), 'frame')}. {statement_of(settings)}")


def control_folder(path: Path) -> Path:
    """The folder that the control stage wrote, where an output folder may be given as well."""
    return path / "control" if (path / "control").is_dir() else path


def evaluate_folder(folder: Path, settings: EvaluateSettings, reporter: Reporter) -> None:
    """Measure what lies in an output folder, write evaluation.json, print the table.

    The stamp of the run's own evaluation goes, so that the next `recon run` does not take these figures for its own.
    """
    from studio.evaluate import evaluate
    from studio.summary import print_figures

    source = read_json(folder / "capture.json").get("source")
    if not source:
        raise ArtifactError(expected=f"the capture's source in {folder}/capture.json", got="none", do="run the capture stage again")
    with writing_into(open_out_folder(folder)), reporter.stage("evaluate"):
        record = evaluate(folder, Path(source), settings, progress=reporter.progress)
    stamp_path(folder, "evaluate").unlink(missing_ok=True)
    write_json(folder / "evaluation.json", record)
    print_figures(read_json(folder / "evaluation.json"), reporter)


def report(folder: Path, reporter: Reporter) -> None:
    """Write report.html anew from what lies in an output folder, with the settings that run.json records."""
    from studio.evaluate import why_frames_are_stale
    from studio.report import write_report
    from studio.settings import settings_from_record

    settings = settings_from_record(read_json(folder / "run.json").get("settings", {}))
    with writing_into(open_out_folder(folder)), reporter.stage("report"):
        path = write_report(
            folder, folder / "report.html", settings, with_frames=not why_frames_are_stale(folder), progress=reporter.progress
        )
    stamp_path(folder, "report").unlink(missing_ok=True)
    reporter.say(f"open {path.resolve()}")


def export(avatar_path: Path, out: Path, frame: Literal["head", "world"], reporter: Reporter, *, with_uncertainty: bool = False) -> None:
    """Write one mesh file, of which a PLY may carry the uncertainty as colours, or the head model's parameters."""
    import recon
    from recon.export import export_parameters
    from recon.export.head_parameters import FORMATS

    avatar = find_avatar(avatar_path)
    if out.suffix.lower() in FORMATS:
        export_parameters(avatar, out)
        registered = sum(view.camera is not None for view in avatar.views)
        reporter.say(
            f"{out}: parameters of the head {avatar.head.name.split(':')[0]} for the neutral and {how_many(registered, 'picture')}"
        )
        return
    recon.export_mesh(avatar, out, frame=frame, with_uncertainty=with_uncertainty)
    reporter.say(f"{out}: {avatar.head.num_vertices} vertices, metres, {frame} frame, scale {avatar.scale}")


def export_sequence(
    avatar_path: Path, out: Path, frame: Literal["head", "world"], reporter: Reporter, *, sweep_path: Path | None, shapes: bool
) -> None:
    """Write a folder of OBJ files: a sweep, or the neutral and the 52 shapes; raises InputError where both are asked for."""
    import render
    from recon.export import export_shapes, export_sweep

    if sweep_path is not None and shapes:
        raise InputError(expected="--sweep or --shapes", got="both", do="give one, and run the command again for the other")
    avatar = find_avatar(avatar_path)
    with reporter.stage("export"):
        if sweep_path is None:
            export_shapes(avatar, out, frame=frame, progress=reporter.progress)
        else:
            export_sweep(avatar, render.load_sweep(sweep_path), out, frame=frame, progress=reporter.progress)
    reporter.say(f"{out}: {how_many(len(list(out.glob('*.obj'))), 'mesh', 'meshes')}, {frame} frame, scale {avatar.scale}")
