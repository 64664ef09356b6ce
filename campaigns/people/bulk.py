"""What managers ask for in bulk: manual issues by plan, replays, undos. What was said first is what is then done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from campaigns.model.brand import Row
from campaigns.model.times import local_date
from campaigns.people.acting import WHY, Acting, Key, Look, picked, same, short, without

RULES = "/customers/membership-credit-rules"


@dataclass
class Plan:
    """A dry run that waits for its approval."""

    run_id: str
    promised: list[Key]
    #: The credits that were there when it was made.
    look: Look


class Bulk(Acting):
    """Managers, at their bulk work."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.plans: list[Plan] = []
        #: Runs that issued, and those of them that were undone.
        self.done: list[str] = []
        self.undone: set[str] = set()

    # -- issues

    def _issue(self, pick: int, include_upcoming: bool, narrowed: str, then: str) -> None:
        rule = picked(self.rules, pick)
        if rule is None:
            return
        path = f"{RULES}/{self.brand.id(rule)}/issue"
        body = {"include_upcoming": include_upcoming, **self._narrowed(narrowed, pick)}
        before = self.look()
        made = self.brand.call("POST", path, 202, json={**body, "dry_run": True})
        same("a-dry-run-changes-nothing", before, self.look())
        plan, rows = self.run(made["id"]), self.plan(made["id"])
        same("a-plan-counts-its-rows", dict(Counter(row["reason"] for row in rows)), plan["counts"])
        promised = self.periods(row for row in rows if row["reason"] == "issued")
        if then == "issue":
            self.brand.call("POST", path, 204, json=body)
            after = self.look()
            run = next(one for one in self.brand.all("/runs") if one["kind"] == "issue" and not one["dry_run"])
            self.done.append(run["id"])
            self._given("an-issue-gives-what-its-dry-run-said", before, after, promised, exactly=self.most is None)
            if self.most is None:
                same("an-issue-counts-what-its-dry-run-did", plan["counts"], self.run(run["id"])["counts"])
            return
        self.plans.append(Plan(made["id"], promised, before))
        if then == "approve":
            self._approve(-1, at_once=True)

    def _narrowed(self, narrowed: str, pick: int) -> Row:
        if narrowed == "memberships" and self.memberships:
            some = sorted(self.memberships)[:: 1 + pick % 2]
            return {"membership_ids": [self.brand.id(each) for each in some]}
        if narrowed == "members" and self.members:
            known = sorted(self.members)
            return {"external_user_ids": [known[pick % len(known)], known[pick // 7 % len(known)]]}
        return {}

    def _given(self, law: str, before: Look, after: Look, promised: list[Key], *, exactly: bool) -> list[Key]:
        """Only what was promised was given, and nothing else has changed; the keys of what is new."""
        new = after.keys() - before.keys()
        same(f"{law}-and-nothing-else-changes", before, without(after, new))
        if exactly:
            same(law, promised, short(new))
        same(f"{law}-and-no-more", [], list((Counter(short(new)) - Counter(promised)).elements()))
        same(f"{law}-live", set(), {after[key]["status"] for key in new} - {"live", "upcoming"})
        return list(new)

    def _approve(self, pick: int, at_once: bool = False) -> None:
        if not self.plans:
            return
        plan = self.plans.pop(pick % len(self.plans))
        before = self.look()
        path = f"/runs/{plan.run_id}/approve"
        made = self.brand.call("POST", path, 202, json=WHY)
        after = self.look()
        run = self.run(made["id"])
        self.done.append(run["id"])
        exactly = at_once and self.most is None
        new = self._given("an-approval-gives-what-its-plan-promised", before, after, plan.promised, exactly=exactly)
        same("an-approval-says-what-became-of-each-promise", len(plan.promised), sum(run["counts"].values()))
        same("an-approval-counts-what-it-gave", len(new), run["counts"].get("issued", 0))
        same("approved-again-it-is-the-same-run", made["id"], self.brand.call("POST", path, 202, json=WHY)["id"])
        same("approved-again-it-gives-nothing", after, self.look())

    # -- replays

    def _replay(self, pick: int, over: str, back: int, ahead: int) -> None:
        today = local_date(self.history.timezone, self.now)
        what: dict[str, Any] = {}
        if over == "rule" and self.rules:
            what = {"credit_rule_id": self.brand.id(str(picked(self.rules, pick)))}
        elif over == "type":
            what = {"membership_type_id": self.brand.id(str(picked(self.types, pick)))}
        elif over == "membership" and self.memberships:
            what = {"membership_id": self.brand.id(str(picked(self.memberships, pick)))}
        body = {**what, "from": str(today - timedelta(days=back)), "to": str(today + timedelta(days=ahead))}
        before = self.look()
        runs = []
        for dry_run in (True, False):
            answer = self.brand.call("POST", "/replays", (202, 422), json={**body, "dry_run": dry_run})
            if "error" in answer:  # the membership has not signed up yet
                return
            same("a-replay-changes-nothing", before, self.look())
            runs.append(self.run(answer["id"]))
        same("a-replay-counts-what-its-dry-run-did", runs[0]["counts"], runs[1]["counts"])
        rows = self.plan(runs[0]["id"])
        same("a-plan-counts-its-rows", dict(Counter(row["reason"] for row in rows)), runs[0]["counts"])
        said = {(row["membership_id"], *_which(row)): row["reason"].replace("already_issued", "issued") for row in rows}
        span = {"from": body["from"], "to": body["to"], "per_page": 1000}
        told: dict[Any, str] = {}
        for membership_id in {row["membership_id"] for row in rows}:
            path = f"/customers/memberships/{membership_id}/explain"
            explained = self.brand.call("GET", path, params=span)["data"]
            told |= {(membership_id, *_which(row)): row["reason"] for row in explained}
        same("a-replay-decides-as-explain-says", said, {key: told.get(key) for key in said})

    # -- undos

    def _undo(self, pick: int) -> None:
        run_id = picked(range(len(self.done)), pick)
        if run_id is None:
            return
        undone = self.done[run_id]

        def is_its(row: Row) -> bool:
            return bool(row["run_id"] == undone)

        again = undone in self.undone
        self._take_back(f"/runs/{undone}/undo", {}, is_its, again=again)
        self.undone.add(undone)

    def _undo_version(self, pick: int, days: int) -> None:
        rule = picked(self.rules, pick)
        if rule is None:
            return
        rule_id, since = self.brand.id(rule), self.now - timedelta(days=days)
        version = 1 + pick % self.brand.call("GET", f"{RULES}/{rule_id}")["version"]

        def is_its(row: Row) -> bool:
            is_of_it = (row["credit_rule_id"], row["rule_version"]) == (rule_id, version)
            return is_of_it and datetime.fromisoformat(row["issued_at"]) >= since

        body = {"rule_version": version, "from": since.isoformat()}
        self._take_back(f"{RULES}/{rule_id}/undo", body, is_its, again=None)

    def _take_back(self, path: str, body: Row, is_its: Any, *, again: bool | None) -> None:
        before = self.look()
        its = {key for key, row in self.rows.items() if is_its(row)}
        redeemed = {self.rows[key]["id"] for key in its if before[key]["redeemed_at"]}
        made = self.brand.call("POST", path, 202, json={**body, **WHY})
        after = self.look()
        same("an-undo-touches-nothing-else", without(before, its), without(after, its))
        taken = 0
        for key in sorted(its, key=str):
            was, now = before[key], after[key]
            if was["status"] in ("live", "upcoming"):
                taken += 1
                same("an-undo-takes-back", "revoked", now["status"])
            else:
                same("an-undo-leaves-what-is-over", was["status"], now["status"])
            if now["status"] == "revoked":
                same("an-undo-is-a-persons", False, now["taken_by"] == "system facts")
        run = self.run(made["id"])
        same("an-undo-counts-what-it-took", taken, run["counts"].get("revoked", 0))
        same("an-undo-lists-what-is-redeemed", redeemed, {row["id"] for row in self.plan(made["id"])})
        if again is False:
            of_credits = sum(number for reason, number in run["counts"].items() if reason != "refused")  # was held
            same("an-undo-counts-all", len(its), of_credits)
        made = self.brand.call("POST", path, 202, json={**body, **WHY})
        same("undone-twice-is-undone-once", after, self.look())
        same("undone-twice-counts-nothing", 0, sum(self.run(made["id"])["counts"].values()))


def _which(row: Row) -> tuple[str, str, str]:
    """Which decision about a membership a row tells of."""
    return row["credit_rule_id"], row["guest"]["id"], row["period_start"]
