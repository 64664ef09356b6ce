"""The OpenAPI document: whole, and such that clients generated from it work."""

import builtins
import collections.abc
import re
import typing
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from issuance.api.app import create_app
from issuance.api.guards import GuardBody
from issuance.api.requests import LONGEST_BODY, LONGEST_INTAKE
from issuance.api.runs import ReplayBody
from issuance.billers.mapped.mapping import MappedFact
from issuance.billing import cloud_events
from issuance.billing.cloud_events import RefusalCode
from issuance.fields import INSTANTS, Instant
from issuance.members.redemptions import STATUSES
from issuance.settings import Settings

DOCUMENT = create_app(Settings(DATABASE_URL="postgresql://nowhere/", REDIS_URL="redis://nowhere/")).openapi()
OPERATIONS = {operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()}
SCHEMAS = DOCUMENT["components"]["schemas"]

(VALIDITY,) = (
    kind["pattern"] for kind in SCHEMAS["CouponBody"]["properties"]["validity"]["anyOf"] if "pattern" in kind
)
#: Names that Python and TypeScript have given already.
OF_LANGUAGES = {
    *dir(builtins), *dir(collections.abc), *dir(typing),
    "Array", "Client", "Date", "Error", "Event", "File", "Map", "Object", "Options", "Promise", "Record", "Request",
    "Response", "Unset",
}  # fmt: skip
#: Schemas of answers, which say an id as it was given.
ANSWERED = {"Member", "MemberSummary", "RemovedMember", "ErasedMember", "Redemption"}

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
    """Words in PascalCase, nothing generated (`Listed_Run_`, `Body_x_post`), and never the name of an own property, or
    of what clients that are generated import for themselves."""
    assert re.fullmatch(r"([A-Z][a-z]+)+", name)
    assert name not in OF_LANGUAGES
    properties = {singular(own) for own in SCHEMAS[name].get("properties", ())}
    assert singular(name) not in properties


def test_every_answer_has_a_schema_with_a_name() -> None:
    """Whatever is answered in JSON; what Prometheus reads is text, and a file is CSV."""
    unnamed = {
        (name, status)
        for name, operation in OPERATIONS.items()
        for status, response in operation["responses"].items()
        for media_type, content in response.get("content", {}).items()
        if "$ref" not in content.get("schema", {}) and media_type not in ("text/plain", "text/csv")
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


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if "requestBody" in operation])
def test_what_may_be_left_out_of_a_body_is_optional_in_clients(name: str) -> None:
    """A generator takes a field with a `default` for one that is always there: defaults are said in words."""
    body = OPERATIONS[name]["requestBody"]
    for part in [*parts(body), *(part for schema in reached(body) for part in parts(schema))]:
        assert "default" not in part, part


def test_defaults_of_bodies_are_said() -> None:
    fields = SCHEMAS["NewCreditRule"]["properties"]
    assert "false if it is not said" in fields["roll_over"]["description"]
    assert '"billing_cycle" if it is not said' in fields["issuing_frequency"]["description"]


def test_what_is_always_answered_is_required() -> None:
    """A client need not ask whether a field is there: it is, or is null. Errors alone leave one out."""
    for name, operation in OPERATIONS.items():
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        for schema in reached(good):
            assert schema.get("properties", {}).keys() == set(schema.get("required", ())), (name, schema.get("title"))


def test_an_answer_that_is_given_again_says_so() -> None:
    """Every POST with a key, in each of its good answers, also in the document."""
    for path in DOCUMENT["paths"].values():
        operation = path.get("post", {"responses": {}})
        for status, answer in operation["responses"].items():
            repeated = status.startswith("2") and "security" in operation
            assert ("Idempotency-Replayed" in answer["headers"]) == repeated
            assert "X-Request-Id" in answer["headers"]


def test_links_lead_on() -> None:
    """From what was made or listed to how one goes on, by a field that is there; a stranger's tests follow them."""
    linked = 0
    for operation in OPERATIONS.values():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                ((parameter, said),) = link["parameters"].items()
                known = {one["name"] for one in OPERATIONS[link["operationId"]]["parameters"] if one["in"] == "path"}
                assert known == {parameter}
                (body,) = answer["content"].values()
                schema = body["schema"]
                for step in said.removeprefix("$response.body#/").split("/"):
                    schema = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
                    schema = schema["items"] if step == "0" else schema["properties"][step]
                linked += 1
    assert linked >= 30


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if "requestBody" in operation])
def test_the_limit_of_a_body_is_named(name: str) -> None:
    """In bytes, of what comes in batches another."""
    longest = LONGEST_INTAKE if name.startswith(("postBillingEvent", "receiveFrom")) else LONGEST_BODY
    assert f"{longest} bytes" in OPERATIONS[name]["responses"]["413"]["description"]


