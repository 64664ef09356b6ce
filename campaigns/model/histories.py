"""Random histories of one brand. A seed reproduces its history exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.model.lives import Life
from campaigns.model.times import local_date, midnight, plus_months
from campaigns.model.words import SIGN_UP, Fact, Op

ZONES = [
    "UTC",
    "Europe/London",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "America/Havana",
    "America/Santiago",
    "Atlantic/Azores",
]
FREQUENCIES = ["billing_cycle"] * 3 + ["P1M"] * 4 + ["P0D"] * 2 + ["P3M", "P6M", "P1Y"]
VALIDITIES = [None, None, "P60D", "P1M", "P1Y", "P2W", "P1M10D", "P1D"]


@dataclass(frozen=True)
class History:
    """What is done to one fresh sandbox brand, in order. The clock stands at `start` when it begins."""

    seed: int
    timezone: str
    start: datetime
    ops: tuple[Op, ...]

    def __str__(self) -> str:
        head = f"seed {self.seed}, {self.timezone}, from {self.start:%Y-%m-%d %H:%M:%S}Z"
        return "\n".join([head, *(str(op) for op in self.ops)])


@cache
def transitions(timezone: str, year: int) -> list[date]:
    """The days around `year` that are not 24 hours long, and their neighbours; 1 March where there are none."""
    found = []
    zone = ZoneInfo(timezone)
    for number in range(-366, 3 * 366):
        noon = datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=number)
        if noon.astimezone(zone).utcoffset() != (noon + timedelta(days=1)).astimezone(zone).utcoffset():
            found += [noon.date() + timedelta(days=near) for near in (0, 1, 1, 2)]
    return found or [date(year, 3, 1)]


def history(seed: int) -> History:
    random = Random(seed)
    timezone = random.choice(ZONES)
    start = datetime(
        random.choice([2030, 2031, 2031, 2034]), random.randrange(1, 13), random.randrange(1, 29), tzinfo=UTC
    )
    start += timedelta(seconds=random.randrange(86400))
    end = start + timedelta(days=random.randrange(100, 420))
    return _Draft(random, timezone, start, end).history(seed)


@dataclass
class _Draft:
    random: Random
    timezone: str
    start: datetime
    end: datetime

    def history(self, seed: int) -> History:
        random = self.random
        self.types = {"gold": random.choice(["external", "external", "automatic"])}
        if random.random() < 0.6:
            self.types["silver"] = random.choice(["external", "automatic"])
        self.coupons = {name: random.choice(VALIDITIES) for name in ("spa", "gym")}
        opening = [Op("coupon", {"name": name, "validity": validity}) for name, validity in self.coupons.items()]
        opening += [Op("membership_type", {"name": name, "billing": billing}) for name, billing in self.types.items()]
        dated: list[tuple[datetime, Op]] = []
        for number in range(random.randrange(1, 4)):
            dated += self._rule(f"rule{number}")
        days = transitions(self.timezone, self.start.year)
        for number in range(random.choice([1, 1, 2, 3])):
            life = Life(random, f"m{number}", self.timezone, self.start, self.end, self.types, days)
            posts = [(arrival, Op("post", {"facts": [fact]})) for arrival, fact in life.draw()]
            dated = [(self._moved(instant, op, life), op) for instant, op in dated] + posts
        dated += self._people()
        ops = with_corrections(with_undos(with_limits(self._timed(dated), seed), seed), sorted(self.coupons), seed)
        ops = with_backlogs(with_gifts(with_coupons(ops, sorted(self.coupons), seed), seed), seed)
        return History(seed, self.timezone, self.start, (*opening, *ops))

    def _instant(self) -> datetime:
        return self.start + timedelta(seconds=self.random.randrange(10, int((self.end - self.start).total_seconds())))

    def _flags(self) -> dict[str, Any]:
        random = self.random
        return {
            "roll_over": random.random() < 0.45,
            "issue_on_signup": random.random() < 0.5,
            "multi_use": random.random() < 0.2,
            "for_lead_booker_only": random.random() < 0.5,
            "issuing_frequency": random.choice(FREQUENCIES),
            "coupon": random.choice(list(self.coupons)),
        }

    def _rule(self, rule: str) -> list[tuple[datetime, Op]]:
        """A rule's creation, mostly at the start, and what is saved of it later."""
        random = self.random
        born = self.start if random.random() < 0.6 else self._instant()
        fields = {**self._flags(), "membership_type": random.choice(list(self.types))}
        if random.random() < 0.2:  # the promise is older than the software
            today = local_date(self.timezone, born)
            fields["effective_from"] = today - timedelta(days=random.choice([0, 1, 30, 200, 900]))
        dated = [(born, Op("create_rule", {"rule": rule, "include_upcoming": random.random() < 0.4, **fields}))]
        updates = sorted(self._instant() for _ in range(random.choice([0, 0, 1, 2])))
        for instant in (each for each in updates if each > born):
            flags = self._flags()
            changed = {name: flags[name] for name in random.sample(list(flags), random.randrange(1, 4))}
            if random.random() < 0.08:
                changed["membership_type"] = random.choice(list(self.types))
            args = {"rule": rule, "include_upcoming": random.random() < 0.5, **changed}
            dated.append((instant, Op("update_rule", args)))
        if random.random() < 0.12:
            deleted = max(self._instant(), dated[-1][0] + timedelta(days=1))
            dated.append((deleted, Op("delete_rule", {"rule": rule})))
        return dated

    def _moved(self, instant: datetime, op: Op, life: Life) -> datetime:
        """A rule may be saved at the very instant at which one of the life's periods starts, or something happens."""
        if instant == self.start or op.name == "post" or self.random.random() > 0.15:
            return instant
        starts = [midnight(self.timezone, plus_months(life.anchor, number)) for number in range(20)]
        starts += [arrival for arrival, _ in life.arrivals]
        return self.random.choice([each for each in starts if self.start < each < self.end] or [instant])

    def _people(self) -> list[tuple[datetime, Op]]:
        random = self.random
        dated = []
        for name, most in (("redeem", 5), ("revoke", 2)):
            times = random.randrange(most + 1)
            dated += [(self._instant(), Op(name, {"pick": random.randrange(100)})) for _ in range(times)]
        for _ in range(random.choice([0, 0, 1, 2])):
            args = {"rule": f"rule{random.randrange(3)}", "include_upcoming": random.random() < 0.5}
            dated += [(self._instant(), Op("issue", args))] * random.choice([1, 1, 2])
        return dated

    def _timed(self, dated: list[tuple[datetime, Op]]) -> list[Op]:
        """The operations in the order of their instants, with the clock moves in between, passing or jumping."""
        random = self.random
        stops = {instant for instant, _ in dated} | {self.end}
        for _ in range(random.randrange(6)):  # stand exactly on a midnight, or just before it
            day = local_date(self.timezone, self._instant())
            stops.add(midnight(self.timezone, day) - timedelta(seconds=random.randrange(2)))
        outages = random.choice([0.0, 0.1, 0.5, 1.0])
        ops: list[Op] = []
        for stop in sorted(stop for stop in stops if stop <= self.end):
            if stop > self.start:
                ops.append(Op("clock", {"now": stop, "jump": random.random() < outages}))
            ops += [op for instant, op in dated if instant == stop]
        return coherent(ops)


