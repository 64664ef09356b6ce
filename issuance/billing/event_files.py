"""Files of events, in the forms in which billers and people write them: JSON lines, JSON arrays, CloudEvents batches.

A byte-order mark, gzip and Windows' line ends change nothing. A line that can not be read leaves its neighbours alone;
in an array all ends where an element can not be read.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from io import BufferedReader
from itertools import chain, islice
from typing import Any, BinaryIO, NamedTuple, cast

from issuance import limits
from issuance.billing.cloud_events import Refused, read_json
from issuance.errors import Invalid

#: If so many lines begin a file and none of them is JSON, the file is something else.
_STRANGE = 10
_GZIP, _BOM, _UTF_16 = b"\x1f\x8b", b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


class NotEvents(Invalid):
    """This is no file of events: one CloudEvent a line, or a JSON array of them."""

    code = "not_events"


class Found(NamedTuple):
    """What a file has at one place: a JSON value, or the text as it came with the reason why it is none."""

    #: The number of the line; in an array, of the element. The first is 1.
    place: int
    body: object = None
    text: str = ""
    refused: Refused | None = None


def read(stream: BinaryIO) -> Iterator[Found]:
    """What a file has, in its order. The file stays open. Raises NotEvents."""
    chunk = limits.current.intake.chunk
    begun = BufferedReader(cast(Any, stream), chunk)
    try:
        plain = _plain(begun)
        is_array = plain.peek(chunk).lstrip()[:1] == b"["
        yield from _elements(plain) if is_array else _checked(_lines(plain))
    except (OSError, EOFError, zlib.error) as error:
        raise NotEvents(f"The file can not be read to its end: {error}") from error
    finally:
        begun.detach()


def _plain(begun: BufferedReader) -> BufferedReader:
    """The text of a file, in UTF-8, after whatever stands before it."""
    plain = begun
    if plain.peek(2)[:2] == _GZIP:
        plain = BufferedReader(cast(Any, gzip.GzipFile(fileobj=plain)), limits.current.intake.chunk)
    begin = plain.peek(3)[:3]
    if begin[:2] in _UTF_16:
        raise NotEvents("The file is in UTF-16. Save it as UTF-8.")
    if begin == _BOM:
        plain.read(len(_BOM))
    return plain


def _lines(stream: BufferedReader) -> Iterator[Found]:
    """The value of each line that is not blank; of a batch in a line, each of its events."""
    number, longest = 0, limits.current.intake.longest_event
    while line := stream.readline(longest + 1):
        number += 1
        if len(line) > longest:
            text = _text(line)
            while line and not line.endswith(b"\n"):
                line = stream.readline(longest)
            yield Found(number, text=text, refused=Refused("too_large", "the line is longer than any event"))
        elif line.strip():
            found = _read(number, line)
            if isinstance(found.body, list):
                yield from (Found(number, body) for body in found.body)
            else:
                yield found


def _checked(lines: Iterator[Found]) -> Iterator[Found]:
    first = list(islice(lines, _STRANGE))
    if len(first) == _STRANGE and all(found.refused for found in first):
        raise NotEvents
    return chain(first, lines)


def _elements(stream: BufferedReader) -> Iterator[Found]:
    """The elements of a JSON array, or of several one after the other, without having them all in memory."""
    decoder = json.JSONDecoder()
    pending, at, number, inside, ended = "", 0, 0, False, False
    bounds = limits.current.intake
    size = bounds.chunk
    while True:
        while at < len(pending) and (pending[at].isspace() or (inside and pending[at] == ",")):
            at += 1
        if at < len(pending) and pending[at] == ("]" if inside else "["):
            inside, at = not inside, at + 1
            continue
        end = None
        if inside and at < len(pending):
            try:
                _, end = decoder.raw_decode(pending, at)
            except ValueError:
                end = None
        if end is not None and (ended or end < len(pending)):
            number += 1
            yield _read(number, pending[at:end])
            at, size = end, bounds.chunk
        elif ended or len(pending) - at > bounds.longest_event:
            break
        else:
            chunk = stream.read(size)
            # An element may end anywhere, a letter too.
            chunk += stream.readline(bounds.longest_event) if chunk and chunk[-1] >= 0x80 else b""
            pending, at, ended, size = pending[at:] + _text(chunk), 0, not chunk, size * 2
    if inside or pending[at:].strip():
        why = "the array can not be read from here on" if at < len(pending) else "the array does not end"
        yield Found(number + 1, text=pending[at:], refused=Refused("malformed", why))


def _read(place: int, text: str | bytes) -> Found:
    said = text.rstrip("\r\n") if isinstance(text, str) else text.rstrip(b"\r\n")
    try:
        return Found(place, read_json(said))
    except Refused as refusal:
        # The parser counts lines within the text; people look for that of the file.
        why = refusal.message.replace(" at line 1 column ", " at column ")
        return Found(place, text=_text(said), refused=Refused(refusal.code, why))


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode(errors="replace")