def test_examples_of_events_and_replays_are_good_ones() -> None:
    """They are what a stranger's tests begin with."""
    for name in ("postBillingEvents", "postBillingEventBatch"):
        ((content),) = OPERATIONS[name]["requestBody"]["content"].values()
        for example in content["examples"].values():
            for event in example["value"] if isinstance(example["value"], list) else [example["value"]]:
                assert cloud_events.parse(event).warnings == ()
    for example in SCHEMAS["ReplayBody"]["examples"]:
        ReplayBody.model_validate(example)


def test_reasons_for_refusal_are_listed() -> None:
    """A sender can branch on them."""
    assert set(SCHEMAS["Rejection"]["properties"]["code"]["enum"]) == set(get_args(RefusalCode))


def test_a_members_id_has_a_length_and_a_form() -> None:
    """Wherever it is said: in a path, a query or a body."""
    said = [part["schema"] for part in parts(DOCUMENT) if part.get("name") == "externalUserID" and "schema" in part]
    said += [part["externalUserID"] for part in parts(SCHEMAS) if isinstance(part.get("externalUserID"), dict)]
    texts = [text for one in said for text in one.get("anyOf", [one]) if text.get("type") == "string"]
    bounded = [text for text in texts if {"minLength", "maxLength", "pattern"} <= text.keys()]
    assert len(texts) - len(bounded) == len(ANSWERED), texts


@pytest.mark.parametrize("validity", ["P1D", "P1Y2M", "P60D", "P10W", "P05D", "P100Y", "P1200M", "P5217W", "P36525D"])
def test_a_validity_that_is_good_fits_the_pattern(validity: str) -> None:
    assert re.search(VALIDITY, validity)


@pytest.mark.parametrize("validity", ["P", "P0W", "P0D", "P0Y0D", "P1", "PT1H", "P1D2W", "P101Y", "P5218W"])
def test_a_validity_that_lasts_for_nothing_or_over_a_century_does_not(validity: str) -> None:
    assert not re.search(VALIDITY, validity)


def test_leads_have_the_form_of_a_validity() -> None:
    """Also where they are asked for beside the event."""
    body = SCHEMAS["WebhookBody"]
    (kind,) = (one for one in body["properties"]["leads"]["anyOf"] if one["type"] == "array")
    assert kind["items"]["pattern"] == body["then"]["properties"]["leads"]["items"]["pattern"] == VALIDITY


@pytest.mark.parametrize(
    "path",
    ["$", "$.a", "$.a-b[0].c", "$.content.invoice.line_items[12].id", "$..id", "$.a[*]['b c']", "$.a[?@.b == 'c'].d"],
)
def test_a_path_that_the_document_shows_is_good(path: str) -> None:
    shown = SCHEMAS["MappedFact"]["properties"]["id"]["items"]["pattern"]
    assert re.search(shown, path)
    assert SCHEMAS["MappedFact"]["properties"]["when"]["propertyNames"]["pattern"] == shown
    assert MappedFact.model_validate({"when": {path: "x"}, "tell": "charge.failed", "id": [path]}).id == [path]


def test_a_path_that_the_document_does_not_show_is_refused() -> None:
    shown = SCHEMAS["MappedFact"]["properties"]["id"]["items"]["pattern"]
    for path in ("a", "$.", "$..a..b", "$.match(a)", "$[00]", "$['\n']"):
        assert not re.search(shown, path)
        with pytest.raises(ValidationError):
            MappedFact.model_validate({"when": {"$.a": "x"}, "tell": "charge.failed", "id": [path]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"when": {"$.a": "\0"}}, {"when": {"$.a": ["\0"]}}, {"when": {"$.a": float("inf")}}, {"data": {"\0": 1}},
        {"data": {"amount": "\0"}}, {"data": {"amount": {"path": "$.a", "map": {"a": "\0"}}}},
        {"data": {"amount": {"path": "$.a", "map": {"\0": "a"}}}},
        {"data": {"amount": {"path": "$.a", "map": {"a": float("inf")}}}},
    ],
)  # fmt: skip
def test_what_can_not_be_stored_is_no_mapping(wrong: dict[str, Any]) -> None:
    """It was refused only by PostgreSQL, which names no field."""
    with pytest.raises(ValidationError):
        MappedFact.model_validate({"when": {"$.a": 1}, "tell": "charge.failed", **wrong})