def in_mode(history: History, *, jump: bool) -> History:
    """The same history with a clock that always jumps, or one under which time always passes."""
    ops = [Op("clock", {**op.args, "jump": jump}) if op.name == "clock" else op for op in history.ops]
    return replace(history, ops=tuple(ops))


def with_limits(ops: list[Op], seed: int) -> list[Op]:
    """The same operations; rules that roll over do so only so far, and multi-use credits have a last use. Drawn apart,
    so that the rest of a seed's history stays what it was."""
    random = Random(f"limits {seed}")
    limited = []
    for op in ops:
        more: dict[str, Any] = {}
        if op.name in ("create_rule", "update_rule"):
            frequency = op.args.get("issuing_frequency")
            if op.name == "update_rule" and frequency == "P0D":
                more["roll_over_limit"] = None
            elif op.args.get("roll_over") and frequency not in (None, "P0D") and random.random() < 0.5:
                more["roll_over_limit"] = random.choice([1, 1, 2, 3])
            if op.args.get("multi_use") and random.random() < 0.7:
                more["max_uses"] = random.choice([2, 2, 3])
        limited.append(replace(op, args={**op.args, **more}) if more else op)
    return limited


def with_undos(ops: list[Op], seed: int) -> list[Op]:
    """The same operations; some time after a rule was saved, what it issued may be undone. Drawn apart, as limits."""
    random = Random(f"undos {seed}")
    rules: set[str] = set()
    done: list[Op] = []
    for op in ops:
        done.append(op)
        if op.name == "create_rule":
            rules.add(op.args["rule"])
        if op.name == "clock" and rules and random.random() < 0.04:
            args = {
                "rule": random.choice(sorted(rules)),
                "pick": random.randrange(3),
                "days": random.choice([1, 20, 40]),
            }
            done.append(Op("undo", args))
    return done


