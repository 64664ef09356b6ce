"""What a reason is, wherever one is typed (SEMANTICS 15)."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pydantic import TypeAdapter, ValidationError
from typer.main import get_command

from issuance.api.app import create_app
from issuance.cli.main import app
from issuance.cli.reasons import parse_reason
from issuance.fields import REASON_PATTERN, Reason
from issuance.settings import Settings

REASON: TypeAdapter[str] = TypeAdapter(Reason)
DOCUMENT = create_app(Settings(DATABASE_URL="postgresql://nowhere/", REDIS_URL="redis://nowhere/")).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize(
    "nothing",
    [
        "", " ", "\t", "\r\n", "\u0085", "\u00a0", "\u00ad", "\u034f", "\u061c", "\u115f", "\u1680", "\u180e", "\u2003",
        "\u200b", "\u200d", "\u2028", "\u202e", "\u2060", "\u2800", "\u3000", "\u3164", "\ufe0f", "\ufeff", "\uffa0",
        "\U0001d173", "\U000e0001", "\U000e0100", " \u200b\u00a0",
    ],
)  # fmt: skip
def test_what_can_not_be_seen_is_no_reason(nothing: str) -> None:
    """Nor does the API document allow it."""
    with pytest.raises(ValidationError):
        REASON.validate_python(nothing)
    assert re.search(REASON_PATTERN, nothing) is None


@pytest.mark.parametrize("said", ["x", ".", " closed ", "\u4f11\u9986", "\u200f\u05e1\u05d2\u05d5\u05e8", "\U0001f343"])
def test_what_can_be_seen_is_one(said: str) -> None:
    """As it was typed."""
    assert REASON.validate_python(said) == said
    assert re.search(REASON_PATTERN, said)


def test_every_body_with_a_reason_takes_one_alike() -> None:
    """A route that took any text would say so in the API document."""
    bodies = [operation["requestBody"] for path in DOCUMENT["paths"].values() for operation in path.values()
              if "requestBody" in operation]  # fmt: skip
    found = {name: SCHEMAS[name].get("properties", {}).get("reason") for name in _named(bodies)}
    reasons = {name: schema for name, schema in found.items() if schema is not None}
    assert len(reasons) >= 11
    for name, schema in reasons.items():
        texts = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
        assert [one.get("pattern") for one in texts] == [REASON_PATTERN], name


def test_every_command_with_a_reason_takes_one_alike() -> None:
    """It is read as the API reads it: else bad use, before anything is done."""
    options = [one for command in _commands(get_command(app)) for one in command.params if one.name == "reason"]
    assert len(options) >= 11
    assert {option.type_descriptor.parameter_info.parser for option in options} == {parse_reason}
    with pytest.raises(typer.BadParameter):
        parse_reason("\u200b")


def _named(part: Any) -> set[str]:
    """The schemas that something is made of, by their names."""
    named: set[str] = set()
    waiting = [part]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            name = str(one.get("$ref", "")).rpartition("/")[2]
            if name and name not in named:
                named.add(name)
                waiting.append(SCHEMAS[name])
        elif isinstance(one, list):
            waiting += one
    return named


def _commands(command: Any) -> Iterator[Any]:
    if hasattr(command, "commands"):
        for one in command.commands.values():
            yield from _commands(one)
    else:
        yield command
