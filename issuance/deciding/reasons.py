"""The closed sets of outcomes and reasons that decisions, explain, events and run counts use (SEMANTICS 13)."""

from enum import StrEnum


class Outcome(StrEnum):
    ISSUED = "issued"
    HELD = "held"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNDONE = "undone"


class Reason(StrEnum):
    ISSUED = "issued"
    ALREADY_ISSUED = "already_issued"
    CHARGE_UNPAID = "charge_unpaid"
    NEEDS_ATTENTION = "needs_attention"
    NOT_DUE_YET = "not_due_yet"
    NOT_SIGNUP_RULE = "not_signup_rule"
    VERSION_NOT_IN_FORCE = "version_not_in_force"
    RULE_DELETED = "rule_deleted"
    NOT_LEAD_BOOKER = "not_lead_booker"
    MEMBERSHIP_PAUSED = "membership_paused"
    MEMBERSHIP_ENDED = "membership_ended"
    CHARGE_SKIPPED = "charge_skipped"
    PERIOD_OVER = "period_over"
    HOLDS_LIVE_CREDIT = "holds_live_credit"
    NOT_BILLED_YET = "not_billed_yet"
    GUEST_REMOVED = "guest_removed"
    MEMBER_ARCHIVED = "member_archived"
    OF_ANOTHER_TYPE = "of_another_type"
    USED_BEFORE_CHANGE = "used_before_change"
    REFUSED = "refused"
    AWAITING_APPROVAL = "awaiting_approval"
    COUPON_MISSING = "coupon_missing"
    #: What an undo counts.
    REVOKED = "revoked"
    ALREADY_REDEEMED = "already_redeemed"
    ALREADY_GONE = "already_gone"
    ERROR = "error"

    @property
    def outcome(self) -> Outcome:
        """Which outcome this reason belongs to."""
        return _OUTCOMES.get(self, Outcome.SKIPPED)


_OUTCOMES = {
    Reason.ISSUED: Outcome.ISSUED,
    Reason.ALREADY_ISSUED: Outcome.ISSUED,
    Reason.CHARGE_UNPAID: Outcome.HELD,
    Reason.NEEDS_ATTENTION: Outcome.HELD,
    Reason.NOT_DUE_YET: Outcome.HELD,
    Reason.AWAITING_APPROVAL: Outcome.HELD,
    Reason.COUPON_MISSING: Outcome.FAILED,
    Reason.ERROR: Outcome.FAILED,
    **dict.fromkeys((Reason.REVOKED, Reason.ALREADY_REDEEMED, Reason.ALREADY_GONE), Outcome.UNDONE),
}
