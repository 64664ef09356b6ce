"""Previews of rules that are not saved: new ones, edited ones, deleted ones (SEMANTICS 17)."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool, ValidationError, model_validator
from pydantic.config import JsonDict
from pydantic_core import ErrorDetails
from sqlalchemy import Connection

from issuance.catalog import rule_versions
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.engine import previews
from issuance.errors import Invalid, NotFound
from issuance.fields import Body, Months, PlainObject, complaint

Fields = TypeVar("Fields", bound=Body)


#: What the validator of a preview refuses, as the API document says it.
_ONE_THING: JsonDict = {
    "if": {"required": ["delete"], "properties": {"delete": {"const": True}}},
    "then": {
        "required": ["credit_rule_id"],
        "properties": {"credit_rule_id": {"type": "string"}, "rule": {"type": "null"}},
    },
    "else": {"required": ["rule"], "properties": {"rule": {"type": "object"}}},
}


class PreviewBody(Body):
    """A new rule, or with `credit_rule_id` what would be changed of one, or `delete`. `months`: the present one and
    those after it."""

    model_config = ConfigDict(json_schema_extra=_ONE_THING)

    credit_rule_id: UUID | None = None
    rule: PlainObject | None = Field(
        None, description="The fields of a new rule; with credit_rule_id those of a change"
    )
    delete: StrictBool = False
    months: Months = 12

    @model_validator(mode="after")
    def _one_thing(self) -> "PreviewBody":
        if (self.rule is not None) == self.delete:
            raise ValueError("say either what the rule would be, or that it is deleted")
        if self.delete and self.credit_rule_id is None:
            raise ValueError("credit_rule_id says which rule would be deleted")
        return self


def start(connection: Connection, brand_id: UUID, body: PreviewBody, *, seen: int | None = None) -> UUID:
    """Accept a preview, as a run. `seen`: of which version it is a change, as in saving (`rules.change`). Raises as
    saving would, Invalid of fields of the rule by `rule.NAME`."""
    latest: dict[str, Any] | None = None
    if body.credit_rule_id is not None:
        try:
            latest = rule_versions.latest_of(connection, brand_id, body.credit_rule_id, seen=seen)
        except NotFound as error:
            raise Invalid(fields={"credit_rule_id": error.message}) from None
    if body.delete:
        assert latest is not None, "it names its rule"
        says: Mapping[str, Any] = {"deleted": True, "version": latest["version"]}
    else:
        says = _says(connection, brand_id, latest, body.rule)
    return previews.start(connection, brand_id, body.credit_rule_id, says, body.months)


def _says(connection: Connection, brand_id: UUID, latest: dict[str, Any] | None, rule: object) -> dict[str, Any]:
    """What the rule would say. Raises Invalid."""
    try:
        if latest is None:
            return rule_versions.as_created(connection, brand_id, _read(NewCreditRule, rule))
        return rule_versions.as_changed(connection, brand_id, latest, _read(CreditRuleChange, rule))
    except Invalid as error:
        raise Invalid(fields={f"rule.{name}": wrong for name, wrong in (error.fields or {}).items()}) from None


def _read(kind: type[Fields], rule: object) -> Fields:
    try:
        return kind.model_validate(rule)
    except ValidationError as error:
        details: list[ErrorDetails] = error.errors()
        wrong = {".".join(map(str, one["loc"])): complaint(one) for one in details}
        raise Invalid(fields=wrong) from None
