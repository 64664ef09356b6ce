"""The OpenAPI document, with what the signatures of endpoints do not say: billing events by type, common errors,
limits, and links from an object that was made to the operations that read it. People generate clients and tests from
it."""

import json
import re
from collections.abc import Iterator
from threading import Lock
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json

from issuance.api import idempotency
from issuance.api.problems import MEANINGS, said_of_codes
from issuance.api.requests import longest_body
from issuance.billing.cloud_events import CloudEvent
from issuance.billing.event_data import DATA_OF

_REF = "#/components/schemas/{model}"
_IDEMPOTENCY_KEY = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "Of your choice, for this one request. For 24 hours, the same request with the same key has no"
    " second effect and gets its first answer again; another request with the key is refused with 409.",
}
_HEADERS = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "Names the request in the logs"},
}
_REPEATED = {
    idempotency.REPEATED[0]: {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "There if this is the first answer to the same request, given again",
    }
}
#: What a preview's rule may be, and when it is which: the preview itself reads it as saving would.
_NEW, _CHANGED = _REF.format(model="NewCreditRule"), _REF.format(model="CreditRuleChange")
_RULE = {"anyOf": [{"$ref": _NEW}, {"$ref": _CHANGED}, {"type": "null"}]}
_OF_A_RULE = {
    "if": {"required": ["credit_rule_id"], "properties": {"credit_rule_id": {"type": "string"}}},
    "then": {"properties": {"rule": {"$ref": _CHANGED}}},
    "else": {"properties": {"rule": {"$ref": _NEW}}},
}
#: How to go on after an operation: which part of its answer is which parameter of other operations.
_LINKS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "createMembershipCreditRule": (
        "id",
        "creditRuleId",
        (
            "getMembershipCreditRule",
            "updateMembershipCreditRule",
            "forecastMembershipCreditRule",
            "actionIssueMembershipCreditRuleCredits",
            "undoMembershipCreditRuleVersion",
            "deleteMembershipCreditRule",
        ),
    ),
    "createMembershipType": ("id", "membership_type_id", ("getMembershipType",)),
    "putCoupon": ("id", "coupon_id", ("getCoupon",)),
    "listMemberships": ("data/0/id", "membership_id", ("getMembership", "explainMembership")),
    "listCredits": ("data/0/code", "code", ("getCredit", "redeemCredit", "revokeCredit")),
    "grantCredit": (
        "code",
        "code",
        ("getCredit", "redeemCredit", "extendCredit", "transferCredit", "revokeCredit", "reinstateCredit"),
    ),
    "createBiller": (
        "id",
        "biller_id",
        ("putBillerSecrets", "reconcileBiller", "listBillerDeliveries", "translateBillerDeliveries"),
    ),
    "listRejectedEvents": ("data/0/id", "rejected_id", ("retryRejectedEvent", "dismissRejectedEvent")),
    "listQuarantine": ("data/0/membership_id", "membership_id", ("retryQuarantined",)),
    "createReplay": (
        "id",
        "run_id",
        ("getRun", "getRunPlan", "pauseRun", "resumeRun", "cancelRun", "approveRun", "undoRun"),
    ),
    "putOffer": ("id", "offerID", ("getOffer", "deleteOffer")),
    "setMember": ("externalUserID", "externalUserID", ("getMember", "removeMember")),
    "createRedemption": ("id", "id", ("getRedemption", "moveRedemption")),
    "createWebhook": (
        "id",
        "webhook_id",
        ("getWebhook", "listWebhookDeliveries", "enableWebhook", "disableWebhook", "deleteWebhook"),
    ),
}


def install(app: FastAPI) -> None:
    """Make `app` show the completed document."""
    generate = app.openapi

    one_at_a_time = Lock()

    def openapi() -> dict[str, Any]:
        with one_at_a_time:
            if app.openapi_schema is None:
                app.openapi_schema = _completed(generate())
            return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI tells to


