"""Random histories of a brand with several memberships, some alike on purpose, in bad weather."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from campaigns.model.histories import (
    FREQUENCIES,
    VALIDITIES,
    ZONES,
    History,
    coherent,
    transitions,
    with_corrections,
    with_coupons,
    with_limits,
    with_undos,
)
from campaigns.model.lives import Life
from campaigns.model.times import local_date, midnight, plus_months
from campaigns.model.words import Fact, Op
from campaigns.simulation.processes import Fault

__all__ = ["History", "history"]

#: Operations, the opening ones aside.
FEWEST = 200

#: More credits of a rule than any history issues.
FAR = 100_000

Dated = tuple[datetime, Op]


def history(seed: int) -> History:
    """The history of a seed: at least 200 operations."""
    random = Random(f"simulation {seed}")
    timezone = random.choice(ZONES)
    start = datetime(random.choice([2030, 2031, 2034]), random.randrange(1, 13), random.randrange(1, 29), tzinfo=UTC)
    start += timedelta(seconds=random.randrange(86400))
    return _Draft(random, timezone, start).history(seed)


class _Draft:
    def __init__(self, random: Random, timezone: str, start: datetime) -> None:
        self.random, self.timezone, self.start = random, timezone, start
        self.end = start + timedelta(days=random.randrange(100, random.choice([200, 300, 420])))
        self.types: dict[str, str] = {}
        self.rules = [f"rule{number}" for number in range(random.choice([1, 2, 2, 3]))]
        self.members: list[str] = []
        self.anchors: list[date] = []
        self.joined: list[str] = []
        #: Instants between the sign-ups of memberships that are alike: something may be saved just then.
        self.between: list[datetime] = []

    def history(self, seed: int) -> History:
        random = self.random
        self.types = {"gold": random.choice(["external", "automatic", "automatic", "automatic"])}
        if random.random() < 0.3:
            self.types["silver"] = random.choice(["external", "automatic"])
        self.coupons = {name: random.choice(VALIDITIES) for name in ("spa", "gym")}
        opening = [Op("coupon", {"name": name, "validity": validity}) for name, validity in self.coupons.items()]
        opening += [Op("membership_type", {"name": name, "billing": billing}) for name, billing in self.types.items()]
        arrivals: list[tuple[datetime, Fact]] = []
        for number in range(random.choice([1, 1, 1, 2, 2])):
            arrivals += self._family(f"f{number}")
        self.starts = [self._start_of_a_period() for _ in range(random.randrange(3, 9))]
        dated: list[Dated] = []
        for rule in self.rules:
            dated += self._rule(rule)
        dated += self._people()
        ops = with_guards(with_undos(with_limits(self._timed(dated, arrivals), seed), seed), seed)
        ops = with_corrections(ops, sorted(self.coupons), seed, often=0.2)
        ops = with_coupons(ops, sorted(self.coupons), seed)
        return History(seed, self.timezone, self.start, (*opening, *ops))

    # -- memberships

    def _family(self, name: str) -> list[tuple[datetime, Fact]]:
        """Memberships that are alike: one life, lived more than once, of which something may befall only one."""
        random = self.random
        days = transitions(self.timezone, self.start.year)
        own, size = random.random(), random.choice([1, 2, 3, 4, 5, 6, 8])
        apart = random.choice([0, 0, 2, 9 * 3600])
        # Of a plain life little is known but its beginning.
        kept = random.choice([0, 0, 0, 0.15, 1])
        together = timedelta(days=random.choice([0, 0, 0, 1, 8]))
        arrivals: list[tuple[datetime, Fact]] = []
        for letter in "abcdefgh"[:size]:
            member = f"{name}{letter}"
            self.members.append(member)
            life = Life(Random(own), member, self.timezone, self.start, self.end, self.types, days)
            lived = life.draw()
            self.anchors.append(life.anchor)
            self.joined.append(life.membership_type)
            spared = letter != "a" and random.random() < 0.5
            later = timedelta(seconds=random.randrange(apart + 1))
            heard = together if random.random() < 0.9 else timedelta(days=random.randrange(9))
            if self.types[life.membership_type] == "external":
                kept = kept or 0.9  # without charges it would get nothing
            for arrival, fact in lived:
                if fact.kind == "membership.signed_up":
                    arrivals.append((arrival + heard, replace(fact, time=fact.time + later)))
                elif random.random() < kept and not (spared and random.random() < 0.4):
                    arrivals.append((arrival, fact))
            if apart and self.start < life.signed_up.time < self.end:
                self.between.append(life.signed_up.time + timedelta(seconds=random.randrange(1, apart + 1)))
        return arrivals

    # -- the operator and the till

    def _start_of_a_period(self) -> datetime:
        """A midnight, mostly one at which a month of some membership begins."""
        day = local_date(self.timezone, self._any())
        if self.random.random() < 0.7:
            anchor = self.random.choice(self.anchors)
            day = plus_months(anchor, max(0, (day.year - anchor.year) * 12 + day.month - anchor.month))
        return midnight(self.timezone, day)

    def _instant(self) -> datetime:
        return self.random.choice(self.starts) if self.random.random() < 0.3 else self._any()

    def _any(self) -> datetime:
        return self.start + timedelta(seconds=self.random.randrange(10, int((self.end - self.start).total_seconds())))

    def _flags(self) -> dict[str, Any]:
        random = self.random
        return {
            "roll_over": random.random() < 0.45,
            "issue_on_signup": random.random() < 0.6,
            "multi_use": random.random() < 0.2,
            "for_lead_booker_only": random.random() < 0.5,
            "issuing_frequency": random.choice(["P1M", "P1M", "P1M", *FREQUENCIES]),
            "coupon": random.choice(list(self.coupons)),
        }

    def _rule(self, rule: str) -> list[Dated]:
        """A rule's creation, mostly at the start, and what is saved of it later."""
        random = self.random
        born = self.start if random.random() < 0.8 else self._instant()
        fields = {
            **self._flags(),
            "membership_type": random.choice(self.joined if random.random() < 0.9 else [*self.types]),
        }
        dated = [(born, Op("create_rule", {"rule": rule, "include_upcoming": random.random() < 0.4, **fields}))]
        instants = [self._instant() for _ in range(random.choice([0, 1, 2, 3]))]
        instants += random.sample(self.between, random.randrange(min(2, len(self.between)) + 1))
        for instant in sorted(instants):
            flags = self._flags()
            changed = {name: flags[name] for name in random.sample(list(flags), random.randrange(1, 4))}
            if random.random() < 0.1:
                changed["membership_type"] = random.choice(list(self.types))
            args = {"rule": rule, "include_upcoming": random.random() < 0.5, **changed}
            if instant > born:
                dated.append((instant, Op("update_rule", args)))
        if random.random() < 0.15:
            dated.append((max(self._instant(), dated[-1][0]), Op("delete_rule", {"rule": rule})))
        return dated

    def _people(self) -> list[Dated]:
        random = self.random
        dated: list[Dated] = []
        for name, most in (("redeem", 14), ("revoke", 3), ("cancel", 5)):
            times = random.randrange(most + 1)
            dated += [(self._instant(), Op(name, {"pick": random.randrange(100)})) for _ in range(times)]
        for _ in range(random.choice([0, 1, 2, 3])):
            args = {"rule": random.choice(self.rules), "include_upcoming": random.random() < 0.5}
            dated += [(self._instant(), Op("issue", args))] * random.choice([1, 1, 2])
        for _ in range(random.choice([0, 0, 1, 2])):
            span = sorted(local_date(self.timezone, self._instant()) for _ in range(2))
            rule = random.choice([None, *self.rules])
            args = {"first": span[0], "last": span[1], "rule": rule, "dry": random.random() < 0.3}
            dated.append((self._instant(), Op("replay", args)))
        for _ in range(random.choice([0, 0, 2, 4])):
            verb = random.choice(["pause", "resume", "resume", "cancel"])
            dated.append((self._instant(), Op("steer", {"pick": random.randrange(10), "verb": verb})))
        if random.random() < 0.15:
            member, removed = random.choice(self.members), self._instant()
            dated.append((removed, Op("archive", {"member": member})))
            if random.random() < 0.6:
                dated.append((max(removed, self._instant()), Op("revive", {"member": member})))
        return dated

    # -- time, and the weather

    def _stops(self, dated: list[Dated], arrivals: list[tuple[datetime, Fact]]) -> list[datetime]:
        """Where the clock stands: at some of the instants at which something is done, and at starts of periods."""
        random = self.random
        stops = {self.end, *self.between}
        instants = [instant for instant, _ in dated + arrivals if self.start < instant < self.end]
        stops |= set(random.sample(instants, min(len(instants), random.randrange(14, 28))))
        stops |= {start - timedelta(seconds=random.choice([0, 0, 1])) for start in self.starts}
        return [self.start, *sorted(stop for stop in stops if self.start < stop <= self.end)]

    def _timed(self, dated: list[Dated], arrivals: list[tuple[datetime, Fact]]) -> list[Op]:
        """All of it in order, what falls between two stops at the second; and what the world does meanwhile."""
        random = self.random
        jumps, calm = random.choice([0.0, 0.2, 0.5, 0.9]), random.random() < 0.1
        ops: list[Op] = []
        before = self.start - timedelta(seconds=1)
        for stop in self._stops(dated, arrivals):
            if stop > self.start:
                ops.append(self._move(stop, random.random() < jumps, calm))
            here = [op for instant, op in sorted(dated, key=lambda each: each[0]) if before < instant <= stop]
            facts = [fact for instant, fact in arrivals if before < instant <= stop]
            before = stop
            posts = self._posts(facts)
            done = list(here)
            for post in posts:
                done.insert(random.randrange(len(done) + 1), post)
            for op in _in_order(done):
                ops += self._weather(calm)
                ops.append(op if calm else self._faulty(op))
            ops += self._weather(calm)
        ops = coherent(ops)
        while len(ops) < FEWEST:
            ops[random.randrange(len(ops)) : 0] = self._weather(calm)
        return ops

    def _move(self, now: datetime, jump: bool, calm: bool) -> Op:
        """A move of the clock: most jumps leave everything as it is, under way or not."""
        random = self.random
        if jump and random.random() < 0.7:
            return Op("jump", {"now": now})
        args = {"now": now, "jump": jump, "asked": random.random() < 0.1, "check": random.random() < 0.25}
        return Op(
            "clock", {**args, "weather": random.randrange(10_000), "storm": 0 if calm else random.choice([0, 8, 20])}
        )

    def _posts(self, facts: list[Fact]) -> list[Op]:
        posts = []
        while facts:
            size = self.random.choice([1, 1, 2, 3, 5])
            posts.append(Op("post", {"facts": facts[:size]}))
            facts = facts[size:]
        return posts

    def _weather(self, calm: bool) -> list[Op]:
        random = self.random
        ops = []
        while random.random() < 0.62:
            pick = random.randrange(1000)
            name = random.choices(
                ["deliver", "lose", "double", "tick", "wait", "go", "wipe", "outage", "heal"],
                [12, 0 if calm else 2, 0 if calm else 2, 3, 2, 0 if calm else 4, 0.2, 0 if calm else 0.4, 0.2],
            )[0]
            args: dict[str, Any] = {}
            if name in ("deliver", "lose", "double", "go"):
                args["pick"] = pick
            elif name == "wait":
                args["seconds"] = random.choice([1, 3, 6, 40])
            elif name == "outage":
                args["down"] = random.random() < 0.5
            op = Op(name, args)
            ops.append(op if calm or name not in ("deliver", "tick") else self._faulty(op))
        return ops

    def _faulty(self, op: Op) -> Op:
        """Perhaps with something that happens to the program."""
        random = self.random
        chance = random.random()
        if chance < 0.14:
            kind = random.choice(["die", "die", "fail", "fail", "unheard"])
            longest = 40 if op.name == "deliver" else 12
            fault = Fault(kind, random.randrange(1, 4 if kind == "unheard" else longest))
            return Op(op.name, {**op.args, "fault": fault})
        if chance < 0.24 and op.name in ("deliver", "tick"):
            return Op(op.name, {**op.args, "rest": random.randrange(2, 5)})
        return op


def with_guards(ops: list[Op], seed: int) -> list[Op]:
    """The same operations; of some brands a guard counts, which is far from its limit: nothing is held."""
    random = Random(f"guards {seed}")
    guarded = list(ops)
    if random.random() < 0.4:
        where = 0
        later: list[int | None] = random.choice([[], [], [None], [None, FAR]])
        for most in [FAR, *later]:
            where = random.randrange(where, len(guarded) + 1)
            guarded.insert(where, Op("guard", {"most": most}))
            where += 1
    return guarded


def _in_order(ops: list[Op]) -> list[Op]:
    """Rules are made before they are saved again."""
    order = {"create_rule": 0}
    return sorted(ops, key=lambda op: order.get(op.name, 1))
