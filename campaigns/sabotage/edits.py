"""How a guard is taken out: a change inside one symbol of the code.

An edit names its symbol (`issuance.tenancy.keys:find`, `issuance.api.callers:Caller.about`, `schema.sql:credits_once`;
`schema.sql` is all of the file), and one of these:

    drop = "refused_texts.keep"     the statement that calls it is not there
    never = "key.opens(scope)"      the `if` whose condition contains it is never entered
    old = "a text", new = "another" what stands in the symbol once; line breaks and indentation do not matter
    new = "a text"                  the whole definition reads otherwise
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from campaigns.sabotage.symbols import NoSuchSymbol, Span, span_in_python, span_in_sql, span_of


class DoesNotApply(Exception):
    """The code has moved on from what a guard says of it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change inside a symbol."""

    symbol: str
    drop: str | None = None
    never: str | None = None
    old: str | None = None
    new: str | None = None

    def __post_init__(self) -> None:
        says = [field for field in ("drop", "never", "old", "new") if getattr(self, field) is not None]
        if says not in (["drop"], ["never"], ["old", "new"], ["new"]) or (
            self.old is not None and self.old == self.new
        ):
            raise ValueError(f"{self.symbol}: an edit says drop, never, old and new, or new, and changes something")

    @property
    def name(self) -> str:
        """The symbol's name in its file, empty for the whole file."""
        return self.symbol.partition(":")[2]

    def file(self, tree: Path) -> Path:
        """The file that holds the symbol, relative to the tree."""
        module = self.symbol.partition(":")[0]
        if module.endswith((".sql", ".py")):
            return Path(module)
        path = Path(*module.split("."))
        package = path / "__init__.py"
        return package if (tree / package).is_file() else path.with_suffix(".py")

    def apply(self, text: str) -> str:
        """The file's text after the change. Raises DoesNotApply."""
        try:
            start, end = self._span(text)
        except NoSuchSymbol:
            raise DoesNotApply(f"{self.symbol} is not there; follow the code") from None
        if self.drop is not None:
            change, by = self._statement(text, (start, end)), "pass"
        elif self.never is not None:
            change, by = self._condition(text, (start, end)), "False"
        elif self.old is not None:
            change, by = self._text(text, (start, end)), self.new or ""
        else:
            change, by = (start, end), self.new or ""
        return text[: change[0]] + by + text[change[1] :]

    def _span(self, text: str) -> Span:
        if not self.name:
            return 0, len(text)
        find = span_in_sql if self.symbol.partition(":")[0].endswith(".sql") else span_in_python
        return find(text, self.name)

    def _statement(self, text: str, within: Span) -> Span:
        """The one statement that is a call of `drop`."""
        found = [
            place
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr)
            and _called(node.value) == self.drop
            and _is_in(place := span_of(text, node), within)
        ]
        return self._only(found, f"calls of {self.drop}")

    def _condition(self, text: str, within: Span) -> Span:
        """The condition of the one `if` that contains the expression `never`."""
        wanted = ast.unparse(ast.parse(self.never or "", mode="eval"))
        found = [
            place
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.If)
            and any(isinstance(part, ast.expr) and ast.unparse(part) == wanted for part in ast.walk(node.test))
            and _is_in(place := span_of(text, node.test), within)
        ]
        return self._only(found, f"conditions with {wanted}")

    def _text(self, text: str, within: Span) -> Span:
        """Where `old` stands, whatever its lines."""
        pattern = r"\s+".join(map(re.escape, (self.old or "").split()))
        found = [match.span() for match in re.finditer(pattern, text) if _is_in(match.span(), within)]
        return self._only(found, f"texts {self.old!r}")

    def _only(self, found: list[Span], what: str) -> Span:
        if len(found) != 1:
            raise DoesNotApply(f"{self.symbol} has {len(found)} {what}, not one; follow the code")
        return found[0]


def _called(node: ast.expr) -> str | None:
    """The name of what is called, awaited or not."""
    node = node.value if isinstance(node, ast.Await) else node
    return ast.unparse(node.func) if isinstance(node, ast.Call) else None


def _is_in(place: Span, within: Span) -> bool:
    return within[0] <= place[0] and place[1] <= within[1]
