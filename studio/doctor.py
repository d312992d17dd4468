"""`recon doctor`: what is there, which version, and what is lost without it. Every line is found out by trying."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from assets.cores import num_cores
from assets.counting import how_many
from assets.system_libraries import SYSTEM_LIBRARIES

State = Literal["ok", "missing", "broken", "info"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    name: str
    state: State
    text: str
    """Version or fact; for what is missing, the reason in one line."""
    lost: str = ""
    """What does not work without it; empty where nothing is lost."""
    needed: bool = False
    """Whether the main path (photos to report) needs it."""


@dataclasses.dataclass(frozen=True)
class Package:
    """A package that doctor tries to import."""

    module: str
    distributions: tuple[str, ...]
    """Names on the package index, the first one found gives the version."""
    lost: str
    needed: bool = True


PACKAGES: tuple[Package, ...] = (
    Package("numpy", ("numpy",), "everything"),
    Package("scipy", ("scipy",), "the solve"),
    Package("cv2", ("opencv-contrib-python", "opencv-python", "opencv-python-headless"), "reading photos, dense flow, drawing"),
    Package("PIL", ("pillow",), "reading and writing pictures"),
    Package("mediapipe", ("mediapipe",), "face landmarks: no photo can be fitted"),
    Package("open3d", ("open3d-cpu", "open3d"), "ray casting: nothing can be rendered or fitted"),
    Package("anny", ("anny",), "the default head, until it is compiled into the cache"),
    Package("torch", ("torch",), "diffusion"),
    Package("diffusers", ("diffusers",), "diffusion frames"),
    Package("transformers", ("transformers",), "text encoders of the diffusion stage"),
    Package("accelerate", ("accelerate",), "fast loading of diffusion models"),
    Package("safetensors", ("safetensors",), "saving avatars"),
    Package("trimesh", ("trimesh",), "comparing the fit with a ground-truth mesh", needed=False),
    Package("av", ("av",), "video input"),
    Package("pillow_heif", ("pillow-heif",), "HEIC photos: pip install 'recon-avatar[heic]'", needed=False),
)

IMPORT_TIMEOUT_S = 120.0
"""A package that takes longer to import counts as broken."""


def examine() -> list[Finding]:
    """All findings, machine first, then libraries, packages and recon's own files."""
    findings = [*machine_findings(), *library_findings(), *package_findings(PACKAGES)]
    works = {finding.name for finding in findings if finding.state == "ok"}
    # These import in this very process, so only what has just been imported in a child is let in.
    probes = [torch_finding, cuda_finding] if "torch" in works else []
    probes += [codec_finding] if "av" in works else []
    from studio.doctor_assets import asset_findings

    return [*findings, *(attempt(probe) for probe in (*probes, head_finding, embedding_finding)), *asset_findings(), attempt(cache_finding)]


def attempt(probe: Callable[[], Finding]) -> Finding:
    """The probe's finding, or a broken one that names the exception."""
    try:
        return probe()
    except Exception as error:
        name = probe.__name__.removesuffix("_finding").replace("_", " ")
        return Finding(name, "broken", one_line(error), "see the reason", needed=name in ("head", "embedding"))


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200]


