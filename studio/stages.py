"""The recipe: every stage, what it reads, what it leaves. Each stage reads only named artefacts, so any can be re-run or replaced."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.counting import how_many
from assets.errors import ArtifactError, RangeError
from recon.avatar import NamedExpression
from recon.capture import USABLE_STATUSES
from recon.scale import scale_words
from studio.artifacts import write_json
from studio.capture_file import read_capture, write_capture
from studio.demo import SAMPLE_FOLDER, SAMPLE_NOTE
from studio.licences import head_licence
from studio.pictures import save_bundle
from studio.settings import ControlStageSettings, RunSettings, SweepSettings, expression_weights
from studio.staging import Staging

if TYPE_CHECKING:
    from recon.avatar import Avatar
    from render.buffers import RenderBuffers
    from render.sweep import Posable, Sweep
    from render.writing import AovName

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Job:
    """What a stage is given."""

    source: Path
    """Folder of photos, or a video."""
    out: Path
    """Folder with the artefacts of the stages before."""
    settings: RunSettings
    progress: Progress
    cameras: Path | None = None
    """Cameras of a calibrated rig, where they do not lie beside the pictures."""
    further_sources: tuple[Path, ...] = ()
    """More folders of photos, photos and videos of the same person."""
    resume: bool = True
    """Whether a fit goes on after the last stage that an interrupted one finished."""
    say: Callable[[str], None] = lambda line: None
    """Shows one line, such as where an interrupted stage goes on."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of the pipeline. `run` writes into the staging folder and returns one line of facts."""

    name: str
    run: Callable[[Job, Staging], str]
    settings_of: Callable[[RunSettings], Any]
    """The settings that decide this stage's result."""
    needs: tuple[str, ...] = ()
    """Stages that, when they run, make this one run."""
    reads: tuple[str, ...] = ()
    """Artefacts whose contents make this stage run when they change, also by hand."""
    reads_source: bool = False
    """Whether the user's own files are read."""
    why_not: Callable[[RunSettings], str] = lambda settings: ""
    """Plain words why the stage is left out with these settings; empty where it runs."""
    check: Callable[[RunSettings], None] = lambda settings: None
    """Raises for settings that can be known to be wrong before any stage runs."""
    check_in: Callable[[RunSettings, Path], None] = lambda settings, out: None
    """The same where it takes a look at what lies in the output folder, which may not exist."""


def run_capture(job: Job, staging: Staging) -> str:
    """Photos or video to capture.json."""
    import recon

    capture = recon.load_capture((job.source, *job.further_sources), cameras=job.cameras, settings=job.settings.capture)
    if job.source.resolve() == SAMPLE_FOLDER.resolve():
        capture = dataclasses.replace(capture, notes=(*capture.notes, SAMPLE_NOTE))
    write_capture(staging.folder / "capture.json", capture)
    usable = sum(view.status in USABLE_STATUSES for view in capture.views)
    return f"{how_many(len(capture.views), 'picture')} found, {usable} readable, scale {capture.scale}"


def run_fit(job: Job, staging: Staging) -> str:
    """capture.json and its pictures to avatar/."""
    import recon

    capture = read_capture(job.out / "capture.json")
    # Beside the staging folder, which goes where a stage ends early; another solve's finished stages are thrown away by their key.
    checkpoints = job.out / ".stages" / "fit.checkpoints"
    if not job.resume:
        shutil.rmtree(checkpoints, ignore_errors=True)

    def say(line: str) -> None:
        job.say(f"{line}; --no-resume begins anew")

    avatar = recon.fit(capture, job.settings.fit, progress=job.progress, checkpoints=checkpoints, say=say)
    recon.save_avatar(staging.folder / "avatar", with_users_words(avatar, job.out / "avatar" / "expressions.yaml", job.say))
    return avatar_line(avatar)


