"""`/v1/wallet`, and `/v1/eligibility`: a member's points (reference: Member management)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from issuance.api.callers import Caller, MemberReader, Writer
from issuance.api.camel import About, CamelModel, Cursor, Limit
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.errors import MemberNotFound
from issuance.fields import CamelBody, Identifier, Points, Reason
from issuance.members import members, wallets
from issuance.members.wallets import EntryType

router = APIRouter(prefix="/v1", tags=["points"], route_class=KeyedRoute, responses=documented(401, 403, 404, 422))


class Currency(CamelModel):
    name: str
    symbol: str


class PointsBalance(CamelModel):
    balance: int
    currency: Currency


class Wallet(PointsBalance):
    """balance = amountReceived - amountSpent, at any moment."""

    amount_received: int = Field(description="All points that were ever credited")
    amount_spent: int = Field(description="All that were spent or forfeited, less what was refunded")
    revision: int = Field(description="Grows with each change, and stands in what webhooks are told")


class Transaction(CamelModel):
    """An entry of the ledger. The amounts of all of them add up to the balance."""

    id: UUID
    amount: int = Field(description="Positive where it gives points (credit, refund), negative where it takes them")
    type: EntryType
    reason: str | None
    redemption_id: UUID | None
    created_at: datetime


class TransactionPage(CamelModel):
    transactions: list[Transaction]
    next_cursor: str | None


class Eligibility(CamelModel):
    tier: str
    wallet: Wallet


class CreditPointsBody(CamelBody):
    external_user_id: Identifier = Field(examples=["user_42"])
    amount: Points
    reason: Reason | None = Field(None, examples=["welcome bonus"])


def member_of(caller: Caller, external_user_id: str | None) -> str:
    """The member that a call is about; a caller with a key has to name one. Raises MemberNotFound, NotAllowed."""
    about = caller.about(external_user_id)
    if about is None:
        raise MemberNotFound("An organisation key is nobody's: name the member, externalUserID.")
    return about


@router.post("/wallet/credit", operation_id="creditPoints", response_model=PointsBalance, responses=documented(409))
def credit_points(caller: Writer, body: CreditPointsBody) -> Any:
    """Give a member points."""
    with caller.transaction() as connection:
        return wallets.credit(connection, caller.brand_id, body.external_user_id, body.amount, body.reason)


@router.get("/wallet", operation_id="getWallet", response_model=Wallet)
def get_wallet(caller: MemberReader, external_user_id: About = None) -> Any:
    """A member's points."""
    member = member_of(caller, external_user_id)
    with caller.transaction() as connection:
        return wallets.read(connection, caller.brand_id, member)


@router.get("/wallet/transactions", operation_id="listTransactions", response_model=TransactionPage)
def list_transactions(
    caller: MemberReader, external_user_id: About = None, limit: Limit = 25, cursor: Cursor = None
) -> Any:
    """A member's ledger, the newest entry first."""
    member = member_of(caller, external_user_id)
    with caller.transaction() as connection:
        rows, following = wallets.entries(connection, caller.brand_id, member, limit, cursor)
    return {"transactions": rows, "next_cursor": following}


@router.get("/eligibility", operation_id="getEligibility", response_model=Eligibility)
def get_eligibility(caller: MemberReader, external_user_id: About = None) -> Any:
    """A member's tier and points."""
    member = member_of(caller, external_user_id)
    with caller.transaction() as connection:
        return {
            "tier": members.get(connection, caller.brand_id, member)["tier"],
            "wallet": wallets.read(connection, caller.brand_id, member),
        }
