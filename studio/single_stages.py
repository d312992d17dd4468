"""The stages one by one, on artefacts wherever they lie: what `recon sweep`, `render`, `control`, `generate`, `evaluate`, `export` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assets.errors import ArtifactError
from studio.artifacts import open_out_folder, read_json, write_json
from studio.console import Reporter
from studio.settings import ControlStageSettings, EvaluateSettings, GenerateSettings, SweepSettings
from studio.stages import control_size, load_bundles, make_sweep, save_bundle, save_picture

if TYPE_CHECKING:
    from recon.avatar import Avatar
    from render.writing import AovName


def find_avatar(path: Path) -> Avatar:
    """The avatar in a folder, or in the folder `avatar` of an output folder; raises ArtifactError where there is none."""
    import recon

    return recon.load_avatar(path / "avatar" if (path / "avatar").is_dir() else path)


def sweep(avatar_path: Path, out: Path, settings: SweepSettings, reporter: Reporter) -> None:
    """Write a sweep file for an avatar."""
    import render

    made = make_sweep(find_avatar(avatar_path), settings)
    open_out_folder(out.parent)
    render.save_sweep(out, made)
    reporter.say(f"{out}: {len(made.frames)} frames")


def render_frames(avatar_path: Path, sweep_path: Path, out: Path, aovs: Sequence[AovName], reporter: Reporter) -> None:
    """Render a sweep, one frame in memory at a time."""
    import render

    avatar, sweep = find_avatar(avatar_path), render.load_sweep(sweep_path)
    open_out_folder(out)
    with reporter.stage("render"):
        for done, buffers in enumerate(render.render_sweep(avatar, sweep), 1):
            render.save_buffers(out, buffers, aovs=tuple(aovs))
            reporter.progress("rendering frames", done, len(sweep.frames))
    reporter.say(f"{out}: {len(sweep.frames)} frames, {', '.join(aovs)}")


def control(avatar_path: Path, sweep_path: Path, out: Path, settings: ControlStageSettings, reporter: Reporter) -> None:
    """Render a sweep and write its control images."""
    import render
    from conditioning import encode

    avatar, sweep = find_avatar(avatar_path), render.load_sweep(sweep_path)
    width, height = control_size(sweep, settings.width, settings.height)
    open_out_folder(out)
    with reporter.stage("control"):
        for done, buffers in enumerate(render.render_sweep(avatar, render.resized(sweep, width=width, height=height)), 1):
            save_bundle(out, encode(buffers, settings.kinds, settings.encoding))
            reporter.progress("control images", done, len(sweep.frames))
    names = [frame.name for frame in sweep.frames]
    write_json(out / "control.json", {"kinds": settings.kinds, "width": width, "height": height, "frames": names})
    reporter.say(f"{out}: {len(names)} frames of {width}x{height}, {', '.join(settings.kinds)}")


def generate_to(control_path: Path, out: Path, settings: GenerateSettings, reporter: Reporter) -> None:
    """Draw one frame per control bundle."""
    from conditioning import generate
    from studio.generation import statement_of

    folder = control_path / "control" if (control_path / "control").is_dir() else control_path
    bundles = load_bundles(folder)
    stream = generate(bundles, settings, progress=reporter.progress)
    open_out_folder(out)
    records = []
    with reporter.stage("generate"):
        for frame in stream:
            save_picture(out / f"{frame.name}.png", frame.rgb)
            records.append({"name": frame.name, "seed": frame.seed, "prompt": frame.prompt})
    write_json(out / "frames.json", {"statement": statement_of(settings), "settings": settings, "frames": records})
    reporter.say(f"{out}: {len(records)} frames. {statement_of(settings)}")


def evaluate_folder(folder: Path, settings: EvaluateSettings, reporter: Reporter) -> None:
    """Measure what lies in an output folder, write evaluation.json, print the table."""
    from studio.evaluate import evaluate
    from studio.summary import print_figures

    source = read_json(folder / "capture.json").get("source")
    if not source:
        raise ArtifactError(expected=f"the capture's source in {folder}/capture.json", got="none", do="run the capture stage again")
    open_out_folder(folder)
    with reporter.stage("evaluate"):
        record = evaluate(folder, Path(source), settings, progress=reporter.progress)
    write_json(folder / "evaluation.json", record)
    print_figures(read_json(folder / "evaluation.json"), reporter)


def export(avatar_path: Path, out: Path, frame: Literal["head", "world"], reporter: Reporter) -> None:
    """Write one mesh file."""
    import recon

    avatar = find_avatar(avatar_path)
    recon.export_mesh(avatar, out, frame=frame)
    reporter.say(f"{out}: {avatar.head.num_vertices} vertices, metres, {frame} frame, scale {avatar.scale}")
