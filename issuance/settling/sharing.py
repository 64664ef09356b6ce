"""Memberships that are alike share one walk: what is decided for the first is decided for all of them.

Two memberships are alike when their facts differ in nothing but ids and in the moment within the day at
which they signed up. A batch of a club's memberships has few kinds, so deciding costs next to nothing a
membership. Only memberships about which no more than the sign-up is known are shared.

A settled membership is left with its *shape*, so that those that are alike are found without loading
them when they next fall due (see `alike`).
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from uuid_utils.compat import uuid7

from issuance.clock import BrandClock
from issuance.deciding.calendar import day_of, midnight
from issuance.deciding.facts import Credit, Rule
from issuance.settling.loading import Membership
from issuance.settling.walking import Walked, walk


class SharedWalks:
    """Walks memberships of one brand at one time, each shape once."""

    def __init__(self, rules: Mapping[UUID, Sequence[Rule]], clock: BrandClock) -> None:
        self._rules = rules
        self._clock = clock
        self._known: dict[Hashable, Walked] = {}
        self._created = {
            type_id: sorted(version.created_at for rule in of_type for version in rule.versions)
            for type_id, of_type in rules.items()
        }

    def walk(self, membership: Membership) -> Walked:
        """What walking this membership comes to."""
        rules = self._rules[membership.row.membership_type_id]
        kind = self.kind(membership)
        if kind is None:
            return walk(membership, rules, self._clock)
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = walk(membership, rules, self._clock)
            known.shape = self.shape(membership, known.credits, known.now)
        return _like(known, membership)

    def kind(self, membership: Membership) -> Hashable | None:
        """All that a walk depends on, with guests and credits known by their places; None: too special to share."""
        row, now = membership.row, self._clock.now
        places = _places(membership, membership.credits, now)
        if places is None:
            return None
        return (
            *self._sign_up(membership, row.settled_at is not None and row.settled_at < row.signed_up_at),
            row.due_at,
            row.settled_at,
            membership.facts[0].unsettled,
            tuple(_details(credit, places[credit.key.guest_id]) for credit in membership.credits),
        )

    def shape(self, membership: Membership, out: Sequence[Credit], now: datetime) -> UUID | None:
        """All that decisions after `now` depend on while there is no news, for a membership that is settled then
        and has the credits `out`; None: too special to share. Of a credit that is spent, over or revoked by the
        operator no more counts than that it is out, and of any other when it expires."""
        places = _places(membership, out, now)
        if places is None or any(credit.revoked_by == "facts" or credit.flagged_at for credit in out):
            return None
        outlines = sorted(_outline(credit, places[credit.key.guest_id]) for credit in out)
        said = repr((self._sign_up(membership, announced=False), outlines))
        return UUID(bytes=blake2b(said.encode(), digest_size=16).digest())

    def _sign_up(self, membership: Membership, announced: bool) -> tuple[Hashable, ...]:
        row = membership.row
        return (
            row.membership_type_id,
            # The walk decides at an announced sign-up's very instant.
            row.signed_up_at if announced else self._signed_up(row.membership_type_id, row.signed_up_at, membership),
            row.starts_on,
            row.billing_anchor,
            row.billing_frequency,
            tuple(guest["lead_booker"] for guest in membership.facts[0].data["guests"]),
        )

    def _signed_up(self, type_id: UUID, at: datetime, membership: Membership) -> datetime:
        """The last instant up to a sign-up that anything is compared with it: its midnight, or a version's creation."""
        floor = midnight(day_of(at, membership.zone), membership.zone)
        for created_at in self._created[type_id]:
            if floor < created_at <= at:
                floor = created_at
        return floor


def _places(membership: Membership, out: Sequence[Credit], now: datetime) -> dict[UUID, int] | None:
    """Each guest's place on the order, where nothing but the sign-up is known of it by `now`."""
    facts = membership.facts
    if len(facts) != 1 or facts[0].order.time > now or membership.archived_at is not None:
        return None
    if membership.archived_guests:
        return None
    places = {UUID(guest["guest_id"]): place for place, guest in enumerate(facts[0].data["guests"])}
    return None if any(credit.key.guest_id not in places for credit in out) else places


def _outline(credit: Credit, place: int) -> tuple[str, ...]:
    key = credit.key
    expires = str(credit.expires_at) if credit.is_open else "over"
    return str(key.credit_rule_id), str(place), str(key.period_start), str(key.reissue), str(credit.manual), expires


def _details(credit: Credit, place: int) -> Hashable:
    return (
        credit.key.credit_rule_id,
        place,
        credit.key.period_start,
        credit.key.reissue,
        credit.rule_version,
        credit.period_end,
        credit.valid_from,
        credit.expires_at,
        credit.issued_at,
        credit.uses,
        credit.redeemed_at,
        credit.revoked_at,
        credit.revoked_by,
        credit.expired_at,
        credit.flagged_at,
    )


def _like(known: Walked, membership: Membership) -> Walked:
    """The walk of a membership that has the shape of one that was walked."""
    theirs = [guest["guest_id"] for guest in known.membership.facts[0].data["guests"]]
    ours = [guest["guest_id"] for guest in membership.facts[0].data["guests"]]
    guest_of = {UUID(their): UUID(our) for their, our in zip(theirs, ours, strict=True)}
    own_of = {their.credit_id: own for their, own in zip(known.membership.credits, membership.credits, strict=True)}
    walked = Walked(
        membership, known.now, known.complete, known.status, known.ends_on, known.due_at, counts=known.counts
    )
    walked.skipped, walked.guest_of, walked.shape = known.skipped, guest_of, known.shape
    fresh = {}
    for credit, new in known.issued:
        own = credit.like(uuid7(), guest_of[credit.key.guest_id])
        fresh[credit.credit_id] = own.credit_id
        walked.issued.append((own, new))
    for credit_id, (before, after, why) in known.changed.items():
        own_before = own_of.get(credit_id, before)
        own_after = after.like(fresh.get(credit_id) or own_before.credit_id, guest_of[after.key.guest_id])
        walked.changed[own_after.credit_id] = (own_before, own_after, why)
    after_of = {credit_id: after for credit_id, (_, after, _) in walked.changed.items()}
    walked.credits = [after_of.get(credit.credit_id, credit) for credit in membership.credits]
    walked.credits += [credit for credit, _ in walked.issued]
    return walked
