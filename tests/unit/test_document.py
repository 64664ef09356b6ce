"""The OpenAPI document: whole, and such that clients generated from it work."""

from collections.abc import Iterator
from typing import Any

import pytest

from issuance.api.app import create_app
from issuance.settings import Settings

DOCUMENT = create_app(Settings(DATABASE_URL="postgresql://nowhere/", REDIS_URL="redis://nowhere/")).openapi()
OPERATIONS = {operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()}
SCHEMAS = DOCUMENT["components"]["schemas"]

#: What the two references call their operations.
REFERENCES = {
    "listMembershipCreditRules", "createMembershipCreditRule", "getMembershipCreditRule", "updateMembershipCreditRule",
    "deleteMembershipCreditRule", "actionIssueMembershipCreditRuleCredits",
    "setMember", "getMember", "removeMember", "exchangeToken", "creditPoints", "createWebhook", "analyticsSummary",
}  # fmt: skip


def test_every_operation_has_an_id_of_its_own_and_the_references_have_theirs() -> None:
    """OpenAPI 3.1, in which no two operations share an id."""
    assert DOCUMENT["openapi"].startswith("3.1")
    assert len(OPERATIONS) == sum(len(path) for path in DOCUMENT["paths"].values())
    assert set(OPERATIONS) >= REFERENCES


def test_every_reference_leads_somewhere() -> None:
    """All schemas that are named are there, and none that nobody answers with."""
    named = {part["$ref"] for part in parts(DOCUMENT) if isinstance(part.get("$ref"), str)}
    assert named <= {f"#/components/schemas/{name}" for name in SCHEMAS}
    assert "HTTPValidationError" not in SCHEMAS
    assert "id" in SCHEMAS["Guest"]["properties"]


def test_names_are_camel_case_under_v1_and_snake_case_elsewhere() -> None:
    """In bodies and answers, as the two references have it; statuses that are names are as they are everywhere."""
    for path, operations in DOCUMENT["paths"].items():
        names = {name for schema in reached(operations) for name in schema.get("properties", ()) if not name.isupper()}
        wrong = {name for name in names if ("_" in name if path.startswith("/v1/") else name.lower() != name)}
        assert wrong == set(), path


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if "requestBody" in operation])
def test_a_body_is_of_one_form(name: str) -> None:
    """One media type, and an object or an array, never either: generated clients tell bodies apart by their class."""
    (content,) = OPERATIONS[name]["requestBody"]["content"].values()
    assert len(types(content["schema"]) - {"null"}) == 1, content["schema"]


def test_events_are_described_one_by_one_and_in_batches() -> None:
    """Each in the media type that CloudEvents' HTTP binding gives it, down to what each type of event holds."""
    bodies = {
        name: OPERATIONS[name]["requestBody"]["content"] for name in ("postBillingEvents", "postBillingEventBatch")
    }
    assert types(bodies["postBillingEvents"]["application/cloudevents+json"]["schema"]) == {"object"}
    assert types(bodies["postBillingEventBatch"]["application/cloudevents-batch+json"]["schema"]) == {"array"}
    for content in bodies.values():
        assert {"$ref": "#/components/schemas/CloudEvent"} in list(parts(content))
    for one in SCHEMAS["CloudEvent"]["oneOf"]:
        event = SCHEMAS[one["$ref"].rpartition("/")[2]]
        assert event["properties"]["data"]["$ref"].rpartition("/")[2] in SCHEMAS


def types(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a schema allows at its top."""
    if "$ref" in schema:
        return types(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices is not None:
        return set().union(*(types(choice) for choice in choices))
    return {schema.get("type", "anything")}


def reached(value: Any) -> list[dict[str, Any]]:
    """The schemas that a part of the document names, and those that they name in turn."""
    found: dict[str, dict[str, Any]] = {}
    new = list(parts(value))
    while new:
        named = {part["$ref"].rpartition("/")[2] for part in new if isinstance(part.get("$ref"), str)} - set(found)
        found |= {name: SCHEMAS[name] for name in named}
        new = [part for name in named for part in parts(SCHEMAS[name])]
    return list(found.values())


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from parts(part)
