"""A mapping: which of a biller's webhooks tells what, and where in its JSON. Checked whole when it is given.

A value is a constant, or a JSONPath (`$…`) into the webhook's body, or an object around one: `{"path": "$.unit", "map":
{"month": "P1M"}, "as": "date"}`. What a path finds first counts; nothing found is nothing said.
"""

from functools import lru_cache
from typing import Annotated, Any, Literal

import jsonpath
from pydantic import AfterValidator, ConfigDict, Field, StrictStr, StringConstraints

from issuance.billing.event_data import DATA_OF
from issuance.fields import Body


def _path(text: str) -> str:
    try:
        compiled(text)
    except jsonpath.JSONPathError as error:
        raise ValueError(f"is no JSONPath: {error}") from None
    return text


@lru_cache(maxsize=1024)
def compiled(path: str) -> jsonpath.JSONPath:
    """A JSONPath, ready to be asked. Raises JSONPathError, ValueError."""
    found = jsonpath.compile(path)
    if not isinstance(found, jsonpath.JSONPath):
        raise ValueError("must be one path, not several")
    return found


Path = Annotated[StrictStr, StringConstraints(min_length=1, max_length=200, pattern=r"^\$"), AfterValidator(_path)]
Constant = Annotated[StrictStr, StringConstraints(max_length=200, pattern=r"^[^$]")]


class Value(Body):
    """What a path finds: put through a table, read as a date in the brand's zone or as an instant, or left as it is."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    path: Path
    map: dict[str, Any] | None = None
    read_as: Literal["date", "instant", "text", "json"] = Field("json", alias="as")


Said = Path | Constant | bool | int | Value


class Signature(Body):
    """How webhooks are signed: by an HMAC of the body in a header, or by basic auth, whose `user:password` is the
    secret."""

    kind: Literal["hmac", "basic"]
    header: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Signature"
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    #: What stands before the signature, such as `sha256=`.
    prefix: Annotated[StrictStr, StringConstraints(max_length=20)] = ""


class Telling(Body):
    """One kind of webhook and the fact that it tells."""

    when: dict[str, Any] = Field(min_length=1, max_length=10, description="By path: a value, or any of a list")
    tell: Literal[tuple(DATA_OF)]  # type: ignore[valid-type]  # the closed set of facts
    #: What makes the fact's id, beside the membership: parts that never change. Nothing: the webhook's id.
    id: list[Path] = Field(default_factory=list, max_length=5)
    data: dict[str, Said] = Field(default_factory=dict, max_length=20)


class Mapping(Body):
    """A mapping."""

    source: Annotated[StrictStr, StringConstraints(min_length=1, max_length=60, pattern=r"^[a-z0-9-]+$")]
    signature: Signature
    #: What makes a webhook's own id, by which a double is known.
    id: list[Path] = Field(default_factory=lambda: ["$.id"], min_length=1, max_length=5)
    time: Value
    #: Whether it is of live mode; without it, every webhook is of the brand's.
    live: Value | None = None
    #: What a membership is at the biller.
    membership: list[Path] = Field(min_length=1, max_length=3)
    #: The price, or plan, of a sign-up or a change of type.
    price: Path | None = None
    events: list[Telling] = Field(min_length=1, max_length=100)


def first(path: str, body: Any) -> Any:
    """What a path finds first; None if nothing."""
    return next((match.obj for match in compiled(path).finditer(body)), None)