def with_users_words(avatar: Avatar, file: Path, say: Callable[[str], None]) -> Avatar:
    """The avatar with the names and words of an older avatar's expressions; a file that cannot be read is kept beside, and said."""
    from recon.expression_file import read_expressions, with_kept_words

    try:
        older = read_expressions(file)
    except ArtifactError as error:
        spare = file.parent.with_name("expressions.broken.yaml")
        shutil.copyfile(file, spare)
        say(f"{error.got}; kept as {spare.name}")
        return avatar
    return dataclasses.replace(avatar, expressions=with_kept_words(avatar.expressions, older))


def avatar_line(avatar: Avatar) -> str:
    """How many views were used and how well the landmarks are met."""
    registered = [view for view in avatar.views if view.camera is not None]
    residuals = [view.residual_px for view in registered if np.isfinite(view.residual_px)]
    residual = f", landmarks met within {np.median(residuals):.1f} px (median, after the shifts that all share)" if residuals else ""
    scale = scale_words(avatar.scale, avatar.scale_error, avatar.scale_source)
    return f"{len(registered)} of {how_many(len(avatar.views), 'view')} registered{residual}, scale {scale}"


def run_sweep(job: Job, staging: Staging) -> str:
    """avatar/ to sweep.json."""
    import recon
    import render

    sweep = make_sweep(recon.load_avatar(job.out / "avatar"), job.settings.sweep)
    render.save_sweep(staging.folder / "sweep.json", sweep)
    near, far = sweep.depth_range_m
    return f"{how_many(len(sweep.frames), 'frame')}, depth locked to {near:.3f}-{far:.3f} m"


def make_sweep(posable: Posable, settings: SweepSettings) -> Sweep:
    """Orbit, head turn and one ramp per expression, one after the other, in pictures of one size."""
    import render

    width, height = settings.width, settings.height
    for name in ("orbit_frames", "head_turn_frames", "expression_frames"):
        if getattr(settings, name) < 0:
            raise RangeError(expected=f"{name} of 0 or more", got=f"{getattr(settings, name)}", do="0 leaves that part out")
    parts = []
    if settings.orbit_frames:
        parts.append(
            render.orbit(posable, yaw_deg=np.linspace(*settings.orbit_deg, settings.orbit_frames).tolist(), width=width, height=height)
        )
    if settings.head_turn_frames:
        parts.append(
            render.head_turn(
                posable, yaw_deg=np.linspace(*settings.head_turn_deg, settings.head_turn_frames).tolist(), width=width, height=height
            )
        )
    own = getattr(posable, "expressions", ())
    for name in settings.expressions if settings.expression_frames else ():
        weights = expression_weights(name, own)
        _check_shown(posable, name, weights)
        parts.append(render.expression_ramp(posable, weights=weights, num_frames=settings.expression_frames, width=width, height=height))
    if not parts:
        raise ArtifactError(expected="a sweep with frames", got="every part has 0 frames", do="set orbit, head turn or expression frames")
    return render.concatenate(parts)


def _check_shown(posable: Posable, name: str, weights: Mapping[str, float]) -> None:
    """Raises RangeError where the head has none of an expression's shapes: its frames would all be the face at rest."""
    head = getattr(posable, "head", None)
    absent = () if head is None else head.absent_blendshapes
    if set(weights) <= {*absent}:
        raise RangeError(
            expected="an expression that the avatar's head can show",
            got=f"{name!r}, which the head {head.name!r} lacks" if head is not None else repr(name),
            do=f"choose another one, or fit on another head; it lacks {', '.join(absent)}",
        )


def run_render(job: Job, staging: Staging) -> str:
    """avatar/ and sweep.json to render/AOV/FRAME, one frame after the other."""
    import recon
    import render

    avatar, sweep = recon.load_avatar(job.out / "avatar"), render.load_sweep(job.out / "sweep.json")
    return render_to(staging.folder / "render", avatar, sweep, job.settings.render.aovs, staging, job.progress)


