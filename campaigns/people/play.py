"""Plays a history of what people do, and of some a twin: the same under other ids, and every POST sent twice."""

from __future__ import annotations

from typing import Any

from campaigns.model.brand import Row
from campaigns.model.driver import MismatchError
from campaigns.model.histories import History
from campaigns.model.words import SIGN_UP, Fact
from campaigns.people.acting import Acting, BrokenError, Look, same
from campaigns.people.bulk import RULES, Bulk
from campaigns.people.foretold import Foretold
from campaigns.people.held import Held
from campaigns.people.members import Members
from campaigns.people.site import Site
from campaigns.simulation.outcome import broken_laws, complaint

#: One history of so many has a twin.
TWINS = 3


class Clock(Acting):
    """The operator, the billers and time: what the model's histories have."""

    def _coupon(self, name: str, validity: str | None) -> None:
        value = {"type": "amount", "value": 10, "currency": "EUR"}
        body: Row = {"name": name, "description": name, "discount": value, "validity": validity, "offerings": []}
        self.brand.call("PUT", f"/customers/coupons/{name}", (200, 201), json=body)
        self.coupons.append(name)

    def _membership_type(self, name: str, billing: str) -> None:
        answer = self.brand.call("POST", "/customers/membership-types", 201, json={"name": name, "billing": billing})
        self.brand.know(name, answer["id"])
        self.types[name] = billing

    def _create_rule(self, rule: str, **fields: Any) -> None:
        """One that is refused, for a promise that begins later than it is made, is not there."""
        answer = self.brand.call("POST", RULES, (201, 422), json={"coupon_name": rule, **self._said(fields)})
        if "id" in answer:
            self.brand.know(rule, answer["id"])
            self.rules.append(rule)

    def _update_rule(self, rule: str, **fields: Any) -> None:
        if rule in self.rules:
            self.brand.call("PUT", f"{RULES}/{self.brand.id(rule)}", (200, 422), json=self._said(fields))

    def _delete_rule(self, rule: str, **_: Any) -> None:
        if rule in self.rules:
            self.brand.call("DELETE", f"{RULES}/{self.brand.id(rule)}", 204)
            self.rules.remove(rule)

    def _said(self, fields: dict[str, Any]) -> dict[str, Any]:
        said = {name: value for name, value in fields.items() if name not in ("coupon", "membership_type")}
        if "coupon" in fields:
            said["coupon_id"] = fields["coupon"]
        if "membership_type" in fields:
            said["membership_type_id"] = self.brand.id(fields["membership_type"])
        if said.get("effective_from"):
            said["effective_from"] = str(said["effective_from"])
        return said

    def _post(self, facts: list[Fact]) -> None:
        answer = self.brand.post(facts)
        self.said.append({name: answer[name] for name in ("accepted", "duplicates")})
        for fact in facts:
            guests = [guest.external_user_id for guest in fact.data.get("guests") or []]
            named = [fact.membership] if fact.kind == SIGN_UP else []
            if fact.kind == SIGN_UP and fact.membership not in self.memberships:
                self.memberships.append(fact.membership)
            # A member is there once their fact is settled, which may be ahead.
            self.named |= {name for name in [*named, *guests] if name}

    def _clock(self, now: Any, jump: bool) -> None:
        self.now = now
        self.brand.set_clock(now, jump)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        #: Members whom a fact has named.
        self.named: set[str] = set()


class Play(Clock, Bulk, Members, Foretold, Held):
    """One history in one brand, each step with its laws."""

    def play(self) -> Look:
        """Plays all of it; the credits at its end."""
        self.step = 0
        self.brand.set_clock(self.history.start)
        self.open_offers()
        month = None
        for step, op in enumerate(self.history.ops):
            self.step = step
            self._meet()
            self.do(op)
            if op.name == "coupon":
                self.open_offers(op.args["name"])
            if month != (month := (self.now.year, self.now.month)) or self.step % 7 == 0:
                self.check()
        return self.end()

    def _meet(self) -> None:
        """Who was named is a member once their fact has been settled."""
        for name in sorted(self.named - set(self.members)):
            if self.brand.code_of("GET", f"/v1/members/{name}") is None:
                self.members.append(name)

    def check(self) -> None:
        look = self.look()
        self.check_limit(look)
        self.check_liability(look)

    def end(self) -> Look:
        self.check()
        self.check_explain()
        self.check_wallets()
        return self.look()


def failure(site: Site, history: History) -> MismatchError | None:
    """Plays a history, perhaps with its twin; the first law that is broken, if one is."""
    ends: list[Look] = []
    said: list[list[object]] = []
    for twice in (False, True) if history.seed % TWINS == 0 else (False,):
        play = Play(site.server, history, "twin" if twice else "", twice=twice)
        try:
            ends.append(play.play())
            if broken := broken_laws(site.engine, site.brand_id(play.brand.key)):
                raise MismatchError(play.step, f"laws\n{broken}")
            said.append(play.said)
        except MismatchError as mismatch:
            return mismatch
        except BrokenError as error:
            return MismatchError(play.step, f"{error}\n  (step {play.step}, {'the twin' if twice else 'alone'})")
        except Exception as error:  # its first word says where it came to that, for who makes it short
            return MismatchError(play.step, f"{history.ops[play.step].name}: {complaint(error)}")
        finally:
            play.brand.close()
    try:
        same("twins-end-the-same", ends[0], ends[-1])
        same("twins-are-told-the-same", said[0], said[-1])
    except AssertionError as error:
        return MismatchError(len(history.ops) - 1, str(error))
    return None