def written(app: FastAPI) -> bytes:
    """The document as it is sent. It is made once, because it is long and strangers may ask for it again and again."""
    state = app.state
    if not hasattr(state, "document"):
        state.document = to_json(app.openapi())
    return bytes(state.document)


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    schemas |= _billing_events()
    schemas["PreviewBody"]["properties"]["rule"] |= _RULE
    schemas["PreviewBody"]["else"] |= _OF_A_RULE
    schemas["ErrorDetail"]["properties"]["code"]["description"] += f". {said_of_codes()}"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "security" in operation:
                _complete(path, method, operation)
            elif "requestBody" in operation:
                _say_limit(path, operation)
            for response in operation["responses"].values():
                response["headers"] = {**_HEADERS, **response.get("headers", {})}
    for name in _named_in([operation.get("requestBody", {}) for _, operation in _operations(document)], schemas):
        _say_defaults(schemas[name])
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add what every operation with a key may also answer and take."""
    responses = operation["responses"]
    for status in (400, 408, 413, 415, 429, 503) if "requestBody" in operation else (429, 503):
        responses.setdefault(str(status), _problem(status))
    if "requestBody" in operation:
        _say_limit(path, operation)
    if method == "post":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
        responses.setdefault("409", _problem(409))
        for status, response in responses.items():
            if status.startswith("2"):
                response["headers"] = {**_REPEATED, **response.get("headers", {})}
    if operation["operationId"] in _LINKS:
        field, parameter, others = _LINKS[operation["operationId"]]
        good = next(response for status, response in responses.items() if status.startswith("2"))
        parameters = {parameter: f"$response.body#/{field}"}
        good["links"] = {other: {"operationId": other, "parameters": parameters} for other in others}


def _say_limit(path: str, operation: dict[str, Any]) -> None:
    operation["responses"]["413"]["description"] += f": more than {longest_body(path)} bytes"


def _say_defaults(schema: dict[str, Any]) -> None:
    """Say the defaults of a request's fields in words: generated clients take a field with a `default` for one that is
    always there, and would require everybody to send it."""
    for field in schema.get("properties", {}).values():
        if (usual := field.pop("default", None)) is not None:
            said = f"{json.dumps(usual)} if it is not said"
            field["description"] = f"{field['description']}; {said}" if "description" in field else said


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return (one for operations in document["paths"].values() for one in operations.items())


def _named_in(part: Any, schemas: dict[str, Any]) -> set[str]:
    """The schemas that a part of the document names, and the schemas that these name in turn."""
    found: set[str] = set()
    new = _references(part)
    while new:
        found |= new
        new = set().union(*(_references(schemas[name]) for name in new)) - found
    return found


def _references(part: Any) -> set[str]:
    if isinstance(part, list):
        return set().union(*map(_references, part))
    if not isinstance(part, dict):
        return set()
    named = part.get("$ref")
    own = {named.rpartition("/")[2]} if isinstance(named, str) else set()
    return own.union(*map(_references, part.values()))


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="Problem")}
    return {"description": MEANINGS[status], "content": {"application/json": {"schema": schema}}}


def _billing_events() -> dict[str, Any]:
    """A schema for each type of event, and CloudEvent, which is any of them."""
    kinds = list(dict.fromkeys(DATA_OF.values()))
    _, definitions = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REF)
    schemas: dict[str, Any] = dict(definitions["$defs"])
    envelope = CloudEvent.model_json_schema()
    for name, kind in DATA_OF.items():
        properties = {
            **envelope["properties"],
            "type": {"const": name},
            "data": {"$ref": _REF.format(model=kind.__name__)},
        }
        event = event_schema(name)
        schemas[event] = {**envelope, "title": event, "properties": properties, "description": kind.__doc__ or name}
    schemas["CloudEvent"] = {"oneOf": [{"$ref": _REF.format(model=event_schema(name))} for name in DATA_OF]}
    return schemas


def event_schema(event_type: str) -> str:
    """The schema of a type of event: MembershipSignedUpEvent for membership.signed_up."""
    return "".join(word.capitalize() for word in re.split(r"[._]", event_type)) + "Event"
