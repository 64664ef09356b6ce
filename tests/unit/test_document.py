"""The OpenAPI document: whole, and such that clients generated from it work."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from issuance.api.app import create_app
from issuance.members.redemptions import STATUSES
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


def test_ids_of_operations_are_a_verb_and_what_it_is_done_to() -> None:
    """In camelCase; none is made of a path, as generated ones are. The two of analytics are the reference's."""
    wrong = {name for name in OPERATIONS if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name)}
    assert wrong == set()


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_have_names_of_ours(name: str) -> None:
    """Words in PascalCase, nothing generated (`Listed_Run_`, `Body_x_post`), and never the name of an own property."""
    assert re.fullmatch(r"([A-Z][a-z]+)+", name)
    properties = {singular(own) for own in SCHEMAS[name].get("properties", ())}
    assert singular(name) not in properties


def test_every_answer_has_a_schema_with_a_name() -> None:
    """Whatever is answered in JSON; what Prometheus reads is text."""
    unnamed = {
        (name, status)
        for name, operation in OPERATIONS.items()
        for status, response in operation["responses"].items()
        for media_type, content in response.get("content", {}).items()
        if "$ref" not in content.get("schema", {}) and media_type != "text/plain"
    }
    assert unnamed == set()


def test_every_reference_leads_somewhere() -> None:
    """All schemas that are named are there, and none that nobody answers with."""
    named = {part["$ref"] for part in parts(DOCUMENT) if isinstance(part.get("$ref"), str)}
    assert named <= {f"#/components/schemas/{name}" for name in SCHEMAS}
    assert "HTTPValidationError" not in SCHEMAS
    assert "id" in SCHEMAS["Guest"]["properties"]


def test_names_are_camel_case_under_v1_and_snake_case_elsewhere() -> None:
    """In bodies and answers, as the two references have it; statuses that are names are as they are everywhere, or in
    lower case where the reference counts them so."""
    statuses = {*STATUSES, *(status.lower() for status in STATUSES)}
    for path, operations in DOCUMENT["paths"].items():
        names = {name for schema in reached(operations) for name in schema.get("properties", ())} - statuses
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


def singular(name: str) -> str:
    """A name without regard to case and number."""
    name = name.replace("_", "").lower()
    return name.removesuffix("ies") + "y" if name.endswith("ies") else name.removesuffix("s")


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
