"""Every error that Issuance raises on purpose: one tree, whose docstrings are the default messages.

`code` is the lower_snake word of the API (UPPER_SNAKE under /v1) and `status` its HTTP status. The
command line prints the message as one line.
"""

import inspect
from collections.abc import Iterator
from typing import ClassVar


class IssuanceError(Exception):
    """Something is wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    #: Seconds after which to try again, of what may go better then.
    retry_after: int = 1

    def __init__(self, message: str | None = None, *, fields: dict[str, str] | None = None) -> None:
        wrong = "; ".join(f"{field}: {what}" for field, what in (fields or {}).items())
        self.message = message or wrong or inspect.getdoc(type(self)) or self.code
        self.fields = fields
        super().__init__(self.message)


class SettingsError(IssuanceError):
    """A setting is missing or wrong."""

    code = "settings"


class NotAuthenticated(IssuanceError):
    """Send a valid key: Authorization: Bearer KEY."""

    code = "not_authenticated"
    status = 401


class NotAllowed(IssuanceError):
    """This key does not have the scope for this call."""

    code = "not_allowed"
    status = 403


class NotFound(IssuanceError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class MemberNotFound(NotFound):
    """There is no such member."""

    code = "member_not_found"


class Conflict(IssuanceError):
    """This does not fit what is there."""

    code = "conflict"
    status = 409


class NotHeld(Conflict):
    """No guard holds this rule."""

    code = "not_held"


class NotAPlan(Conflict):
    """Only the finished dry run of an issue or a replay is a plan that can be approved."""

    code = "not_a_plan"


class PlanCutOff(Conflict):
    """This plan is too long to be kept whole, so that it can not be approved: plan less at a time, such as one rule or
    some months."""

    code = "plan_cut_off"


class PlanForgotten(IssuanceError):
    """This plan is older than plans are kept (ISSUANCE_KEEP_PLANS_DAYS): make it anew."""

    code = "plan_forgotten"
    status = 410


class MemberArchived(Conflict):
    """The member was removed. Upserting it brings it back."""

    code = "member_archived"


class MemberNotArchived(Conflict):
    """Only a member who was removed can be erased."""

    code = "member_not_archived"


class MemberErased(Conflict):
    """This person was erased, and stays so until somebody lifts it: issuance members lift"""

    code = "member_erased"


class InvalidTransition(Conflict):
    """A redemption can not move from its status to that one."""

    code = "invalid_transition"


class RedemptionAlreadyExists(Conflict):
    """The member has a redemption of this offer that is neither COMPLETED nor CANCELED."""

    code = "redemption_already_exists"


class IdempotencyKeyReused(Conflict):
    """This Idempotency-Key was sent with another request before."""

    code = "idempotency_key_reused"


class LiveBrandHasNoClock(Conflict):
    """Only a sandbox brand's clock can be set."""

    code = "live_brand"


class ClockOnlyForward(Conflict):
    """The sandbox clock only moves forward."""

    code = "clock_backward"


class NotSettledYet(IssuanceError):
    """The work is not done yet. Are the scheduler and the workers running? Ask again with the same "now"."""

    code = "not_settled_yet"
    status = 503


class CreditNotLive(Conflict):
    """The credit can not be redeemed."""


class AlreadyRedeemed(CreditNotLive):
    """The credit has been redeemed already."""

    code = "already_redeemed"


class CreditExpired(CreditNotLive):
    """The credit has expired."""

    code = "expired"


class CreditRevoked(CreditNotLive):
    """The credit was revoked."""

    code = "revoked"


class CreditTransferred(CreditNotLive):
    """The credit has another holder, and another code."""

    code = "transferred"


class CreditNotYetValid(CreditNotLive):
    """The credit is not valid yet."""

    code = "not_yet_valid"


class TooLarge(IssuanceError):
    """The body is too large."""

    code = "too_large"
    status = 413


class HeadersTooLarge(IssuanceError):
    """The headers are too large."""

    code = "headers_too_large"
    status = 431


class TooManyConnections(IssuanceError):
    """This address has too many connections open."""

    code = "too_many_connections"
    status = 429


class NoRequest(IssuanceError):
    """This is no HTTP request, or one by a method that nobody knows."""

    code = "bad_request"
    status = 400


class TooSlow(IssuanceError):
    """The body did not come within 30 seconds, or slowly while others waited to send theirs."""

    code = "too_slow"
    status = 408


class Invalid(IssuanceError):
    """The request did not pass validation."""

    code = "invalid"
    status = 422


class InsufficientPoints(Invalid):
    """The wallet does not hold that many points."""

    code = "insufficient_points"


class CreditUnknown(Invalid):
    """There is no such credit, or it is not this member's."""

    code = "credit_not_found"


class OfferUnavailable(Invalid):
    """There is no such offer for this member now."""

    code = "offer_unavailable"


class CodeUnknown(OfferUnavailable):
    """There is no such offer, and no credit of this member's with such a code."""


class RightMissing(IssuanceError):
    """The user of DATABASE_URL may not do that in the database."""

    code = "right_missing"
    status = 503


class Untidy(IssuanceError):
    """What is kept no longer could not all be deleted."""

    code = "untidy"


class SchemaBehind(IssuanceError):
    """The database's schema is older than this version can work with. Run: issuance schema upgrade"""

    code = "schema_behind"
    status = 503


class SchemaAhead(IssuanceError):
    """The database's schema is newer than this version can work with. Start the version that upgraded it."""

    code = "schema_ahead"
    status = 503


class SchemaUnknown(IssuanceError):
    """The database's tables are not those of any version."""

    code = "schema_unknown"


class UpgradeRefused(IssuanceError):
    """The schema can not be upgraded now."""

    code = "upgrade_refused"


class UpgradeFailed(IssuanceError):
    """A step of the upgrade failed. What was done stays done: run it again to go on."""

    code = "upgrade_failed"


def every(kind: type[IssuanceError] = IssuanceError) -> Iterator[type[IssuanceError]]:
    """The tree, as far as its modules are imported: a kind of error, and those that are one."""
    yield kind
    for narrower in kind.__subclasses__():
        yield from every(narrower)
