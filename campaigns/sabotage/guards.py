"""The guards: what keeps the product from going wrong, each with a way to take it out.

They are listed in `guards/*.toml`, a table each:

    [its-name]
    guards = "What would go wrong without it."
    symbol = "issuance.tenancy.keys:find"
    never = "key.opens(scope)"
    tests = ["the pytest selection that must notice"]

`edits.py` says what an edit can be. A guard that stands in several places has the others in `also`. A symbol or a text
that is no longer there is an error: a list that is out of date is noticed.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaigns.sabotage.edits import DoesNotApply, Edit

_LISTS = Path(__file__).parent / "guards"


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
            file = edit.file(tree)
            try:
                text = texts.get(str(file)) or (tree / file).read_text()
                texts[str(file)] = edit.apply(text)
            except FileNotFoundError:
                raise DoesNotApply(f"{self.name}: there is no {file}; follow the code") from None
            except DoesNotApply as error:
                raise DoesNotApply(f"{self.name}: {error}") from None
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
    guards, tests, also = says.pop("guards"), says.pop("tests"), says.pop("also", [])
    guard = Guard(name, guards, edits=tuple(Edit(**edit) for edit in (says, *also)), tests=tuple(tests))
    if not guard.tests:
        raise ValueError(f"{name}: no test notices")
    return guard