def machine_findings() -> list[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    supported = (3, 11) <= sys.version_info[:2] < (3, 13)
    python = Finding("python", "ok" if supported else "broken", f"{platform.python_version()} at {sys.executable}", "3.11 or 3.12", True)
    return [
        python,
        Finding("recon", "info", f"{own_version()} in {Path(__file__).resolve().parent.parent}"),
        Finding("platform", "info", platform.platform()),
        Finding("cpu", "info", f"{num_cores()} usable of {os.cpu_count()} ({platform.machine()})"),
        Finding("memory", "info", f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free"),
    ]


def own_version() -> str:
    """Version of the installed distribution, or a plain word where only the source tree is there."""
    try:
        return importlib.metadata.version("recon-avatar")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def library_findings() -> list[Finding]:
    """Whether the linker finds the libraries that the wheels expect from the system; Linux only."""
    if not sys.platform.startswith("linux"):
        return []
    import ctypes

    findings = []
    for library, debian in SYSTEM_LIBRARIES:
        try:
            ctypes.CDLL(library)
            findings.append(Finding(library, "ok", "found", needed=True))
        except OSError as error:
            lost = f"open3d, cv2 or mediapipe: apt-get install {debian}"
            findings.append(Finding(library, "missing", one_line(error), lost, needed=True))
    return findings


def package_findings(packages: Sequence[Package]) -> list[Finding]:
    """One finding a package; all installed ones are imported outside this process."""
    reasons = why_not_importable([package.module for package in packages if installed_version(package)])
    return [_package_finding(package, reasons.get(package.module, "")) for package in packages]


def _package_finding(package: Package, reason: str) -> Finding:
    version = installed_version(package)
    if version is None:
        return Finding(package.module, "missing", "not installed", package.lost, package.needed)
    if reason:
        return Finding(package.module, "broken", f"{version}: {reason}", package.lost, package.needed)
    return Finding(package.module, "ok", version, needed=package.needed)


def installed_version(package: Package) -> str | None:
    for distribution in package.distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def why_not_importable(modules: Sequence[str]) -> dict[str, str]:
    """Reason in one line by module, empty where the import works.

    A child process imports one after the other and says so of each; where it dies in native code, the one that it was importing is
    to blame, and another child goes on after it. So this process lives, and what several share is loaded once.
    """
    reasons: dict[str, str] = {}
    left = list(modules)
    while left:
        told, end = _import_in_child(left)
        reasons |= told
        left = left[len(told) :]
        if left:
            reasons[left.pop(0)] = end
    return reasons


_IMPORTS = """
import importlib, json, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        reason = ""
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    sys.__stdout__.write(json.dumps(["imported", name, reason]) + "\\n")
    sys.__stdout__.flush()
"""


def _import_in_child(modules: Sequence[str]) -> tuple[dict[str, str], str]:
    """Reasons by module as far as the child came, and how it ended."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _IMPORTS, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=IMPORT_TIMEOUT_S)
        printed, end = done.stdout, f"the interpreter died at its import (exit code {done.returncode})"
    except subprocess.TimeoutExpired as error:
        printed = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        end = f"the import took more than {IMPORT_TIMEOUT_S:.0f} s"
    reports = [json.loads(line) for line in printed.splitlines() if line.startswith('["imported"')]
    return {name: reason for _, name, reason in reports}, end


def torch_finding() -> Finding:
    import torch

    return Finding("torch device", "info", f"{torch.get_num_threads()} CPU threads, built for {torch.version.cuda or 'cpu'}")


def cuda_finding() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("cuda", "missing", "no CUDA device", "diffusion with big models is slow on a CPU")
    names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return Finding("cuda", "ok", ", ".join(f"{device.name} {device.total_memory / 2**30:.0f} GiB" for device in names))


def codec_finding() -> Finding:
    import av

    known = [name for name in ("h264", "hevc", "vp9", "av1", "prores", "mjpeg") if name in av.codecs_available]
    state: State = "ok" if "h264" in known else "broken"
    return Finding("video codecs", state, ", ".join(known), "" if state == "ok" else "most phone videos cannot be read")


def head_finding() -> Finding:
    """The default head, really loaded (compiled on first use)."""
    from assets import load_head

    head = load_head()
    text = f"{head.name}: {head.num_vertices} vertices, {head.num_identity} identity shapes; {head.licence}"
    return Finding("head", "ok", text, needed=True)


def embedding_finding() -> Finding:
    """The landmark embedding of the default head, really loaded."""
    from assets import load_embedding, load_head

    embedding = load_embedding(load_head())
    return Finding(
        "embedding", "ok", f"{embedding.scheme} on {embedding.topology_hash}, {len(embedding.triangle_index)} points", needed=True
    )


def cache_finding() -> Finding:
    from assets.cache import cache_dir

    folder = cache_dir()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return Finding(
        "cache", "info", f"{folder}: {how_many(len(files), 'file')}, {sum(path.stat().st_size for path in files) / 2**20:.0f} MiB"
    )


def main_path_works(findings: list[Finding]) -> bool:
    """True where nothing that the main path needs is missing or broken."""
    return not any(finding.needed and finding.state in ("missing", "broken") for finding in findings)


def git_commit(folder: Path) -> str | None:
    """Commit of the source tree, None where it is no git checkout."""
    try:
        done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def package_versions() -> dict[str, str]:
    """Versions of recon, Python and of every listed package that is installed, for run.json; imports nothing."""
    found = {package.distributions[0]: installed_version(package) for package in PACKAGES}
    return {"recon-avatar": own_version(), "python": platform.python_version(), **{k: v for k, v in found.items() if v}}