def render_to(folder: Path, avatar: Avatar, sweep: Sweep, aovs: Sequence[AovName], staging: Staging, progress: Progress) -> str:
    """Render the frames that are not done yet to FOLDER/AOV/FRAME, inside the staging folder; returns one line of facts."""
    import render

    for buffers in counted(render_left(avatar, sweep, staging), "rendering frames", sweep, staging, progress):
        staging.frame_done(buffers.name, render.save_buffers(folder, buffers, aovs=tuple(aovs)))
    return f"{how_many(len(sweep.frames), 'frame')}, {', '.join(aovs)}"


def render_left(avatar: Avatar, sweep: Sweep, staging: Staging) -> Iterator[RenderBuffers]:
    """The frames that an interrupted stage has not done yet, with the depth range of the whole sweep."""
    import render

    done = staging.done_names
    left = tuple(frame for frame in sweep.frames if frame.name not in done)
    return render.render_sweep(avatar, dataclasses.replace(sweep, frames=left)) if left else iter(())


def counted(stream: Iterator[Any], text: str, sweep: Sweep, staging: Staging, progress: Progress) -> Iterator[Any]:
    """Pass a stream on and report how many of the sweep's frames are done."""
    progress(text, staging.num_done, len(sweep.frames))
    for item in stream:
        yield item
        progress(text, staging.num_done, len(sweep.frames))


def run_control(job: Job, staging: Staging) -> str:
    """avatar/ and sweep.json to control/KIND/FRAME.png, and control/init/FRAME.png where image-to-image starts."""
    import recon
    import render

    avatar, sweep = recon.load_avatar(job.out / "avatar"), render.load_sweep(job.out / "sweep.json")
    return control_to(staging.folder / "control", avatar, sweep, job.settings.control, staging, job.progress)


def control_to(folder: Path, avatar: Avatar, sweep: Sweep, settings: ControlStageSettings, staging: Staging, progress: Progress) -> str:
    """Encode the frames that are not done yet to FOLDER/KIND/FRAME.png, then control.json; returns one line of facts."""
    import render
    from conditioning import encode

    width, height = control_size(sweep, settings.width, settings.height)
    sized = render.resized(sweep, width=width, height=height)
    for buffers in counted(render_left(avatar, sized, staging), "control images", sweep, staging, progress):
        staging.frame_done(buffers.name, save_bundle(folder, encode(buffers, settings.kinds, settings.encoding)))
    names = [frame.name for frame in sweep.frames]
    parts = [head_licence(avatar.head)]
    write_json(folder / "control.json", {"kinds": settings.kinds, "width": width, "height": height, "frames": names, "licences": parts})
    return f"{how_many(len(names), 'frame')} of {width}x{height}, {', '.join(settings.kinds)}"


def control_size(sweep: Sweep, width: int | None, height: int | None) -> tuple[int, int]:
    """Width and height of the control pictures, the sweep's own where not given."""
    camera = sweep.frames[0].camera
    return width or camera.width, height or camera.height


def run_export(job: Job, staging: Staging) -> str:
    """avatar/ to export/head.glb, .obj, .ply."""
    import recon

    avatar = recon.load_avatar(job.out / "avatar")
    names = [f"head.{suffix}" for suffix in job.settings.export.formats]
    for index, name in enumerate(names):
        job.progress("mesh files", index, len(names))
        recon.export_mesh(avatar, staging.folder / "export" / name, frame=job.settings.export.frame)
    return f"{', '.join(names)} in the {job.settings.export.frame} frame, {avatar.head.num_vertices} vertices"


def run_train(job: Job, staging: Staging) -> str:
    """avatar/ to model/, the demo's tiny checkpoint."""
    from studio.training import train_on_avatar

    return train_on_avatar(job, staging.folder / "model")


def run_generate(job: Job, staging: Staging) -> str:
    """control/ to frames/FRAME.png."""
    from studio.generation import generate_frames

    return generate_frames(job, staging)


