"""Downloads that go on where they broke off."""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from assets.atomic import write_text
from assets.errors import InputError, MissingAssetError

Progress = Callable[[str, int, int], None]

ATTEMPTS = 4
"""Connections that may break in one call; what has arrived stays for the next call all the same."""

PAUSE_S = 1.0
"""Wait before another attempt."""

TIMEOUT_S = 30.0
"""Longest silence of a server."""

CHUNK_BYTES = 1 << 18


@dataclasses.dataclass(frozen=True)
class _Part:
    """A file on its way and, beside it, a note of what it is: {"url", "etag", "complete"}."""

    path: Path
    url: str

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def read_note(self) -> dict:
        """The note if the bytes are there and of this very URL; else {}, and whatever is there is thrown away."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            if note["url"] == self.url and self.path.is_file():
                return note
        except (OSError, ValueError, KeyError, TypeError):
            pass
        discard_download(self.path)
        return {}

    def write_note(self, etag: str, *, complete: bool) -> None:
        """Weak tags (W/"...") do not promise equal bytes and are not kept."""
        strong = "" if etag.startswith("W/") else etag
        write_text(self.note, json.dumps({"url": self.url, "etag": strong, "complete": complete}))


class _Broken(Exception):
    """A connection that could not be made or broke off; trying again makes sense."""


def download(url: str, path: Path, *, max_bytes: int, label: str, progress: Progress | None = None) -> Path:
    """Loads `url` into `path` and returns it; what arrives stays there with a note beside it until `discard_download`.

    A later call goes on where the bytes end, or returns at once where they are complete. A server that does not know byte ranges,
    or has another version by now, starts from the first byte. `progress` is called with the label, bytes done and bytes in all
    (0 where the server does not say).
    Raises MissingAssetError where the network or the server fails for good, InputError where the file is longer than `max_bytes`.
    OSError of the disk goes through.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path, url)
    for attempt in range(1, ATTEMPTS + 1):
        note = part.read_note()
        if note.get("complete"):
            return path
        try:
            _continue(part, note.get("etag", ""), max_bytes, label, progress)
        except _Broken as error:
            if attempt == ATTEMPTS:
                raise _given_up(part, error) from error
            time.sleep(PAUSE_S)
    return path


def discard_download(path: Path) -> None:
    """Removes a download, complete or not, and its note."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".json").unlink(missing_ok=True)


def _given_up(part: _Part, error: Exception) -> MissingAssetError:
    kept = part.path.stat().st_size if part.path.is_file() else 0
    return MissingAssetError(
        expected=f"a download from {part.url}",
        got=f"{error}; {kept / 1e6:.1f} MB have arrived and are kept" if kept else str(error),
        do="check the network and give the same command again, which goes on from there; "
        "or fetch the file elsewhere and give it with --from",
    )


def _continue(part: _Part, etag: str, max_bytes: int, label: str, progress: Progress | None) -> None:
    """One connection: the rest of the file, or all of it."""
    have = part.path.stat().st_size if part.path.is_file() else 0
    headers = {"User-Agent": "recon-avatar", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if etag:
            headers["If-Range"] = etag
    try:
        with urllib.request.urlopen(urllib.request.Request(part.url, headers=headers), timeout=TIMEOUT_S) as reply:
            start = _first_byte(reply.headers.get("Content-Range"), have) if reply.status == 206 else 0
            etag = reply.headers.get("ETag", "")
            if start == 0:
                discard_download(part.path)
                part.write_note(etag, complete=False)
            _receive(reply, part.path, start, max_bytes, label, progress)
            part.write_note(etag, complete=True)
    except urllib.error.HTTPError as error:
        raise _refused(part, error) from error
    except urllib.error.URLError as error:
        raise _Broken(f"no connection: {error.reason}") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _Broken(f"the connection broke off: {error or type(error).__name__}") from error


def _refused(part: _Part, error: urllib.error.HTTPError) -> Exception:
    """What an answer of 4xx or 5xx means: 416 that what is there fits no more; others of 4xx are for good."""
    if error.code == 416:
        discard_download(part.path)
        return _Broken("what had arrived no longer fits the server's file")
    if error.code >= 500 or error.code in (408, 429):
        return _Broken(f"the server answers {error.code} {error.reason}")
    return MissingAssetError(
        expected=f"a download from {part.url}",
        got=f"the server answers {error.code} {error.reason}",
        do="fetch the file elsewhere and give it with --from",
    )


def _first_byte(content_range: str | None, have: int) -> int:
    """Where the sent bytes begin; a range that was not asked for cannot be used."""
    found = re.match(r"bytes (\d+)-", content_range or "")
    if found is None or int(found[1]) != have:
        raise http.client.HTTPException(f"bytes from {have} on were asked for, {content_range!r} came")
    return have


def _receive(reply: http.client.HTTPResponse, path: Path, start: int, max_bytes: int, label: str, progress: Progress | None) -> None:
    rest = reply.headers.get("Content-Length")
    total = start + int(rest) if rest and rest.isdigit() else 0
    done = start
    with path.open("ab" if start else "wb") as file:
        while chunk := _next_chunk(reply):
            done += len(chunk)
            if max(done, total) > max_bytes:
                raise _too_long(max(done, total), max_bytes)
            file.write(chunk)
            if progress is not None:
                progress(label, done, total)
    if done < total:
        raise _Broken(f"the connection broke off after {done} of {total} bytes")


def _next_chunk(reply: http.client.HTTPResponse) -> bytes:
    """The next bytes; a failure to read them is the network's (TLS and routing raise bare OSErrors), unlike one to write them."""
    try:
        return reply.read(CHUNK_BYTES)
    except OSError as error:
        raise _Broken(f"the connection broke off: {error or type(error).__name__}") from error


def _too_long(size: int, max_bytes: int) -> InputError:
    return InputError(
        expected=f"a file of at most {max_bytes / 1e6:.0f} MB",
        got=f"{size / 1e6:.0f} MB from the server",
        do="fetch the file elsewhere and give it with --from",
    )
