"""The fingerprint of a membership: all that decisions about it depend on.

Memberships with one fingerprint have one outcome, so one of them is decided for all. A settled membership's fingerprint
is kept in its schedule, and holds until there is news. It is a sum over facts and credits: where only some are loaded,
what changed of them is taken off and added. FIELDS says of each field of the facts how it enters the
fingerprint, and is what takes it. A new field must be added there; a test checks that, and that each enters as it says.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.calendar import day_of, midnight
from issuance.deciding.facts import (
    BillingDateMoved,
    ChargeTold,
    Credit,
    Fact,
    GuestsChanged,
    MembershipFacts,
    SignedUp,
    StartMoved,
    StatusChanged,
    TypeChanged,
)
from issuance.engine.facts import Membership
from issuance.engine.rules import RuleBook
from issuance.engine.states import State
from issuance.tenancy.clock import BrandClock

_DAY = timedelta(days=1)
#: Sums are taken modulo this. Above stands what tells them from the fingerprints of earlier versions, which can not be
#: carried on.
_SIZE, _MARK = 2**112, 0x5156


class Tell:
    """How a field enters a fingerprint."""

    AS_IT_IS = "as it is"
    #: Rounded down to the last instant that decisions compare it with: a midnight, a rule version, a P0D credit, now;
    #: while there is news, also what was issued by hand.
    INSTANT = "by what it is compared with"
    #: The same, and to the microsecond while there is news: it becomes the expiry of what it ends.
    AN_END = "by what it is compared with, exactly while there is news"
    #: A membership where it is set has no fingerprint: it is decided by itself.
    LIKE_NO_OTHER = "like no other"
    #: No fingerprint if facts revoked the credit: facts may restore it.
    BY_FACTS = "like no other if the facts did it"
    #: It is left out: all memberships that are compared have the same value.
    SAME = "the same for all"
    #: Its value while the credit is open; afterwards only that it is not.
    UNTIL_IT_CHANGES = "while it is open"
    #: It is left out: it follows from other fields.
    FOLLOWS = "follows from others"


#: How each field of the facts enters a fingerprint.
FIELDS: dict[type, dict[str, str]] = {
    MembershipFacts: {
        "membership_type_id": Tell.AS_IT_IS,
        "zone": Tell.SAME,
        "automatic": Tell.FOLLOWS,
        "starts_on": Tell.AS_IT_IS,
        "billing_anchor": Tell.AS_IT_IS,
        "billing_frequency": Tell.AS_IT_IS,
        "told": Tell.AS_IT_IS,
        "archived_at": Tell.LIKE_NO_OTHER,
        "archived_guests": Tell.LIKE_NO_OTHER,
        "returned_at": Tell.LIKE_NO_OTHER,
        "returned_guests": Tell.LIKE_NO_OTHER,
        "held": Tell.AS_IT_IS,
    },
    SignedUp: {"moment": Tell.INSTANT, "guests": Tell.AS_IT_IS},
    StatusChanged: {
        "moment": Tell.INSTANT,
        "status": Tell.AS_IT_IS,
        "ends_on": Tell.AS_IT_IS,
        "takes_end_back": Tell.AS_IT_IS,
    },
    BillingDateMoved: {"moment": Tell.AN_END, "billing_anchor": Tell.AS_IT_IS, "billing_frequency": Tell.AS_IT_IS},
    StartMoved: {"moment": Tell.INSTANT, "starts_on": Tell.AS_IT_IS, "billing_anchor": Tell.AS_IT_IS},
    # What a guest used under another type counts, so each is decided by itself once it is settled.
    TypeChanged: {
        "moment": Tell.INSTANT,
        "membership_type_id": Tell.AS_IT_IS,
        "automatic": Tell.FOLLOWS,
        "switches": Tell.AS_IT_IS,
    },
    GuestsChanged: {"moment": Tell.INSTANT, "guests": Tell.AS_IT_IS},
    ChargeTold: {
        "moment": Tell.INSTANT,
        "number": Tell.AS_IT_IS,
        "state": Tell.AS_IT_IS,
        "period_start": Tell.AS_IT_IS,
        "period_end": Tell.AS_IT_IS,
        "amount": Tell.AS_IT_IS,
        "amount_refunded": Tell.AS_IT_IS,
    },
    Credit: {
        "key": Tell.AS_IT_IS,  # a membership with a grant has no fingerprint: expiring by period would miss it
        "rule_version": Tell.AS_IT_IS,
        "manual": Tell.AS_IT_IS,
        # Of P0D credits only: they do not say which billing period they ride on, and go over to others.
        "issued_at": Tell.INSTANT,
        "valid_from": Tell.INSTANT,
        "expires_at": Tell.UNTIL_IT_CHANGES,
        "redeemed_at": Tell.UNTIL_IT_CHANGES,
        "revoked_at": Tell.UNTIL_IT_CHANGES,
        "expired_at": Tell.UNTIL_IT_CHANGES,
        "revoked_by": Tell.BY_FACTS,
        "flagged_at": Tell.LIKE_NO_OTHER,
        "extended_to": Tell.AS_IT_IS,
        "extended_at": Tell.FOLLOWS,  # reminders ask it, at the first settling since, which is by itself
        "uses": Tell.FOLLOWS,  # issuing and expiring do not depend on it; otherwise each is loaded
        "period_end": Tell.FOLLOWS,
        "roll_over": Tell.FOLLOWS,
        "multi_use": Tell.FOLLOWS,
        "max_uses": Tell.FOLLOWS,
        "validity_ends_at": Tell.FOLLOWS,
    },
}


Getter = Callable[[Any], tuple[Any, ...]]


def _those(kind: type, how: str) -> Getter:
    """A getter of the fields that enter a fingerprint in one way."""
    # `told` and `key` are taken by `_of_facts` and `_outline`.
    names = [name for name, told in FIELDS[kind].items() if told == how and name not in ("told", "key")]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda one: tuple(getattr(one, name) for name in names)


_AS_IT_IS = {kind: _those(kind, Tell.AS_IT_IS) for kind in FIELDS}
_LIKE_NO_OTHER = {kind: _those(kind, Tell.LIKE_NO_OTHER) for kind in FIELDS}
_BY_FACTS = _those(Credit, Tell.BY_FACTS)
_WHILE_OPEN = _those(Credit, Tell.UNTIL_IT_CHANGES)
_INSTANTS = _those(Credit, Tell.INSTANT)
_ENDS = {kind for kind, told in FIELDS.items() if told.get("moment") == Tell.AN_END}


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Takes the fingerprints of a brand's memberships at one time."""

    rules: RuleBook
    clock: BrandClock
    #: When the previewed version would be saved.
    saved_at: datetime | None = None

    def settled(self, facts: MembershipFacts, credits: Sequence[Credit], at: datetime) -> UUID | None:
        """The fingerprint of a membership that was settled at an instant and has these credits since: all that later
        decisions depend on while there is no news. None: it must be decided by itself."""
        changed_type = any(isinstance(fact, TypeChanged) for fact in facts.told)
        if changed_type or any(map(is_apart, credits)) or not self._is_ordinary(facts, at):
            return None
        whole = _number(_AS_IT_IS[MembershipFacts](facts)) + self._sum(facts, facts.told, credits, at)
        return _marked(whole + _of_starts(facts, credits))

    def carried_on(self, member: Membership, credits: Sequence[Credit], at: datetime) -> UUID | None:
        """`settled` of a membership of which only what can still change was loaded: its news comes after all that is
        known, and it had a fingerprint. `credits`: those of them that are out at an instant, and new ones."""
        horizon, (_, settled_at, before) = member.horizon, member.state
        assert horizon is not None, "what is loaded whole is summed up anew"
        assert settled_at is not None, "it was settled"
        assert before is not None, "it had a fingerprint"
        facts = member.facts
        if any(map(is_apart, credits)) or not self._is_ordinary(facts, at):
            return None
        # All facts since are loaded. Those before are told as they were.
        since = midnight(horizon.day, self.clock.zone)
        late = [fact for fact in facts.told if fact.moment.at >= since]
        news = {fact.moment.place for fact, event in zip(facts.told, member.events, strict=True) if event.is_news}
        known = [fact for fact in late if fact.moment.place not in news]
        were = [as_it_was(credit, settled_at) for credit in member.credits]
        changed = self._sum(facts, late, credits, at) - self._sum(facts, known, were, settled_at)
        return _marked(before.int + changed)

    def whole(self, membership: Membership) -> Hashable | None:
        """The fingerprint of a membership as it was loaded, with its news: all that deciding now depends on.
        None: it must be decided by itself."""
        facts, state, now = membership.facts, membership.state, self.clock.now
        if not self._is_ordinary(facts, now):
            return None
        # Who was on the order when something was issued by hand keeps it; a move ends what was issued before it.
        issued = [credit.issued_at for credit in membership.credits if credit.manual]
        tell = self._teller(facts, [*issued, *_of_once(membership.credits)], now)
        exact_after = self.exact_after(state)

        def told_at(fact: Fact) -> Hashable:
            at = fact.moment.at
            is_exact = type(fact) in _ENDS or (exact_after is not None and at > exact_after)
            return at if is_exact else tell(at)

        return (
            *_AS_IT_IS[MembershipFacts](facts),
            _of_facts(facts.told, told_at),
            (state.due_at, state.settled_at),
            tuple(event.is_news for event in membership.events),
            tuple(sorted(membership.credits, key=lambda credit: credit.key)),
            membership.listed,
            None if membership.horizon is None else (membership.horizon, state.fingerprint),
        )

    def teller(self, membership_type_id: UUID) -> Callable[[datetime], Hashable]:
        """The rounding of instants of facts that are later than all credits of their membership."""
        return self._told_by([*self._saved([membership_type_id]), self.clock.now])

    def exact_after(self, state: State) -> datetime | None:
        """The instant after which facts are told to the microsecond, None if none are: while a clock is being moved,
        each new fact is decided at its own instant."""
        due_at = state.due_at
        passes = self.clock.stands_still and due_at is not None and due_at <= self.clock.now
        return state.settled_at if passes else None

    def _is_ordinary(self, facts: MembershipFacts, now: datetime) -> bool:
        """Whether a membership can have a fingerprint: nothing of it is like no other, and all that is known has
        happened."""
        apart = any(any(_LIKE_NO_OTHER[type(one)](one)) for one in (facts, *facts.told))
        return not apart and facts.told[-1].moment.at <= now

    def _sum(
        self,
        facts: MembershipFacts,
        told: Sequence[Fact],
        credits: Sequence[Credit],
        at: datetime,
    ) -> int:
        """The sum over some of a membership's facts, each with its place among all, and some of its credits."""
        tell = self._teller(facts, _of_once(credits), at)
        said = zip(
            (fact.moment.place for fact in told), _of_facts(told, lambda fact: tell(fact.moment.at)), strict=True
        )
        return sum(map(_number, said)) + sum(_number(_outline(credit, tell)) for credit in credits)

    def _teller(
        self,
        facts: MembershipFacts,
        issued: Iterable[datetime],
        now: datetime,
    ) -> Callable[[datetime], Hashable]:
        """The rounding of instants. `issued`: those of credits that they are compared with. `now` is compared too:
        while the clock stands still, a version may yet be saved at it."""
        return self._told_by([*self._saved(facts.types), *issued, now])

    def _saved(self, types: Sequence[UUID]) -> list[datetime]:
        """When versions of the rules of some types were saved."""
        saved = [version.created_at for rule in self.rules.of(types) for version in rule.versions]
        return saved if self.saved_at is None else [*saved, self.saved_at]

    def _told_by(self, compared: Sequence[datetime]) -> Callable[[datetime], Hashable]:
        return lambda at: _told(at, compared, self.clock.zone)


