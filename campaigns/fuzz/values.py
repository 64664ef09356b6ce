"""Values that programs stumble over, valid ones that were spoilt, and bodies by their schema.

All are drawn from a `Random`, so that a seed, Hypothesis (which makes failures small) and a fuzzer's bytes can each be
the chance.
"""

import json
import string
from collections.abc import Callable, Mapping
from copy import deepcopy
from random import Random
from typing import Any
from uuid import UUID

#: Texts that have broken something somewhere.
TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "a\x00b",
        "\n",
        "\t",
        "\u200b",
        "\u202e",
        "é",
        "e\u0301",
        "𝒳",
        "\ud800",
        "\udfff",
        "\uffff",
        "ﷺ",
    ),
    *(
        "null",
        "None",
        "true",
        "0",
        "-1",
        "1e999",
        "NaN",
        "Infinity",
        "0x10",
        "١٢٣",
        "'",
        '"',
        "\\",
        "%s",
        "{0}",
        "${x}",
    ),
    *("'; DROP TABLE credits; --", "../../etc/passwd", "<script>", "a" * 255, "a" * 256, "a" * 5000, "😀" * 130),
)
DATES = (
    *("2031-01-31", "2032-02-29", "2031-02-29", "1900-01-01", "2199-12-31", "1899-12-31", "2200-01-01", "0000-00-00"),
    *(
        "9999-12-31",
        "2031-1-1",
        "20310101",
        "2031-W05-1",
        "2031-01-31T00:00:00Z",
        "２０３１-01-01",
        "2031-01-31 ",
        "+2031-01-01",
    ),
)
INSTANTS = (
    *("2031-01-31T08:00:00Z", "2031-01-31T08:00:00+14:00", "2031-01-31t08:00:00z", "1900-01-01T00:00:00+14:00"),
    *("2199-12-31T23:59:59-12:00", "2031-01-31T24:00:00Z", "2031-01-31T08:00:60Z", "2031-01-31T08:00:00", "1700000000"),
    *(
        "2031-01-31T08:00:00.123456789Z",
        "2031-01-31T08:00:00+24:00",
        "2031-01-31T08:00:00-00:00",
        "0001-01-01T00:00:00Z",
    ),
    "9999-12-31T23:59:59-12:00",
)
NUMBERS = (
    *(0, -1, 1, 0.1, -0.0, 1e-7, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**18, 10**40, 10**400),
    *(1e308, 1.7976931348623157e308, 5e-324, 123456789012.123456, 0.1234567),
)
DURATIONS = (
    *(
        "P1M",
        "P60D",
        "P1Y2M3W4D",
        "P0D",
        "P",
        "PT1H",
        "P1.5M",
        "-P1M",
        "P-1M",
        "P1M1Y",
        "P99999W",
        "P100Y",
        "P101Y",
        "p1m",
    ),
    *(
        "P1M ",
        "P1M\n",
        "P１M",
        "P1,5Y",
        "P0001Y",
        "P00000Y",
        "P1Y1M1W1D1D",
        "P36525D",
        "P36526D",
        "P1200M",
        "billing_cycle",
    ),
)
IDS = (
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "not-a-uuid",
    f"{{{UUID(int=1)}}}",
)


def uuid(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128)))


def some_text(chance: Random) -> str:
    if chance.random() < 0.5:
        return chance.choice(TEXTS)
    return "".join(
        chr(chance.choice((chance.randrange(32, 127), chance.randrange(0x110000)))) for _ in range(chance.randrange(9))
    )


def wild(chance: Random, depth: int = 3) -> Any:
    """Any JSON value."""
    kind = chance.randrange(12 if depth else 9)
    if kind == 9:
        return [wild(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind in (10, 11):
        return {some_text(chance): wild(chance, depth - 1) for _ in range(chance.randrange(4))}
    plain: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.choice(NUMBERS),
        lambda: chance.choice(DATES),
        lambda: chance.choice(INSTANTS),
        lambda: chance.choice(DURATIONS),
        lambda: chance.choice(IDS),
        lambda: uuid(chance),
        lambda: some_text(chance),
    )
    return plain[kind]()


def spoilt(chance: Random, value: Any, times: int) -> Any:
    """A value with a few things in it changed, left out, doubled or added."""
    value = deepcopy(value)
    for _ in range(times):
        value = _spoil(chance, value)
    return value


def _spoil(chance: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(sorted(value))
        match chance.randrange(8):
            case 0:
                del value[name]
            case 1:
                value[some_text(chance)] = wild(chance)
            case _:
                value[name] = _spoil(chance, value[name])
        return value
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        match chance.randrange(4):
            case 0:
                del value[place]
            case 1:
                value.append(deepcopy(value[place]))
            case _:
                value[place] = _spoil(chance, value[place])
        return value
    if isinstance(value, str) and value and chance.random() < 0.4:
        place = chance.randrange(len(value))
        return (
            value[:place] + chance.choice((some_text(chance), chance.choice(string.printable), "")) + value[place + 1 :]
        )
    return wild(chance)


def by_schema(
    chance: Random, schema: Mapping[str, Any], schemas: Mapping[str, Any], known: Mapping[str, list[str]]
) -> Any:
    """A value that a JSON schema of the API document allows, mostly. Ids come from `known`, by their field's name."""
    if "$ref" in schema:
        return by_schema(chance, schemas[schema["$ref"].rpartition("/")[2]], schemas, known)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return by_schema(chance, chance.choice(schema[several]), schemas, known)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            return _object(chance, schema, schemas, known)
        case "array":
            items = schema.get("items", {})
            return [by_schema(chance, items, schemas, known) for _ in range(chance.randrange(4))]
        case "boolean":
            return chance.random() < 0.5
        case "integer":
            return chance.choice((0, 1, 2, 10, schema.get("minimum", -1), schema.get("maximum", 10**6)))
        case "number":
            return chance.choice((0, 1, 0.5, 100, 12.34))
        case "null":
            return None
        case "string":
            return _string(chance, schema)
    return wild(chance, 1)


def _object(
    chance: Random, schema: Mapping[str, Any], schemas: Mapping[str, Any], known: Mapping[str, list[str]]
) -> Any:
    needed = schema.get("required", [])
    made = {}
    for name, of in schema.get("properties", {}).items():
        if name not in needed and chance.random() < 0.4:
            continue
        ids = known.get(name)
        made[name] = chance.choice(ids) if ids and chance.random() < 0.8 else by_schema(chance, of, schemas, known)
    return made


def _string(chance: Random, schema: Mapping[str, Any]) -> str:
    match schema.get("format"):
        case "uuid":
            return uuid(chance)
        case "date":
            return f"20{chance.randrange(25, 40)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
        case "date-time":
            return f"2031-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:00:00Z"
        case "uri":
            return "http://127.0.0.1:9/hook"
    return chance.choice(("x", "Ada", "P1M", "a@b.example", chance.choice(schema.get("examples") or ("y",))))


def as_body(chance: Random, value: Any) -> bytes:
    """A JSON text of a value, sometimes spoilt as a text."""
    body = json.dumps(value, ensure_ascii=chance.random() < 0.9).encode("utf-8", "surrogatepass")
    if chance.random() < 0.05:
        return spoilt_bytes(chance, body)
    return body


def spoilt_bytes(chance: Random, body: bytes) -> bytes:
    match chance.randrange(5):
        case 0:
            return body[: chance.randrange(len(body) + 1)]
        case 1:
            return b"[" * chance.choice((10, 300, 5000)) + body
        case 2:
            place = chance.randrange(len(body) + 1)
            return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
        case 3:
            return bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
    return body.replace(b'"', b"'", 1)