def with_corrections(ops: list[Op], coupons: list[str], seed: int, often: float = 0.08) -> list[Op]:
    """The same operations; now and then a person grants, extends, transfers or reinstates. Drawn apart, as limits."""
    random = Random(f"corrections {seed}")
    done: list[Op] = []
    for op in ops:
        done.append(op)
        while op.name == "clock" and random.random() < often:
            name = random.choice(["extend", "extend", "grant", "reinstate", "transfer"])
            args: dict[str, Any] = {"pick": random.randrange(100)}
            if name == "extend":
                args["days"] = random.choice([1, 7, 30, 200])
            elif name == "grant":
                args["coupon"] = random.choice(coupons)
            elif name == "transfer":
                args["to"] = random.randrange(5)
            done.append(Op(name, args))
    return done


def with_coupons(ops: list[Op], coupons: list[str], seed: int) -> list[Op]:
    """The same operations; of some brands coupons are saved again, with another validity. Drawn apart, as limits."""
    random = Random(f"coupons {seed}")
    often = random.choice([0, 0, 0.03, 0.1])
    done: list[Op] = []
    for op in ops:
        done.append(op)
        if op.name == "clock" and random.random() < often:
            validity = random.choice([*VALIDITIES, "P2M", "P6M"])
            done.append(Op("coupon", {"name": random.choice(coupons), "validity": validity}))
    return done


def with_gifts(ops: list[Op], seed: int) -> list[Op]:
    """The same operations; now and then a rule that gives on sign-up becomes P0D after one, for the next charge. Drawn
    apart, as limits."""
    random = Random(f"gifts {seed}")
    rules: set[str] = set()
    done: list[Op] = []
    for op in ops:
        done.append(op)
        if op.name == "create_rule" and op.args["issue_on_signup"]:
            rules.add(op.args["rule"])
        signs_up = op.name == "post" and op.args["facts"][0].kind == SIGN_UP
        if signs_up and rules and random.random() < 0.25:
            rule = sorted(rules)[0]
            rules.discard(rule)
            says = {"issuing_frequency": "P0D", "issue_on_signup": False, "roll_over_limit": None}
            done.append(Op("update_rule", {"rule": rule, "include_upcoming": True, **says}))
    return coherent(done)


def with_backlogs(ops: list[Op], seed: int) -> list[Op]:
    """The same operations; now and then the facts of some time are heard together at its end, as after an outage of the
    biller's. Drawn apart, as limits."""
    random = Random(f"backlogs {seed}")
    done: list[Op] = []
    kept: list[Fact] = []
    left = 0
    for op in ops:
        if left == 0 and op.name == "post":
            is_sign_up = op.args["facts"][0].kind == SIGN_UP
            left = random.choice([5, 10, 20, 40]) if random.random() < (0.3 if is_sign_up else 0.02) else 0
        if left and op.name == "post":
            kept += op.args["facts"]
        else:
            done.append(op)
        left = max(0, left - 1)
        if left == 0 and kept:
            done.append(Op("post", {"facts": kept}))
            kept = []
    return [*done, Op("post", {"facts": kept})] if kept else done


def coherent(ops: list[Op]) -> list[Op]:
    """`ops` without those that touch a rule that does not exist, or no longer."""
    rules: set[str] = set()
    kept = []
    for op in ops:
        if op.name == "create_rule":
            rules.add(op.args["rule"])
        elif "rule" in op.args and op.args["rule"] not in rules:
            continue
        kept.append(op)
        if op.name == "delete_rule":
            rules.discard(op.args["rule"])
    return kept
