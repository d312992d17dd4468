"""A hidden folder in which one stage writes, so that nobody sees half a stage and an interrupted one goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from assets.atomic import write_text
from assets.counting import how_many
from studio.artifacts import SCHEMA_VERSION, plain, sha256_of, visible_files

LOG_NAME = ".frames.jsonl"
"""First line: schema version and key; then one line a complete frame, appended."""


class Staging:
    """`OUT/.stages/STAGE.partial`; its content moves to OUT when the stage is complete.

    A frame-wise stage records each complete frame together with its files, so that after an interruption the same stage with the
    same key goes on. A folder of another key, or one whose log has gone because its content was being moved, is thrown away.
    """

    def __init__(self, out: Path, stage: str, key: str) -> None:
        self.out = out
        self.folder = out / ".stages" / f"{stage}.partial"
        self._log_path = self.folder / LOG_NAME
        self._head = {"schema_version": SCHEMA_VERSION, "key": key}
        kept = self._read_log()
        if kept is None:
            self.discard()
        self._frames = kept or []
        self.folder.mkdir(parents=True, exist_ok=True)
        # Written anew, because the last line may be half a line.
        write_text(self._log_path, "".join(_line(record) for record in (self._head, *self._frames)))

    def _read_log(self) -> list[dict[str, Any]] | None:
        """Frames that are complete, in the order in which they were made; None where the log is absent or of another key.

        It ends at the first frame of which a file is missing, so that what is done is always a beginning of the sweep.
        """
        try:
            head, *lines = self._log_path.read_text(encoding="utf-8").splitlines()
            if json.loads(head) != self._head:
                return None
        except (OSError, ValueError):
            return None
        frames: list[dict[str, Any]] = []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                break
            if not all((self.folder / name).is_file() for name in record["files"]):
                break
            frames.append(record)
        return frames

    @property
    def done_frames(self) -> list[dict[str, Any]]:
        """Name and facts of the frames that are already complete."""
        return [{name: value for name, value in record.items() if name != "files"} for record in self._frames]

    @property
    def done_names(self) -> set[str]:
        return {record["name"] for record in self._frames}

    @property
    def num_done(self) -> int:
        return len(self._frames)

    def tell_resumed(self, say: Callable[[str], None]) -> None:
        """Say in one line after how many frames an interrupted stage goes on; nothing where it begins."""
        if self._frames:
            say(f"goes on after {how_many(self.num_done, 'frame')} of a run that was interrupted")

    def frame_done(self, name: str, files: Iterable[Path], **facts: Any) -> None:
        """Record one complete frame: the files that it consists of, inside `folder`, and what is to be known of it later."""
        inside = [path.relative_to(self.folder).as_posix() for path in files]
        record = {"name": name, "files": inside, **plain(facts)}
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(_line(record))
        self._frames.append(record)

    def publish(self) -> dict[str, str]:
        """Move every artefact to the output folder in place of an older one; returns artefact name to SHA-256.

        The log goes first: a run that is interrupted from here on makes the stage anew, and never takes what is left here for complete.
        What was replaced stays hidden in this folder until `discard`.
        """
        outputs = {path.name: sha256_of(path) for path in self._artefacts()}
        self._log_path.unlink()
        for path in self._artefacts():
            self._replace(path, self.out / path.name)
        return outputs

    def publish_files(self) -> None:
        """Move file by file into the output folder, which may be one of the user's own: other files there stay."""
        files = visible_files(self.folder)
        self._log_path.unlink()
        # JSON last: it says that the pictures are complete.
        for path in sorted(files, key=lambda path: path.suffix == ".json"):
            place = self.out / path.relative_to(self.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)

    def _artefacts(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))

    def _replace(self, new: Path, place: Path) -> None:
        aside = self.folder / f".old-{place.name}"
        try:
            if place.is_dir() and not place.is_symlink():
                os.replace(place, aside)
            os.replace(new, place)
        except BaseException:
            if aside.exists() and not place.exists():
                os.replace(aside, place)
            raise

    def discard(self) -> None:
        """Remove the folder with all that is still in it, and `.stages` where nothing else is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.parent.is_dir() and not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()


def clear_leftover(out: Path, stage: str) -> None:
    """Remove what an interruption after publishing left; the work of an unfinished stage has a log and is kept."""
    folder = out / ".stages" / f"{stage}.partial"
    if folder.is_dir() and not (folder / LOG_NAME).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
