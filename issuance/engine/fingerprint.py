"""The fingerprint of a membership: all that decisions about it depend on.

Memberships with one fingerprint have one outcome, so one of them is decided for all. A settled membership's fingerprint
is kept in its schedule, and holds until there is news. It is a sum over facts and credits: where only some are loaded,
what changed of them is taken off and added. How each field of the facts enters it is in `fingerprint_fields`.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.calendar import day_of, midnight
from issuance.deciding.facts import Credit, Fact, MembershipFacts, StartMoved, TypeChanged
from issuance.engine.fingerprint_fields import AS_IT_IS, BY_FACTS, ENDS, INSTANTS, LIKE_NO_OTHER, WHILE_OPEN
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.rules import RuleBook
from issuance.engine.states import State
from issuance.tenancy.clock import BrandClock

_DAY = timedelta(days=1)
#: Sums are taken modulo this. The bits above mark them, as fingerprints of earlier versions can not be carried on.
_SIZE, _MARK = 2**112, 0x5157


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Takes the fingerprints of a brand's memberships at one time."""

    rules: RuleBook
    clock: BrandClock
    #: When the previewed version would be saved.
    saved_at: datetime | None = None

    def after(self, membership: Membership, outcome: Outcome) -> UUID | None:
        """The fingerprint of a membership that an outcome is written for, or None if it must be decided by itself."""
        # It does not cover what was issued by hand on top of the settling.
        if any(key in outcome.issued and credit.manual for key, credit in outcome.credits.items()):
            return None
        credits = list(outcome.credits.values())
        if membership.horizon is not None:
            return None if outcome.held else self.carried_on(membership, credits, outcome.now)
        facts = membership.facts
        if facts.held or outcome.held:
            facts = replace(facts, held=outcome.held_after(facts.held))
        return self.settled(facts, credits, outcome.now)

    def still_holds(self, membership: Membership, state: State) -> bool:
        """Whether a membership, apart from its news, has the fingerprint of its last settling: credits may have been
        used since. `state`: how that left it."""
        if state.settled_at is None:
            return True
        facts = membership.facts
        if membership.news:
            told = [fact for fact, event in zip(facts.told, membership.events, strict=True) if not event.is_news]
            facts = replace(facts, told=tuple(told))
        return self.settled(facts, membership.credits, state.settled_at) == state.fingerprint

    def settled(self, facts: MembershipFacts, credits: Sequence[Credit], at: datetime) -> UUID | None:
        """The fingerprint of a membership that was settled at an instant and has these credits since: all that later
        decisions depend on while there is no news. None if it must be decided by itself."""
        changed_type = any(isinstance(fact, TypeChanged) for fact in facts.told)
        if changed_type or any(map(is_apart, credits)) or not self._is_ordinary(facts, at):
            return None
        whole = _number(AS_IT_IS[MembershipFacts](facts)) + self._sum(facts, facts.told, credits, at)
        return _marked(whole + _of_starts(facts, credits))

    def carried_on(self, membership: Membership, credits: Sequence[Credit], at: datetime) -> UUID | None:
        """`settled` for a membership of which only what can still change was loaded. It had a fingerprint, and its news
        comes after all that was known. `credits`: the loaded ones as they are at an instant, and new ones."""
        horizon, (_, settled_at, before) = membership.horizon, membership.state
        assert horizon is not None, "what is loaded whole is summed up anew"
        assert settled_at is not None, "it was settled"
        assert before is not None, "it had a fingerprint"
        facts = membership.facts
        if any(map(is_apart, credits)) or not self._is_ordinary(facts, at):
            return None
        # All facts since are loaded. Those before are told as they were.
        since = midnight(horizon.day, self.clock.zone)
        late = [fact for fact in facts.told if fact.moment.at >= since]
        news = {fact.moment.place for fact, event in zip(facts.told, membership.events, strict=True) if event.is_news}
        known = [fact for fact in late if fact.moment.place not in news]
        were = [as_it_was(credit, settled_at) for credit in membership.credits]
        changed = self._sum(facts, late, credits, at) - self._sum(facts, known, were, settled_at)
        return _marked(before.int + changed)

    def whole(self, membership: Membership) -> Hashable | None:
        """The fingerprint of a membership as it was loaded, with its news: all that deciding now depends on. None if it
        must be decided by itself."""
        facts, state, now = membership.facts, membership.state, self.clock.now
        if not self._is_ordinary(facts, now):
            return None
        # Who was on the order when something was issued by hand keeps it; a move ends what was issued before it.
        issued = [credit.issued_at for credit in membership.credits if credit.manual]
        tell = self._teller(facts, [*issued, *_of_once(membership.credits)], now)
        exact_after = self.exact_after(state)

        def told_at(fact: Fact) -> Hashable:
            at = fact.moment.at
            is_exact = type(fact) in ENDS or (exact_after is not None and at > exact_after)
            return at if is_exact else tell(at)

        return (
            *AS_IT_IS[MembershipFacts](facts),
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
        """The instant after which facts are compared to the microsecond, or None. While a clock is being moved, each
        new fact is decided at its own instant."""
        due_at = state.due_at
        passes = self.clock.stands_still and due_at is not None and due_at <= self.clock.now
        return state.settled_at if passes else None

    def _is_ordinary(self, facts: MembershipFacts, now: datetime) -> bool:
        """Whether a membership can have a fingerprint: nothing of it is like no other, and all that is known has
        happened."""
        apart = any(any(LIKE_NO_OTHER[type(one)](one)) for one in (facts, *facts.told))
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
        return sum(map(_number, said)) + sum(_number(self._outline(credit, tell)) for credit in credits)

    def _outline(self, credit: Credit, tell: Callable[[datetime], Hashable]) -> tuple[str, ...]:
        """All that decisions ask of a credit: of a P0D credit that is over, also what of a charge came before that."""
        lasts: tuple[Hashable, ...] = WHILE_OPEN(credit) if credit.is_open else ("over",)
        if credit.period_end is None:
            ends_at = None if credit.is_open else credit.expires_at
            ended_on = None if ends_at is None else day_of(ends_at, self.clock.zone)
            lasts = (*lasts, ended_on, *map(tell, INSTANTS(credit)))
        return tuple(map(str, (*credit.key, *AS_IT_IS[Credit](credit), *lasts)))

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
        """When versions of the rules of some types were saved, and their coupons with other validities."""
        versions = [version for rule in self.rules.of(types) for version in rule.versions]
        saved = [version.created_at for version in versions]
        saved += [until for version in versions if version.coupon is not None for until, _ in version.coupon.former]
        return saved if self.saved_at is None else [*saved, self.saved_at]

    def _told_by(self, compared: Sequence[datetime]) -> Callable[[datetime], Hashable]:
        return lambda at: _told(at, compared, self.clock.zone)


def _of_facts(told: Iterable[Fact], told_at: Callable[[Fact], Hashable]) -> tuple[Hashable, ...]:
    """Facts in their order, each with when it was told and whether that was at the instant of the one before."""
    said: list[Hashable] = []
    before: datetime | None = None
    for fact in told:
        kind = type(fact)
        said.append((kind.__name__, told_at(fact), fact.moment.at == before, AS_IT_IS[kind](fact)))
        before = fact.moment.at
    return tuple(said)


def _of_once(credits: Iterable[Credit]) -> list[datetime]:
    """When P0D credits were issued, became valid and expire: what of a charge came before is asked."""
    instants = ((one.issued_at, one.valid_from, one.expires_at) for one in credits if one.period_end is None)
    return [instant for each in instants for instant in each if instant is not None]


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
    return credit.is_grant or any(LIKE_NO_OTHER[Credit](credit)) or "facts" in BY_FACTS(credit)
