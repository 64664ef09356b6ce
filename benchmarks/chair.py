"""What a manager asks for: a month that was issued by mistake is undone, a rule that is not saved is previewed, and a
guard counts what goes out."""

from typing import Any
from uuid import UUID

from benchmarks.club import club_on
from benchmarks.samples import Sample
from benchmarks.site import Site
from benchmarks.stage import Stage

#: How far a preview looks ahead.
MONTHS = 12
_SWEEP = """
    SELECT run_id FROM runs
     WHERE brand_id = %(brand_id)s AND kind = 'sweep' AND total >= %(members)s ORDER BY created_at DESC LIMIT 1
"""


class _OfAClub:
    """A part with a club of its own."""

    name: str

    def __init__(self, stage: Stage, members: int) -> None:
        self._stage = stage
        self._members = members

    def prepare(self) -> None:
        self._club = club_on(self._stage, self.name, self._members)


class Undoing(_OfAClub):
    """Every credit of a month is taken back, as a run; beside the sweep that issued them."""

    name = "undo"
    title = "undoing a run, credit by credit"

    def measure(self) -> Sample:
        now = self._club.next_month()
        self._stage.settle_down(self.name)
        with self._stage.running(self._club.url) as site:
            issuing = self._club.move_clock(site, now)
            sweep: UUID = self._club.value(_SWEEP, members=self._members)
            undo = _asked(site, self._club.key, f"/runs/{sweep}/undo", {"reason": "a mistake"})
            # An equal instant waits for every run.
            seconds = self._club.move_clock(site, now)
            counts = _run(site, self._club.key, undo)["counts"]
        assert counts == {"revoked": self._members}, counts
        against = {"issued_per_second": self._members / issuing, "undo_vs_issuing": issuing / seconds}
        return Sample(self._members, seconds, against)


class Previewing(_OfAClub):
    """A rule that would have another coupon's terms from the next cycle on: each membership of each month differs."""

    name = "preview"
    title = f"previewing a rule, {MONTHS} months"

    def measure(self) -> Sample:
        self._stage.settle_down(self.name)
        (rule_id,) = self._club.rule_ids
        body = {"credit_rule_id": str(rule_id), "rule": {"roll_over": True, "include_upcoming": True}, "months": MONTHS}
        with self._stage.running(self._club.url) as site:
            preview = _asked(site, self._club.key, "/customers/membership-credit-rules/preview", body)
            seconds = self._club.move_clock(site, self._club.now)
            assert _run(site, self._club.key, preview)["done"] == self._members
            memory = site.peak_memory()
        return Sample(self._members, seconds, {"seconds": seconds, **memory})


class Guarding(_OfAClub):
    """A month beside a guard that is far from its limit, between two months without one."""

    name = "guard"
    title = "a month under a guard"

    def measure(self) -> Sample:
        seconds = []
        for most in (None, 10 * self._members, None):
            now = self._club.next_month()
            self._stage.settle_down(self.name)
            with self._stage.running(self._club.url) as site:
                with site.client(self._club.key) as http:
                    http.put("/brand/guard", json={"max_per_day": most}).raise_for_status()
                seconds.append(self._club.move_clock(site, now))
        before, guarded, after = seconds
        without = (before + after) / 2
        figures = {"without_per_second": self._members / without, "guarded_vs_without": without / guarded}
        return Sample(self._members, guarded, figures)


def _asked(site: Site, key: str, path: str, body: dict[str, Any]) -> str:
    """The run that a request answers with."""
    with site.client(key) as http:
        answer = http.post(path, json=body).raise_for_status()
    return str(answer.json()["id"])


def _run(site: Site, key: str, run_id: str) -> dict[str, Any]:
    with site.client(key) as http:
        found: dict[str, Any] = http.get(f"/runs/{run_id}").raise_for_status().json()
    return found
