"""The OpenAPI document, with what the signatures of endpoints do not say: billing events by type, and common errors."""

import re
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from issuance.api import idempotency
from issuance.api.problems import MEANINGS
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


def install(app: FastAPI) -> None:
    """Make `app` show the completed document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI tells to


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    document["components"]["schemas"] |= _billing_events()
    for path in document["paths"].values():
        for operation in path.values():
            if "security" in operation:
                statuses = (408, 413, 415, 429, 503) if "requestBody" in operation else (429, 503)
                for status in statuses:
                    operation["responses"].setdefault(str(status), _problem(status))
                if operation is path.get("post"):
                    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                    operation["responses"].setdefault("409", _problem(409))
    return document


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
