"""The largest input that a route takes, by its schema in the API document."""

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any
from uuid import uuid4

from issuance.api.requests import longest_body

#: A character that takes four bytes, and twelve once it is escaped.
WIDE = "\U0001d54f"
#: Items of a list, and characters of a text, that the document sets no bound to.
UNBOUNDED = 20_000
_number = count()


def values(path: str, schema: Mapping[str, Any], schemas: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[Any]:
    """Bodies that a route may be sent: its largest good one, cut down until it fits, and what is largest and wrong."""
    most = longest_body(path)
    for size in (UNBOUNDED, 1000, 100, 20, 5, 1):
        body = largest(schema, schemas, known, size)
        if len(json.dumps(body)) <= most:
            yield body
            break
    yield {f"unknown {number}": number for number in range(most // 24)}
    yield list(range(most // 8))
    yield json.loads("[" * 150 + "]" * 150)
    if isinstance(body, dict):
        yield {**body, "x" * (most // 2): None}
        # Where the document names no fields, one of those that were made up stands for all.
        fields = list(body.items()) if _properties(schema, schemas) else list(body.items())[:1]
        for name, value in fields:
            if isinstance(value, (str, list, dict)):
                room = most - len(json.dumps({**body, name: None})) - 16
                yield {**body, name: "x" * room}
                yield {**body, name: [0] * (room // 4)}


def _properties(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> bool:
    """Whether a schema names fields."""
    if "$ref" in schema:
        return _properties(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    choices = schema.get("anyOf", schema.get("oneOf", ()))
    return bool(schema.get("properties")) or any(_properties(one, schemas) for one in choices)


def largest(schema: Mapping[str, Any], schemas: Mapping[str, Any], known: Mapping[str, str], size: int) -> Any:
    """A value by a schema with everything in it, lists and texts of up to `size`."""
    if "$ref" in schema:
        return largest(schemas[schema["$ref"].rpartition("/")[2]], schemas, known, size)
    for name in ("const", "default"):
        if name in schema and name == "const":
            return schema[name]
    if "enum" in schema:
        return max(schema["enum"], key=lambda one: len(str(one)))
    choices = [one for one in schema.get("anyOf", schema.get("oneOf", ())) if one.get("type") != "null"]
    if choices:
        return largest(choices[0], schemas, known, size)
    match schema.get("type"):
        case "object":
            named = schema.get("properties", {})
            if not named:
                return {f"n{number}": WIDE * 8 for number in range(min(size, 300))}
            return {
                name: known[name] if name in known else largest(part, schemas, known, size)
                for name, part in named.items()
            }
        case "array":
            number = min(schema.get("maxItems", size), size)
            return [largest(schema.get("items", {}), schemas, known, min(size, 20)) for _ in range(number)]
        case "integer" | "number":
            return schema.get("maximum", schema.get("exclusiveMaximum", 10**9))
        case "boolean":
            return True
        case "string":
            return _text(schema, size)
    return [WIDE * 8] * min(size, 200)


def _text(schema: Mapping[str, Any], size: int) -> str:
    match schema.get("format"):
        case "uuid":
            return str(uuid4())
        case "date":
            return "2199-12-31"
        case "date-time":
            return "2199-12-31T00:00:00Z"
        case "uri":
            return f"https://93.184.216.34/{'x' * (schema.get('maxLength', 1000) - 30)}"
    if schema.get("examples"):
        return str(schema["examples"][0])
    return f"{next(_number)} {WIDE * (min(schema.get('maxLength', size), size) - 12)}"


def queries(parameters: list[Mapping[str, Any]], known: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Queries: none, the widest, and each parameter alone at its largest."""
    asked = [part for part in parameters if part["in"] == "query"]
    widest = {}
    for part in asked:
        name, schema = part["name"], part["schema"]
        for one in schema.get("anyOf", [schema]):
            if one.get("type") == "integer" and name != "page":
                widest[name] = str(one.get("maximum", 10**6))
            if one.get("format") in ("date", "date-time"):
                edge = "1900-01-01" if name == "from" else "2199-12-31"
                widest[name] = edge + ("T00:00:00Z" if one["format"] == "date-time" else "")
    yield {}
    yield widest
    for part in asked:
        if part["name"] in known:
            yield {**widest, part["name"]: known[part["name"]]}
        yield {part["name"]: WIDE * 250}
    yield {f"unknown{number}": "1" for number in range(1000)}
