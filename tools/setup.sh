#!/bin/sh
# Makes the environment: system libraries (as root by apt-get, otherwise it says what to install), .venv, pinned packages.
set -eu
PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"

fail() {
    echo "setup: $1" >&2
    exit 2
}

"$PYTHON" - <<'EOF' || fail "Python 3.11 or 3.12 is needed. Give one with: make setup PYTHON=python3.11"
import sys
sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 12) else f"setup: {sys.executable} is Python {sys.version.split()[0]}")
EOF
"$PYTHON" -c "import venv, ensurepip" 2>/dev/null || fail "this Python has no venv module. On Debian: apt-get install python3-venv"

# Shared libraries that the wheels of Open3D, OpenCV and MediaPipe link to, with the Debian package of each.
missing=""
if [ "$(uname -s)" = Linux ]; then
    for pair in libGL.so.1:libgl1 libEGL.so.1:libegl1 libX11.so.6:libx11-6 libusb-1.0.so.0:libusb-1.0-0 libgomp.so.1:libgomp1 \
        libgthread-2.0.so.0:libglib2.0-0; do
        "$PYTHON" -c "import ctypes, sys; ctypes.CDLL(sys.argv[1])" "${pair%%:*}" 2>/dev/null || missing="$missing ${pair#*:}"
    done
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "setup: installing system libraries:$missing"
        apt-get update -qq
        # shellcheck disable=SC2086 -- one word a package
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $missing >/dev/null
    else
        fail "system libraries are missing. Run as root:
    apt-get install -y --no-install-recommends$missing
then the same make command again."
    fi
fi

[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
UV_VERSION=0.13.9
[ -x "$VENV/bin/uv" ] || "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
echo "setup: installing the pinned packages (about 8 GB on the first run, seconds after that)"
VIRTUAL_ENV="$PWD/$VENV" "$VENV/bin/uv" pip install --quiet -r requirements.txt
# By path (compat): else a script beside a clone named recon would take the folder for the package.
VIRTUAL_ENV="$PWD/$VENV" "$VENV/bin/uv" pip install --quiet --no-deps --config-settings editable_mode=compat -e .
touch "$VENV/.complete"