def run_evaluate(job: Job, staging: Staging) -> str:
    """avatar/, sweep.json and frames/ to evaluation.json."""
    from studio.evaluate import evaluate

    with_frames = not why_not_generate(job.settings)
    record = evaluate(job.out, job.source, job.settings.evaluate, with_frames=with_frames, progress=job.progress)
    write_json(staging.folder / "evaluation.json", record)
    return how_many(len(record.figures), "figure")


def run_report(job: Job, staging: Staging) -> str:
    """Everything to report.html."""
    from studio.report import write_report

    with_frames = not why_not_generate(job.settings)
    path = write_report(job.out, staging.folder / "report.html", job.settings, with_frames=with_frames, progress=job.progress)
    return f"report.html, {path.stat().st_size / 2**20:.1f} MiB, opens without a network"


def why_not_generate(settings: RunSettings) -> str:
    """Generation needs a model; nothing is downloaded unless the user names one."""
    if settings.train.enabled or settings.generate.model:
        return ""
    return "no diffusion model given; name one with --model (hub name or folder) and its --controlnets"


def check_generate(settings: RunSettings) -> None:
    """Raise for a model folder that is not there, or lists that do not match the ControlNets, before an hour of fitting."""
    from conditioning.diffusion.checks import check_controlnet_folder, check_settings, model_family

    if why_not_generate(settings) or settings.train.enabled:
        return
    model_family(settings.generate.model)
    check_settings(settings.generate)
    for name in settings.generate.controlnets:
        check_controlnet_folder(name)


def check_fit_settings(settings: RunSettings) -> None:
    """Raise for a head that is not installed, a FLAME file or licence that is none, or a distance that nobody has."""
    from recon.fitting import check_fit

    check_fit(settings.fit)


def check_sweep(settings: RunSettings, out: Path) -> None:
    """Raise for an expression that has no such name: neither a general one, nor one that a fit may find and name, nor one of the avatar
    that lies in `out`, which the user may have renamed."""
    from recon.expression_file import read_expressions
    from recon.expression_names import PATTERNS

    may_be_found = [NamedExpression(name, weights) for name, weights in PATTERNS.items()]
    file = out / "avatar" / "expressions.yaml"
    try:
        known = [*read_expressions(file), *may_be_found]
    except ArtifactError:
        # The fit that comes first keeps such a file beside and says so.
        known = may_be_found
    for name in settings.sweep.expressions:
        expression_weights(name, known)


def why_not_train(settings: RunSettings) -> str:
    return "" if settings.train.enabled else "only the demo trains its tiny checkpoint (--train.enabled)"


STAGES: Sequence[Stage] = (
    Stage("capture", run_capture, lambda s: s.capture, reads_source=True),
    Stage("fit", run_fit, lambda s: s.fit, ("capture",), ("capture.json",), check=check_fit_settings),
    Stage("sweep", run_sweep, lambda s: s.sweep, ("fit",), ("avatar",), check_in=check_sweep),
    Stage("render", run_render, lambda s: s.render, ("fit", "sweep"), ("avatar", "sweep.json")),
    Stage("control", run_control, lambda s: s.control, ("fit", "sweep"), ("avatar", "sweep.json")),
    Stage("train", run_train, lambda s: (s.train, s.control), ("fit", "sweep"), ("avatar", "sweep.json"), why_not=why_not_train),
    Stage(
        "generate",
        run_generate,
        lambda s: (s.generate, s.train.enabled),
        ("control", "train"),
        ("control", "model"),
        why_not=why_not_generate,
        check=check_generate,
    ),
    Stage("export", run_export, lambda s: s.export, ("fit",), ("avatar",)),
    Stage(
        "evaluate", run_evaluate, lambda s: s.evaluate, ("fit", "sweep", "generate"), ("avatar", "sweep.json", "frames"), reads_source=True
    ),
    Stage(
        "report",
        run_report,
        lambda s: s,
        ("capture", "fit", "sweep", "render", "control", "train", "generate", "export", "evaluate"),
        ("capture.json", "avatar", "sweep.json", "control", "frames", "evaluation.json"),
    ),
)
"""In order. A stage comes after all that it needs."""