def _of_facts(told: Iterable[Fact], told_at: Callable[[Fact], Hashable]) -> tuple[Hashable, ...]:
    """Facts in their order, each with when it was told and whether that was at the instant of the one before."""
    said: list[Hashable] = []
    before: datetime | None = None
    for fact in told:
        kind = type(fact)
        said.append((kind.__name__, told_at(fact), fact.moment.at == before, _AS_IT_IS[kind](fact)))
        before = fact.moment.at
    return tuple(said)


def _of_once(credits: Iterable[Credit]) -> list[datetime]:
    """When P0D credits were issued and expire: what of a charge came before is asked."""
    instants = ((one.issued_at, one.expires_at) for one in credits if one.period_end is None)
    return [instant for both in instants for instant in both if instant is not None]


def _of_starts(facts: MembershipFacts, credits: Iterable[Credit]) -> int:
    """Where the start was moved, what became of the credits for each: some stand for any (SEMANTICS 7)."""
    moved = {fact.starts_on for fact in facts.told if isinstance(fact, StartMoved)}
    if not moved:
        return 0
    of_starts = (one for one in credits if one.key.period_start in {facts.starts_on, *moved} and not one.is_open)
    return sum(_number((one.key, one.revoked_by, one.redeemed_at is None and not one.uses)) for one in of_starts)


