"""Memberships that are alike share one walk: what is decided for the first is decided for all of them.

Two memberships are alike when their facts differ in nothing but ids and in instants, and those in nothing that
they are compared with: midnights, the moments at which rules were saved, each other. A batch of a club's memberships
has few kinds, so deciding costs next to nothing a membership. Whose party changed, or who is archived, is like none.

A settled membership is left with its *shape*, so that those that are alike are found without loading
them when they next fall due (see `alike`).
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID
from zoneinfo import ZoneInfo

from uuid_utils.compat import uuid7

from issuance.deciding.calendar import day_of, midnight
from issuance.deciding.facts import Credit, Rule
from issuance.engine.loading import Membership
from issuance.engine.walking import Walked, walk
from issuance.tenancy.clock import BrandClock

_SIGN_UP = "membership.signed_up"
_PARTY = "membership.guests_changed"
_DAY = timedelta(days=1)


class SharedWalks:
    """Walks memberships of one brand at one time, each shape once."""

    def __init__(self, rules: Mapping[UUID, Sequence[Rule]], clock: BrandClock) -> None:
        self._rules = rules
        self._clock = clock
        self._walked: dict[Hashable, Walked] = {}
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
        known = self._walked.get(kind)
        if known is None:
            known = self._walked[kind] = walk(membership, rules, self._clock)
            known.shape = self.shape(membership, known.credits, known.now)
        return _like(known, membership)

    def kind(self, membership: Membership) -> Hashable | None:
        """All that a walk depends on, with guests and credits known by their places; None: too special to share."""
        row, now = membership.row, self._clock.now
        places = _places(membership, membership.credits, now)
        if places is None:
            return None
        # A walk through time decides at instants of its own among facts that are new to it.
        passing = self._clock.stands_still and row.due_at is not None and row.due_at <= now
        return (
            self._known(membership, membership.credits, exact_after=row.settled_at if passing else None),
            row.due_at,
            row.settled_at,
            tuple(fact.unsettled for fact in membership.facts),
            tuple(_details(credit, places[credit.key.guest_id]) for credit in membership.credits),
        )

    def shape(self, membership: Membership, out: Sequence[Credit], now: datetime) -> UUID | None:
        """All that decisions after `now` depend on while there is no news, for a membership that is settled then
        and has the credits `out`; None: too special to share. Of a credit that is spent, over or revoked by the
        operator no more counts than that it is out, and of any other when it expires."""
        places = _places(membership, out, now)
        if places is None or any(credit.revoked_by == "facts" or credit.flagged_at for credit in out):
            return None
        cuts = self._cuts(membership, out)
        outlines = sorted(_outline(credit, places[credit.key.guest_id], cuts, membership.zone) for credit in out)
        said = repr((self._known(membership, out), outlines))
        return UUID(bytes=blake2b(said.encode(), digest_size=16).digest())

    def _known(
        self, membership: Membership, out: Sequence[Credit], exact_after: datetime | None = None
    ) -> tuple[Hashable, ...]:
        """What is known of a membership, its facts in their order. Instants are told no nearer than they are
        compared; those after `exact_after` to the microsecond."""
        row = membership.row
        cuts = self._cuts(membership, out)
        charges: dict[str | None, int] = {None: 0}
        facts = []
        before = None
        for fact in membership.facts:
            at = fact.order.time
            exact = exact_after is not None and at > exact_after
            facts.append(
                (
                    fact.type,
                    at if exact else _told(at, cuts, membership.zone),
                    at == before,
                    charges.setdefault(fact.charge_id, len(charges)),
                    None if fact.type == _SIGN_UP else tuple(fact.data.items()),
                )
            )
            before = at
        leads = tuple(guest["lead_booker"] for guest in membership.party)
        return row.membership_type_id, row.starts_on, row.billing_anchor, row.billing_frequency, leads, tuple(facts)

    def _cuts(self, membership: Membership, out: Sequence[Credit]) -> list[datetime]:
        """The instants, besides midnights, that those of facts are compared with: when versions were saved, and when
        credits of P0D were issued, which do not say on which turn they ride."""
        return self._created[membership.row.membership_type_id] + [
            credit.issued_at for credit in out if credit.period_end is None
        ]


def _told(at: datetime, cuts: Sequence[datetime], zone: ZoneInfo) -> tuple[datetime, bool]:
    """The last instant up to `at` that anything is compared with it, and whether that is `at` itself."""
    day = day_of(at, zone)
    # Where clocks go back over midnight, the next day may have begun once already.
    floor = max(begin for begin in (midnight(day, zone), midnight(day + _DAY, zone)) if begin <= at)
    for cut in cuts:
        if floor < cut <= at:
            floor = cut
    return floor, floor == at


def _places(membership: Membership, out: Sequence[Credit], now: datetime) -> dict[UUID, int] | None:
    """Each guest's place on the order, where all that is known of it has happened by `now` and changed no party."""
    if membership.archived_at is not None or membership.archived_guests:
        return None
    if any(fact.order.time > now or fact.type == _PARTY for fact in membership.facts):
        return None
    places = {UUID(guest["guest_id"]): place for place, guest in enumerate(membership.party)}
    return None if any(credit.key.guest_id not in places for credit in out) else places


def _outline(credit: Credit, place: int, cuts: Sequence[datetime], zone: ZoneInfo) -> tuple[str, ...]:
    expires = credit.expires_at if credit.is_open else "over"
    issued = _told(credit.issued_at, cuts, zone) if credit.period_end is None else None
    rule_id, _, period_start, reissue = credit.key
    return tuple(map(str, (rule_id, place, period_start, reissue, credit.rule_version, credit.manual, expires, issued)))


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
    theirs = [guest["guest_id"] for guest in known.membership.party]
    ours = [guest["guest_id"] for guest in membership.party]
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
