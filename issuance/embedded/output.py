"""What the processes of `./run` say: in one format, in a file that does not grow for ever."""

import json
import os
import time
from collections.abc import Mapping
from io import TextIOBase
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Lock
from typing import IO

from issuance import limits
from issuance.shown import shown

#: ANSI colours of the names, in the order of the processes.
COLOURS = (36, 33, 32, 35, 34)
_TAB = "\t"


class LogFile(TextIOBase):
    """A log that goes on where it was, and is put aside as `NAME.1` when it is long."""

    def __init__(self, path: Path) -> None:
        most = limits.current.embedded.longest_log
        self._file = RotatingFileHandler(path, maxBytes=most, backupCount=1, encoding="utf-8", errors="replace")

    def write(self, text: str) -> int:
        self._file.emit(makeLogRecord({"msg": "%s", "args": (text.rstrip("\n"),)}))
        return len(text)

    def close(self) -> None:
        self._file.close()
        super().close()


class Output:
    """Where the lines of several processes are shown, each with the name of its process; `as_json`: each is a JSON
    document, as the processes write them."""

    def __init__(self, stream: IO[str], names: Mapping[str, str], *, as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._whole_lines = Lock()
        width = max(map(len, names), default=0)
        self._shown = {name: name.ljust(width) for name in names}
        if stream.isatty() and not os.environ.get("NO_COLOR"):
            for number, (name, padded) in enumerate(self._shown.items()):
                self._shown[name] = f"\033[{COLOURS[number % len(COLOURS)]}m{padded}\033[0m"

    def write(self, name: str, line: str) -> None:
        """Shows one line of the process `name`. Raises OSError where the stream is closed."""
        if self._as_json:
            told = line if line.startswith("{") else json.dumps(_as_document(name, line))
        else:
            told = f"{self._shown[name]} | {shown(line, keep=_TAB)}"
        with self._whole_lines:
            self._stream.write(f"{told}\n")
            self._stream.flush()


def _as_document(name: str, line: str) -> dict[str, str]:
    """A line that is no JSON, such as what Python says when it can not start."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"event": line, "process": name, "level": "error", "timestamp": now}