def _told(at: datetime, compared: Sequence[datetime], zone: ZoneInfo) -> tuple[datetime, bool]:
    """The last instant up to `at` that decisions compare it with, and whether that is `at` itself."""
    day = day_of(at, zone)
    # Where clocks go back over midnight, the next day may have begun once already.
    floor = max(begin for begin in (midnight(day, zone), midnight(day + _DAY, zone)) if begin <= at)
    for instant in compared:
        if floor < instant <= at:
            floor = instant
    return floor, floor == at


def is_a_sum(fingerprint: UUID) -> bool:
    """Whether a fingerprint can be carried on."""
    return fingerprint.int // _SIZE == _MARK


def _marked(number: int) -> UUID:
    return UUID(int=_MARK * _SIZE + number % _SIZE)


def _number(said: Hashable) -> int:
    return int.from_bytes(blake2b(repr(said).encode(), digest_size=16).digest())


def as_it_was(credit: Credit, at: datetime) -> Credit:
    """A credit before it was used, revoked or ended for good after an instant."""
    if credit.redeemed_at is not None and credit.redeemed_at > at:
        return replace(credit, redeemed_at=None)
    if credit.revoked_at is not None and credit.revoked_at > at:
        return replace(credit, revoked_at=None, revoked_by=None)
    if credit.is_over_for_good and credit.expires_at is not None and credit.expires_at > at:
        return replace(credit, expired_at=None)
    return credit


def is_apart(credit: Credit) -> bool:
    """Whether a membership with this credit must be decided by itself."""
    return credit.is_grant or any(_LIKE_NO_OTHER[Credit](credit)) or "facts" in _BY_FACTS(credit)


def _outline(credit: Credit, tell: Callable[[datetime], Hashable]) -> tuple[str, ...]:
    lasts = _WHILE_OPEN(credit) if credit.is_open else ("over",)
    instants = map(tell, _INSTANTS(credit)) if credit.period_end is None else ()
    return tuple(map(str, (*credit.key, *_AS_IT_IS[Credit](credit), *lasts, *instants)))
