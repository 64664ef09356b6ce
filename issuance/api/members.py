"""`/v1/members`, and `/v1/auth/exchange` (reference: Member management)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field, RootModel
from sqlalchemy import Connection

from issuance import hints
from issuance.api.callers import Administrator, Caller, Reader, TokenMaker, Writer
from issuance.api.camel import CamelModel, MemberId
from issuance.api.idempotency import Secret
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.api.wallets import Wallet
from issuance.fields import Identifier, QueryFlag
from issuance.members import members, redemptions, wallets
from issuance.members.profiles import MemberBody, MemberProfile
from issuance.memberships import archiving, exporting, forgetting
from issuance.tenancy import tokens
from issuance.tenancy.heavy import heavy

router = APIRouter(prefix="/v1", tags=["members"], route_class=KeyedRoute, responses=documented(401, 403, 422))


class Member(CamelModel):
    """A person as the brand knows them."""

    external_user_id: str
    display_name: str | None
    tier: str = Field(description='"" where none was set')
    email: str | None
    attributes: dict[str, Any] | None


class RedemptionCounts(BaseModel):
    """How many redemptions have each status."""

    SUBMITTED: int
    OPEN: int
    AWAITING_VENDOR: int
    AWAITING_CUSTOMER: int
    PURCHASED: int
    COMPLETED: int
    CANCELED: int


class MemberSummary(Member):
    created_at: datetime
    archived_at: datetime | None = Field(description="Since when the member is removed")
    revision: int = Field(description="Grows with each change; webhooks say it too")
    wallet: Wallet
    redemption_counts: RedemptionCounts


class RemovedMember(CamelModel):
    external_user_id: str
    archived: bool
    balance_retained: bool


class ErasedMember(CamelModel):
    external_user_id: str = Field(description="The random id in whose place the archived member can be read")
    erased_at: datetime


class MemberExport(RootModel[dict[str, Any]]):
    """All that is held about a member, by what it is: `member`, `wallet`, `memberships`, `credits`, `facts` …"""


class ExchangeBody(MemberProfile):
    """The member, who is created if necessary. The fields of the profile that are given are set."""

    external_user_id: Identifier = Field(examples=["user_42"])


class TokenGrant(CamelModel):
    access_token: str = Field(description="For the member's app: it opens their own wallet, credits and redemptions")
    expires_at: datetime


# These routes come before the member's own, because a member's id may contain slashes.
@router.post(
    "/members/{externalUserID:id}/erase",
    operation_id="eraseMember",
    response_model=ErasedMember,
    responses=documented(404, 409, 429),
)
def erase_member(caller: Administrator, external_user_id: MemberId) -> Any:
    """Forget a removed member: names, e-mail, attributes and the id are gone from all that is kept; a random id stands
    in their place. What names them later is taken with it, until `issuance members lift`. 422 `TOO_MUCH_TO_ERASE` where
    more than 10,000 facts, or 20 MB, were told of their orders; the command line has no limit."""
    with heavy(caller.brand_id), caller.transaction() as connection:
        erasure = forgetting.erase(connection, caller.brand_id, external_user_id, bounded=True)
    hints.settle(caller.broker, caller.brand_id, erasure.membership_ids)
    return {"external_user_id": erasure.external_user_id, "erased_at": erasure.erased_at}


@router.get(
    "/members/{externalUserID:id}/export",
    operation_id="exportMember",
    response_model=MemberExport,
    responses=documented(404, 429),
)
def export_member(caller: Administrator, external_user_id: MemberId) -> Any:
    """All that is held about a member, as one JSON document in snake_case, without other people's personal data.
    422 `TOO_MUCH_TO_EXPORT` of more than 10,000 rows; the command line has no limit."""
    with heavy(caller.brand_id), caller.transaction() as connection:
        return exporting.export(connection, caller.brand_id, external_user_id, bounded=True)


# A path that ends so names no member, so it must not reach the member's own methods.
@router.api_route("/members/{externalUserID:id}/erase", methods=["GET", "PUT", "DELETE"], include_in_schema=False)
@router.api_route("/members/{externalUserID:id}/export", methods=["PUT", "DELETE"], include_in_schema=False)
def erase_or_export_otherwise(_: Reader) -> Any:
    """Say that there is no such method."""
    raise HTTPException(405)


@router.put(
    "/members/{externalUserID:id}",
    operation_id="setMember",
    response_model=Member,
    responses=documented(409),
)
def set_member(caller: Writer, external_user_id: MemberId, body: MemberBody) -> Any:
    """Create or change a member; a removed one comes back, one that was erased does not (409). Fields that the body
    does not have stay as they are."""
    with caller.transaction() as connection:
        member, woken = members.upsert(connection, caller.brand_id, external_user_id, body)
    hints.settle(caller.broker, caller.brand_id, woken)
    return member


@router.get(
    "/members/{externalUserID:id}",
    operation_id="getMember",
    response_model=MemberSummary,
    responses=documented(404),
)
def get_member(caller: Reader, external_user_id: MemberId) -> Any:
    """A member with their points and the number of their redemptions by status. Removed members are found too."""
    with caller.transaction() as connection:
        return {
            **members.get(connection, caller.brand_id, external_user_id),
            "wallet": wallets.read(connection, caller.brand_id, external_user_id),
            "redemption_counts": redemptions.counts(connection, caller.brand_id, external_user_id),
        }


@router.delete(
    "/members/{externalUserID:id}",
    operation_id="removeMember",
    response_model=RemovedMember,
    responses=documented(404),
)
def remove_member(
    caller: Writer,
    external_user_id: MemberId,
    retain_balance: Annotated[QueryFlag, Query(alias="retainBalance", description="Keep the points")] = False,
) -> Any:
    """Archive a member: their memberships end, their credits are revoked, their points forfeited unless retained.
    `balanceRetained` says whether they were: asked again, what was forfeited stays so.
    422 `TOO_MUCH_TO_ARCHIVE` of more than 1,000 orders or 2,000 credits that are out; the command line has no limit."""
    with caller.transaction() as connection:
        removed = archiving.archive(
            connection, caller.brand_id, external_user_id, bounded=True, retain_balance=retain_balance
        )
    hints.settle(caller.broker, caller.brand_id, removed.membership_ids)
    return {
        "external_user_id": external_user_id,
        "archived": True,
        "balance_retained": removed.balance_retained,
    }


@router.post(
    "/auth/exchange",
    operation_id="exchangeToken",
    tags=["member tokens"],
    response_model=TokenGrant,
    responses=documented(409),
)
def exchange_token(caller: TokenMaker, body: ExchangeBody) -> Any:
    """A token for a member's app, good for 15 minutes. Creates the member if necessary."""
    with caller.transaction() as connection:
        members.upsert(connection, caller.brand_id, body.external_user_id, body, revive=False)
        member_id = members.id_of(connection, caller.brand_id, body.external_user_id)
        assert caller.key is not None, "no member opens this"
        return tokens.mint(connection, caller.brand_id, member_id, caller.key.key_id)._asdict()


def _without_token(grant: dict[str, Any]) -> dict[str, Any]:
    return {**grant, "accessToken": tokens.claims_of(grant["accessToken"])}


def _with_token(connection: Connection, caller: Caller, grant: dict[str, Any]) -> dict[str, Any]:
    assert caller.key is not None, "no member opens this"
    given = tokens.again(connection, grant["accessToken"], caller.key.key_id)
    return TokenGrant(**given._asdict()).model_dump(mode="json", by_alias=True)


#: The kept answer has only the token's claims; for a retry the same claims are signed again while they open anything.
TOKEN = Secret(_without_token, _with_token)
