"""A mapping says which of a biller's webhooks tells what, and where in its JSON. It is checked whole when it is given.

A value is a constant, or a JSONPath (`$…`) into the webhook's body, or an object around one: `{"path": "$.unit", "map":
{"month": "P1M"}, "as": "date"}`; `path` may be several, whose texts `/` joins. What a path finds first counts; where it
finds nothing, nothing is said. Paths have no functions, and few of them may search (`..`, `*`, `[?…]`), so that what a
webhook costs to read is bounded.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict

from issuance.billing.event_data import DATA_OF
from issuance.fields import SHOWN_PATTERN, Body, PlainJson, PlainObject, storable

if TYPE_CHECKING:  # it is imported where a mapping is read
    import jsonpath

#: How many paths of a mapping may search; every place where one stands counts.
MOST_SEARCHES = 10

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_QUOTED = r"""(?:'[^'\\\x00-\x1f]*'|"[^"\\\x00-\x1f]*")"""
_WHOLE = r"(?:0|-?[1-9][0-9]{0,5})"
_STEP = rf"(?:\.{_NAME}|\[(?:{_WHOLE}|{_QUOTED})\])"
_TEST = rf"@{_STEP}+(?: ?[=!]= ?(?:{_QUOTED}|{_WHOLE}|true|false|null))?"
_SEARCH = rf"(?:\.\*|\[\*\]|\[\? ?{_TEST}(?: ?&& ?{_TEST})*\])"
#: What a path may have: names, places, `*`, tests of equality, and `..` once. A function such as `match` could take
#: hours over a body.
_READABLE = rf"\$(?:{_STEP}|{_SEARCH})*(?:\.\.(?:{_NAME}|\*)(?:{_STEP}|{_SEARCH})*)?"
#: The same as the API document has it.
_SHOWN = f"^{_READABLE}$"
_SEARCHES = re.compile(rf"{_SEARCH}|\.\.")


def _path(text: str) -> str:
    import jsonpath

    if not re.fullmatch(_READABLE, text):
        raise ValueError("must be of names, places, *, tests such as [?@.a == 'b'], and .. once: no functions")
    try:
        compiled(text)
    except jsonpath.JSONPathError as error:
        raise ValueError(f"is no JSONPath: {error}") from None
    return text


@lru_cache(maxsize=1024)
def compiled(path: str) -> "jsonpath.JSONPath":
    """A JSONPath, ready to be asked. Raises JSONPathError, ValueError."""
    import jsonpath

    found = jsonpath.compile(path)
    if not isinstance(found, jsonpath.JSONPath):
        raise ValueError("must be one path, not several")
    return found


Path = Annotated[
    StrictStr,
    StringConstraints(min_length=1, max_length=200, pattern=r"^\$"),
    AfterValidator(_path),
    Field(json_schema_extra={"pattern": _SHOWN}),
]
Constant = Annotated[StrictStr, StringConstraints(max_length=200, pattern=r"^[^$\u0000][^\u0000]*$")]
_PLAIN: JsonDict = {
    "anyOf": [
        {"type": "string", "pattern": SHOWN_PATTERN},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
    ]
}


def _shown(names: JsonDict, values: JsonDict, **more: int) -> WithJsonSchema:
    """An object as the API document has it."""
    return WithJsonSchema({"type": "object", "propertyNames": names, "additionalProperties": values, **more})


class Value(Body):
    """What a path finds, or what several find, joined by `/`. It is put through a table, read as a date in the brand's
    zone, as an instant or as a billing frequency (`month`, `3/month`), or left as it is."""

    path: Path | Annotated[list[Path], Field(min_length=1, max_length=3)]
    map: Annotated[PlainObject, _shown({"pattern": SHOWN_PATTERN}, _PLAIN)] | None = None
    read_as: Literal["date", "instant", "text", "json", "frequency"] = Field("json", alias="as")

    @property
    def paths(self) -> list[str]:
        """The paths that it looks at."""
        return [self.path] if isinstance(self.path, str) else list(self.path)


Said = Path | Constant | bool | int | Value


class Signature(Body):
    """How webhooks are signed: by an HMAC of the body in a header, or by basic auth, whose `user:password` is the
    secret."""

    kind: Literal["hmac", "basic"]
    header: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Signature"
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    #: What stands before the signature, such as `sha256=`.
    prefix: Annotated[StrictStr, StringConstraints(max_length=20, pattern=SHOWN_PATTERN)] = ""


class MappedFact(Body):
    """One kind of webhook and the fact that it tells."""

    when: Annotated[
        dict[Path, PlainJson],
        Field(min_length=1, max_length=10, description="By path: a value, or any of a list"),
        _shown(
            {"pattern": _SHOWN, "maxLength": 200},
            {"anyOf": [_PLAIN, {"type": "array", "items": _PLAIN}]},
            minProperties=1,
            maxProperties=10,
        ),
    ]
    tell: Literal[tuple(DATA_OF)]  # type: ignore[valid-type]  # the closed set of facts
    #: What makes the fact's id, beside the membership: parts that never change. If there are none, the webhook's id
    #: does.
    id: list[Path] = Field(default_factory=list, max_length=5)
    data: dict[str, Said] = Field(
        default_factory=dict, max_length=20, json_schema_extra={"propertyNames": {"pattern": SHOWN_PATTERN}}
    )

    @field_validator("data")
    @classmethod
    def _names_can_be_stored(cls, data: dict[str, Said]) -> dict[str, Said]:
        for name in data:
            storable(name)
        return data


class BillerMapping(Body):
    """A mapping."""

    source: Annotated[StrictStr, StringConstraints(min_length=1, max_length=60, pattern=r"^[a-z0-9-]+$")]
    signature: Signature
    #: What makes a webhook's own id, by which a double is recognised.
    id: list[Path] = Field(default_factory=lambda: ["$.id"], min_length=1, max_length=5)
    time: Value
    #: Whether the webhook is of live mode; without this, every webhook is taken to be of the brand's mode.
    live: Value | None = None
    #: What a membership is at the biller.
    membership: list[Path] = Field(min_length=1, max_length=3)
    #: The price, or plan, of a sign-up or a change of type.
    price: Path | None = None
    events: list[MappedFact] = Field(min_length=1, max_length=100)

    @property
    def searches(self) -> int:
        """How many of its paths search: each of them may look at everything in a webhook."""
        return sum(1 for path in self._paths() if _SEARCHES.search(path))

    @model_validator(mode="after")
    def _searches_little(self) -> "BillerMapping":
        if self.searches > MOST_SEARCHES:
            raise ValueError(f"at most {MOST_SEARCHES} paths may search (.., *, [?…])")
        return self

    def _paths(self) -> Iterator[str]:
        yield from (*self.id, *self.membership, *self.time.paths, self.price or "")
        yield from self.live.paths if self.live else ()
        for fact in self.events:
            yield from (*fact.when, *fact.id)
            for said in fact.data.values():
                if isinstance(said, Value):
                    yield from said.paths
                elif isinstance(said, str) and said.startswith("$"):
                    yield said


def first(path: str, body: Any) -> Any:
    """What a path finds first; None if nothing."""
    return next((match.obj for match in compiled(path).finditer(body)), None)