def test_every_bound_is_one_that_json_schema_knows() -> None:
    """`ge` is a word of Python's: whoever reads the document would take any number for a page."""
    words = {word for part in parts(DOCUMENT) for word in part if word in {"ge", "gt", "le", "lt", "min_length"}}
    assert words == set()
    bounded = [
        part["schema"]
        for operation in OPERATIONS.values()
        for part in operation.get("parameters", ())
        if part["name"] in {"page", "per_page", "limit", "months"}
    ]
    assert bounded
    assert all({"minimum", "maximum"} <= schema.keys() for schema in bounded)


def test_limits_go_with_their_flags() -> None:
    """In a change a flag that is not named may be on already; beside one that is off a limit is refused."""
    needs = {
        name: SCHEMAS[name]["dependentSchemas"]["max_uses"]["anyOf"][1].get("required")
        for name in ("GrantBody", "CorrectionRow", "NewCreditRule", "CreditRuleChange")
    }
    always = ["multi_use"]
    assert needs == {
        "GrantBody": always,
        "CorrectionRow": always,
        "NewCreditRule": always,
        "CreditRuleChange": None,
    }


def test_the_rule_of_a_preview_is_one_that_can_be_saved() -> None:
    """A new one, or what would be changed of one."""
    rule = SCHEMAS["PreviewBody"]["properties"]["rule"]["anyOf"]
    named = [one.get("$ref", "null").rpartition("/")[2] for one in rule]
    assert named == ["NewCreditRule", "CreditRuleChange", "null"]


@pytest.mark.parametrize(
    "said", ["2026-04-01T09:30:00Z", "1900-12-31t23:59:59.123456789+14:00", "2199-02-28T00:00:00-00:30"]
)
def test_instants_have_a_form(said: str) -> None:
    """One that those who make examples can make, and that says no less than the validator takes."""
    assert re.search(INSTANTS, said)
    assert TypeAdapter(Instant).validate_python(said)
    for wrong in (said.replace(":", ""), said[:10], f"2{said}", said.replace("-", "/", 1)):
        assert not re.search(INSTANTS, wrong)
        with pytest.raises(ValidationError):
            TypeAdapter(Instant).validate_python(wrong)


def test_what_each_correction_needs_is_said() -> None:
    """By its action, so that a client knows it before."""
    said = {part["if"]["properties"]["action"]["const"]: part["then"] for part in SCHEMAS["CorrectionRow"]["allOf"][:5]}
    assert said["grant"]["required"] == ["coupon_id", "membership_id"]
    assert said["revoke"]["properties"]["expires_at"] == {"type": "null"}


def test_whole_numbers_and_decimals_are_taken_as_json_has_them() -> None:
    """5.0 is 5, and a number with more decimals than count is rounded."""
    body = GuardBody.model_validate({"max_per_day": 5.0, "times_busiest_day": 1.23456789})
    assert (body.max_per_day, str(body.times_busiest_day)) == (5, "1.234568")


@pytest.mark.parametrize("wrong", ["1.5", " 2 ", "1_0", True])
def test_how_often_the_busiest_day_is_a_number(wrong: Any) -> None:
    """As the document has it, which takes null too; a string is none (decision 10)."""
    shown = SCHEMAS["GuardBody"]["properties"]["times_busiest_day"]["anyOf"]
    assert shown == [{"type": "number", "minimum": 0.000001, "maximum": 1_000_000}, {"type": "null"}]
    assert "type" not in SCHEMAS["GuardBody"]["properties"]["times_busiest_day"]
    with pytest.raises(ValidationError):
        GuardBody.model_validate({"times_busiest_day": wrong})


def test_reminders_and_their_leads_go_together() -> None:
    """As the document says it, so that what is made from it is accepted; and so do its examples."""
    body = SCHEMAS["WebhookBody"]
    events, leads = (body["properties"][name]["examples"][0] for name in ("events", "leads"))
    assert leads
    assert "credit.expiring" in events
    assert body["if"] == {"properties": {"events": {"contains": {"const": "credit.expiring"}}}}
    assert body["then"]["required"] == ["leads"]
    assert body["else"]["properties"] == {"leads": {"type": "null"}}


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
