"""Shared libraries of the operating system that the wheels of Open3D, OpenCV and MediaPipe load but do not carry."""

from __future__ import annotations

SYSTEM_LIBRARIES: tuple[tuple[str, str], ...] = (
    ("libGL.so.1", "libgl1"),
    ("libEGL.so.1", "libegl1"),
    ("libX11.so.6", "libx11-6"),
    ("libusb-1.0.so.0", "libusb-1.0-0"),
    ("libgomp.so.1", "libgomp1"),
    ("libgthread-2.0.so.0", "libglib2.0-0"),
)
"""Name for the Linux linker, and the Debian package that brings it. tools/setup.sh installs the same ones, which a test compares."""

HOW_TO_INSTALL = f"apt-get install {' '.join(package for _, package in SYSTEM_LIBRARIES)}"
"""On Debian or Ubuntu, as root."""
