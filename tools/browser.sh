#!/bin/sh
# What `make test-browser` needs beside .venv: Chromium, nodejs and npm (as root by apt-get, otherwise it says what to install),
# and the npm packages of tests/browser/package.json.
set -eu
cd "$(dirname "$0")/../tests/browser"

missing=""
for pair in "${CHROMIUM:-chromium}:chromium" node:nodejs npm:npm; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "browser: installing$missing"
        apt-get update -qq
        # shellcheck disable=SC2086 -- one word a package
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $missing >/dev/null
    else
        echo "browser: not there:$missing. Install them (on Debian, as root: apt-get install$missing), or give the browser's
program with CHROMIUM=..., then run the same make command again." >&2
        exit 2
    fi
fi
# A lock file would name hosts; the versions are exact and have no packages of their own.
npm install --silent --no-audit --no-fund --no-package-lock
