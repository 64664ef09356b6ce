"""Many corrections: each a row of a CSV file, or an object of a list."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool, ValidationError, model_validator
from pydantic.config import JsonDict

from issuance.corrections.wanted import Correction, Extend, Grant, Reinstate, Revoke, Transfer
from issuance.errors import Invalid
from issuance.fields import Body, Identifier, Instant, MaxUses, Reason, complaint, goes_with

Verb = Literal["grant", "extend", "transfer", "revoke", "reinstate"]
#: What each needs beside a reason, and what it may have.
_NEEDS: dict[Verb, tuple[set[str], set[str]]] = {
    "grant": ({"membership_id", "coupon_id"}, {"guest_id", "valid_from", "expires_at", "multi_use", "max_uses"}),
    "extend": ({"code", "expires_at"}, set()),
    "transfer": ({"code"}, {"guest_id", "external_user_id"}),
    "revoke": ({"code"}, set()),
    "reinstate": ({"code"}, set()),
}
#: What a grant refuses, as the API document says it.
GOES_WITH_MULTI_USE: JsonDict = {"dependentSchemas": goes_with("max_uses", {"multi_use": {"const": True}}, "multi_use")}
_NO_REASON = "each correction needs a reason, of its own or one for all"
_FLAGS = {"true": True, "false": False}


def _says(schema: dict[str, Any]) -> None:
    """What the validator of a row refuses, as the API document says it."""
    fields = set(schema["properties"]) - {"action", "reason"}
    schema["allOf"] = [
        {
            "if": {"properties": {"action": {"const": verb}}},
            "then": {
                "required": sorted(needed),
                "properties": {name: {"type": "string"} for name in sorted(needed)}
                | {name: {"type": "null"} for name in sorted(fields - needed - possible)},
            },
        }
        for verb, (needed, possible) in _NEEDS.items()
    ]
    named = [{"required": [name], "properties": {name: {"type": "string"}}} for name in sorted(_NEEDS["transfer"][1])]
    schema["allOf"].append({"if": {"properties": {"action": {"const": "transfer"}}}, "then": {"oneOf": named}})
    schema |= GOES_WITH_MULTI_USE


class CorrectionRow(Body):
    """One correction, with the fields that its `action` needs."""

    model_config = ConfigDict(json_schema_extra=_says)

    action: Verb
    code: Identifier | None = None
    expires_at: Instant | None = None
    guest_id: UUID | None = None
    external_user_id: Identifier | None = None
    membership_id: UUID | None = None
    coupon_id: Identifier | None = None
    valid_from: Instant | None = None
    multi_use: StrictBool | None = None
    max_uses: MaxUses | None = None
    reason: Reason | None = Field(None, description="null: that of all")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "CorrectionRow":
        needed, possible = _NEEDS[self.action]
        named = {name for name in self.model_fields_set if getattr(self, name) is not None} - {"action", "reason"}
        if missing := sorted(needed - named):
            raise ValueError(f"{self.action} needs {', '.join(missing)}")
        if strange := sorted(named - needed - possible):
            raise ValueError(f"{self.action} takes no {', '.join(strange)}")
        if self.action == "transfer" and (self.guest_id is None) == (self.external_user_id is None):
            raise ValueError("transfer needs one of guest_id and external_user_id")
        return self

    def correction(self, reason: str) -> Correction:
        """What it asks for. `reason`: where it has none of its own."""
        why, code = self.reason or reason, self.code or ""
        match self.action:
            case "grant":
                assert self.membership_id is not None, "it was asked for"
                return Grant(
                    self.membership_id,
                    self.coupon_id or "",
                    why,
                    guest_id=self.guest_id,
                    valid_from=self.valid_from,
                    expires_at=self.expires_at,
                    multi_use=bool(self.multi_use),
                    max_uses=self.max_uses,
                )
            case "extend":
                assert self.expires_at is not None, "it was asked for"
                return Extend(code, self.expires_at, why)
            case "transfer":
                return Transfer(code, why, self.guest_id, self.external_user_id)
            case "revoke":
                return Revoke(code, why)
            case "reinstate":
                return Reinstate(code, why)


def corrections_of(rows: Sequence[CorrectionRow], reason: str | None) -> list[Correction]:
    """What rows ask for. Raises Invalid where one has no reason, and there is none for all."""
    for place, row in enumerate(rows):
        if row.reason is None and reason is None:
            where = f"corrections.{place}.reason"
            raise Invalid(f"{where}: {_NO_REASON}", fields={where: _NO_REASON})
    return [row.correction(reason or "") for row in rows]


def read(text: str, reason: str | None) -> Iterator[tuple[int, CorrectionRow]]:
    """The rows of a CSV file, whose first line names the columns, each with its line. Empty cells say nothing. What
    stands between cells (`,`, `;` or a tab) and the case of the names are as the spreadsheet wrote them.

    `reason`: of rows that have none of their own. Raises Invalid, with the line, for what is no correction.
    """
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        columns = table.fieldnames = [name.strip().lower() for name in table.fieldnames or ()]
        if not columns:
            raise Invalid("The file is empty.")
        if unknown := sorted(set(columns) - set(CorrectionRow.model_fields)):
            raise ValueError(f"unknown column {unknown[0]!r}; there are {', '.join(CorrectionRow.model_fields)}")
        for cells in table:
            if not any(cells.values()):  # as spreadsheets end
                continue
            row = _row(cells)
            if row.reason is None and reason is None:
                raise ValueError(_NO_REASON)
            yield table.reader.line_num, row
    except (csv.Error, ValueError) as error:
        raise Invalid(f"line {table.reader.line_num}: {error}") from None


def _delimiter(text: str) -> str:
    try:
        return csv.Sniffer().sniff(text.partition("\n")[0], delimiters=",;\t").delimiter
    except csv.Error:  # one column
        return ","


def _row(cells: dict[str | None, str | list[str] | None]) -> CorrectionRow:
    said: dict[str, object] = {}
    for name, cell in cells.items():
        if name is None or not isinstance(cell, str):
            raise ValueError("it has not as many cells as the first line")
        if cell.strip():
            said[name] = cell.strip()
    if str(said.get("multi_use", "")).lower() in _FLAGS:
        said["multi_use"] = _FLAGS[str(said["multi_use"]).lower()]
    if str(said.get("max_uses", "")).isdecimal():
        said["max_uses"] = int(str(said["max_uses"]))
    try:
        return CorrectionRow.model_validate(said)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(str(part) for part in wrong["loc"])
        raise ValueError(f"{where}: {complaint(wrong)}" if where else complaint(wrong)) from None
