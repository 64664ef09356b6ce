"""Expressions as PostgreSQL writes them, without the differences that a dump and its restore make, which turn
`((a AND b) AND c)` into a flat one."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_PARTS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[()]|\b(?:AND|OR)\b|[^'\"()\s\w]+|\w+|\s+|.", re.DOTALL)


class _Group(NamedTuple):
    """What stands in parentheses."""

    parts: "list[str | _Group]"

    def joint(self) -> str | None:
        """The one word, AND or OR, that joins all that stands in it."""
        words = {part for part in self.parts if part in ("AND", "OR")}
        return str(words.pop()) if len(words) == 1 else None

    def written(self) -> Iterator[str]:
        joint = self.joint()
        for place, part in enumerate(self.parts):
            if isinstance(part, str):
                yield part
            elif joint is not None and part.joint() == joint and self._is_joined(place, joint):
                yield from part.written()
            else:
                yield "("
                yield from part.written()
                yield ")"

    def _is_joined(self, place: int, joint: str) -> bool:
        """Whether what stands there is joined on both sides by that word, and is no part of anything else."""
        said = [part for part in (_next(self.parts[:place][::-1]), _next(self.parts[place + 1 :])) if part is not None]
        return all(part == joint for part in said)


def flat(definition: str) -> str:
    """A definition in which nothing stands in parentheses that `AND`, or `OR`, joins to its like."""
    whole = _Group([])
    open_groups = [whole]
    for part in _PARTS.findall(definition):
        if part == "(":
            group = _Group([])
            open_groups[-1].parts.append(group)
            open_groups.append(group)
        elif part == ")" and len(open_groups) > 1:
            open_groups.pop()
        else:
            open_groups[-1].parts.append(part)
    return "".join(whole.written())


def _next(parts: "list[str | _Group]") -> "str | _Group | None":
    """The first of these that is no space."""
    return next((part for part in parts if not (isinstance(part, str) and part.isspace())), None)
