"""Files that are named on the command line: opened, and read as text."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from issuance.errors import Invalid


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """A file, or stdin for `-`. Raises Invalid if it can not be opened."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise Invalid(f"{file} can not be read: {error.strerror}") from None
    with stream:
        yield stream


def text_of(file: Path) -> str:
    """The text of a file, without its byte order mark. Raises Invalid, with the line, if it is not UTF-8."""
    with opened(file) as stream:
        said = stream.read()
    try:
        return said.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = said.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{file}, line {line}: this is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)") from None
