"""`/customers/credits`, corrected by people (SEMANTICS 15)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.config import JsonDict

from issuance import hints, limits
from issuance.api.callers import Caller, Writer
from issuance.api.credits import Code, Credit
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.corrections import desk, rows
from issuance.corrections.rows import CorrectionRow, Verb
from issuance.corrections.wanted import Correction, Extend, Grant, Reinstate, Revoke, Transfer
from issuance.errors import NotFound
from issuance.fields import Body, Identifier, Instant, MaxUses, Reason
from issuance.tenancy.heavy import heavy

router = APIRouter(
    prefix="/customers/credits", tags=["corrections"], route_class=KeyedRoute, responses=documented(401, 403, 422)
)


class RevokeBody(Body):
    reason: Reason


class ReinstateBody(Body):
    reason: Reason


class ExtendBody(Body):
    expires_at: Instant = Field(description="Later than it expires now, and ahead")
    reason: Reason


#: What the validator of a transfer refuses, as the API document expresses it.
_TO_ONE: JsonDict = {
    "if": {"required": ["guest_id"], "properties": {"guest_id": {"type": "string"}}},
    "then": {"properties": {"external_user_id": {"type": "null"}}},
    "else": {"required": ["external_user_id"], "properties": {"external_user_id": {"type": "string"}}},
}


class TransferBody(Body):
    """To a guest of any order of the brand, or to a member."""

    model_config = ConfigDict(json_schema_extra=_TO_ONE)

    guest_id: UUID | None = None
    external_user_id: Identifier | None = None
    reason: Reason

    @model_validator(mode="after")
    def _to_one(self) -> "TransferBody":
        if (self.guest_id is None) == (self.external_user_id is None):
            raise ValueError("name one of guest_id and external_user_id")
        return self


class GrantBody(Body):
    """`valid_from`: by default now. `expires_at`: by default the coupon's validity later."""

    model_config = ConfigDict(json_schema_extra=rows.GOES_WITH_MULTI_USE)

    membership_id: UUID
    guest_id: UUID | None = Field(None, description="A guest on the order; null: the lead booker")
    coupon_id: Identifier
    valid_from: Instant | None = None
    expires_at: Instant | None = None
    multi_use: StrictBool = False
    max_uses: MaxUses | None = Field(None, description="Only with multi_use: the use at which it is redeemed")
    reason: Reason


#: Each correction has a reason, its own or that of all.
_HAS_A_REASON: JsonDict = {
    "if": {"required": ["reason"], "properties": {"reason": {"type": "string"}}},
    "else": {
        "properties": {"corrections": {"items": {"required": ["reason"], "properties": {"reason": {"type": "string"}}}}}
    },
}


class CorrectionsBody(Body):
    """Up to 1000 corrections, one after the other. `reason`: of those that have none of their own."""

    model_config = ConfigDict(json_schema_extra=_HAS_A_REASON)

    # The document says how many, and is made once.
    corrections: list[CorrectionRow] = Field(min_length=1, max_length=limits.current.corrections.at_once)
    reason: Reason | None = None
    dry_run: StrictBool = False


class CorrectionRefused(BaseModel):
    """A correction that changed nothing: its place, and why."""

    index: int
    code: str
    message: str


class CorrectedCredit(Credit):
    code: str | None = Field(description="null: of a dry run, which keeps no code that it would make")  # type: ignore[assignment]


class CorrectionMade(BaseModel):
    """A correction that was made, or would be: its place, and the credit after it."""

    index: int
    action: Verb
    credit: CorrectedCredit


class CorrectionsResult(BaseModel):
    """What became of corrections. `id` is the subject of their one entry in the audit."""

    id: UUID
    dry_run: bool
    data: list[CorrectionMade]
    refused: list[CorrectionRefused]


@router.post("", operation_id="grantCredit", status_code=201, response_model=Credit, responses=documented(409))
def grant_credit(caller: Writer, body: GrantBody) -> Any:
    """Give one guest of a membership a credit, under no rule. Leaving the order or being archived revokes it."""
    return _corrected(caller, Grant(**body.model_dump()))


@router.post("/corrections", operation_id="correctCredits", response_model=CorrectionsResult, responses=documented(429))
def correct_credits(caller: Writer, body: CorrectionsBody) -> Any:
    """Correct many credits. What is refused changes nothing, the rest is made; with `dry_run` nothing is.
    Nothing is made where it takes longer than 20 s (422 `too_much_to_correct`), or where more of the codes are unknown
    than a caller may be wrong in a minute (429 `rate_limited`)."""
    wanted = rows.corrections_of(body.corrections, body.reason)
    how: dict[str, Any] = {"reason": body.reason, "dry_run": body.dry_run, "bounded": True}
    with heavy(caller.brand_id), caller.transaction() as connection:
        corrected = desk.correct_all(connection, caller.brand_id, wanted, **how)
        caller.guessed(sum(isinstance(refusal, NotFound) for refusal in corrected.refused.values()))
    hints.settle(caller.broker, caller.brand_id, corrected.membership_ids)
    return {
        "id": corrected.id,
        "dry_run": body.dry_run,
        "data": [
            {"index": index, "action": body.corrections[index].action, "credit": credit}
            for index, credit in corrected.credits.items()
        ],
        "refused": [
            {"index": index, "code": refusal.code, "message": refusal.message}
            for index, refusal in corrected.refused.items()
        ],
    }


@router.post("/{code}/revoke", operation_id="revokeCredit", response_model=Credit, responses=documented(404, 409))
def revoke_credit(caller: Writer, code: Code, body: RevokeBody) -> Any:
    """Take a credit back. If the facts took it back already, they do not give it back any more."""
    return _corrected(caller, Revoke(code, body.reason))


@router.post("/{code}/reinstate", operation_id="reinstateCredit", response_model=Credit, responses=documented(404, 409))
def reinstate_credit(caller: Writer, code: Code, body: ReinstateBody) -> Any:
    """Lift a revocation by hand. The credit is live again if its charge, its party and its expiry allow it."""
    return _corrected(caller, Reinstate(code, body.reason))


@router.post("/{code}/extend", operation_id="extendCredit", response_model=Credit, responses=documented(404, 409))
def extend_credit(caller: Writer, code: Code, body: ExtendBody) -> Any:
    """Make a credit expire later; one that has expired unused is live again."""
    return _corrected(caller, Extend(code, body.expires_at, body.reason))


@router.post("/{code}/transfer", operation_id="transferCredit", response_model=Credit, responses=documented(404, 409))
def transfer_credit(caller: Writer, code: Code, body: TransferBody) -> Any:
    """Give a live credit another holder, and a new code: the old one answers 409 `transferred`."""
    return _corrected(caller, Transfer(code, body.reason, body.guest_id, body.external_user_id))


def _corrected(caller: Caller, correction: Correction) -> Any:
    with caller.transaction() as connection:
        credit, membership_ids = desk.correct(connection, caller.brand_id, correction)
    hints.settle(caller.broker, caller.brand_id, membership_ids)
    return credit
