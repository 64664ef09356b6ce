"""The guards: what the product does lest something go wrong, each with a way to take it out.

They are listed in `guards/*.toml`, a table each:

    [its-name]
    guards = "What would go wrong without it."
    file = "the file it stands in"
    old = "what is there, exactly once"
    new = "what stands there when it is gone"
    tests = ["the pytest selection that must notice"]

Where a guard stands in several places, the others follow in `also`, tables of file, old and new. A text that is not
there any more is an error, not a guard that is passed over: the list can not rot unseen.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_LISTS = Path(__file__).parent / "guards"


class DoesNotApply(Exception):
    """The code has moved on from what a guard's patch says of it."""


class Edit(NamedTuple):
    """A text of one file, and what stands there instead."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard, and how to take it out."""

    name: str
    guards: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def patched(self, tree: Path) -> dict[str, str]:
        """The texts of its files in a tree, without the guard. Raises DoesNotApply."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            path = tree / edit.file
            text = path.read_text() if path.is_file() else ""
            found = text.count(edit.old)
            if found != 1:
                raise DoesNotApply(f"{self.name}: {edit.file} has its text {found} times, not once; follow the code")
            texts[edit.file] = text.replace(edit.old, edit.new)
        return texts


def read() -> dict[str, Guard]:
    """All guards by name, in the order of the lists."""
    known: dict[str, Guard] = {}
    for path in sorted(_LISTS.glob("*.toml")):
        for name, says in tomllib.loads(path.read_text()).items():
            if name in known:
                raise ValueError(f"two guards are called {name}")
            known[name] = _guard(name, says)
    return known


def selection(guards: Sequence[Guard]) -> list[str]:
    """The tests that notice any of `guards`, each named once."""
    return list(dict.fromkeys(test for guard in guards for test in guard.tests))


def _guard(name: str, says: dict[str, Any]) -> Guard:
    edits = (Edit(says.pop("file"), says.pop("old"), says.pop("new")), *(Edit(**also) for also in says.pop("also", [])))
    guard = Guard(name, edits=edits, tests=tuple(says.pop("tests")), **says)
    if not guard.tests or any(edit.old == edit.new for edit in edits):
        raise ValueError(f"{name}: a guard is taken out, and tests notice")
    return guard
