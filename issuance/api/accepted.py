"""What a caller accepts: which of two forms of an answer the Accept header prefers (RFC 9110, 12.5.1)."""

import re

from fastapi import Request

_WEIGHT = re.compile(r"q=([01](?:\.\d{0,3})?)")


def wants(request: Request, kind: str, *, over: str) -> bool:
    """Whether a media type is asked for, by its name or its group, at least as much as the default form of the
    answer."""
    header = ",".join(request.headers.getlist("accept"))
    (much, exactly), (much_else, _) = _wanted(header, kind), _wanted(header, over)
    return exactly > 0 and 0 < much >= much_else


def _wanted(header: str, kind: str) -> tuple[float, int]:
    """How much a media type is wanted (0 to 1), by the range that names it most exactly, and how exactly that names
    it."""
    ranges = ["*/*", f"{kind.partition('/')[0]}/*", kind]
    exactly, much = -1, 0.0
    for said in header.lower().split(","):
        name, *parameters = (part.strip() for part in said.split(";"))
        if name in ranges and ranges.index(name) > exactly:
            weights = [float(found[1]) for found in map(_WEIGHT.fullmatch, parameters) if found]
            exactly, much = ranges.index(name), min(*weights, 1.0) if weights else 1.0
    return much, exactly
