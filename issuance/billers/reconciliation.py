"""Reading what a biller has, page by page, and telling what its webhooks did not (INTERFACE 7)."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from issuance.billers import asking, deliveries, receiving, translation, untold
from issuance.billers.adapter import Askable, Asked, CanNotBeAsked, Json, Listing, NotReadable
from issuance.billers.billers import Biller
from issuance.billers.dry_runs import COUNT, NOTE, pages_of, told_of
from issuance.billers.known import KnownObjects
from issuance.database import transaction
from issuance.database.fragments import GOES_ON
from issuance.log import logger

#: How often a page is read again at most: after answers that it needed, after sign-ups, and after webhooks that came
#: since it was asked for.
_AGAIN = 3

Settle = Callable[[list[UUID]], None]

RUNNING = text(f"""
    UPDATE runs r SET state = 'running', started_at = coalesce(started_at, clock_timestamp())
     WHERE brand_id = :brand_id AND run_id = :run_id AND {GOES_ON}
""")
# What is not translated yet, or came after an instant.
_NEWS = text("""
    SELECT body FROM biller_deliveries
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND state = 'pending'
     UNION ALL
    SELECT body FROM biller_deliveries
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND state <> 'pending' AND received_at > :since
""")
_NOW = text("SELECT clock_timestamp()")


class Reconciliation:
    """A run that tells what it finds."""

    def __init__(
        self,
        engine: Engine,
        biller: Biller,
        adapter: Askable,
        asked: Asked,
        claimed: Row[Any],
        ids: dict[str, Any],
        settle: Settle,
    ) -> None:
        self._engine, self._biller, self._adapter, self._asked = engine, biller, adapter, asked
        self._since: datetime | None = claimed.since
        self._ids, self._settle = ids, settle
        self._position: dict[str, Any] = claimed.position
        self._signed_up = False
        #: Objects of the page that were left out, as a webhook of them came since it was asked for.
        self._left: list[str] = []
        #: Counts since they were written last: facts that were told, by kind, and objects that could not be told, by
        #: code.
        self._counts: Counter[str] = Counter()

    def work(self) -> bool:
        """Read all listings; False if the run is to be worked on no longer."""
        self._catch_up()
        for listing in self._adapter.listings(self._since):
            if self._position.get(listing.name) == "done" or self._passes(listing):
                continue
            after, asked_at = self._position.get(listing.name), self._now()
            for page in pages_of(self._biller, self._adapter, self._asked, listing, after):
                if not self._tell(listing, page, page[-1]["id"], asked_at):
                    return False
                asked_at = self._now()
            if not self._tell(listing, [], "done", asked_at):
                return False
        return True

    def _now(self) -> datetime:
        with transaction(self._engine, self._biller.brand_id) as connection:
            now: datetime = connection.execute(_NOW).scalar_one()
        return now

    def _catch_up(self) -> None:
        """Keep the webhooks that were lost, as far as the biller still lists them; if it does not, the listings tell
        what they can."""
        try:
            for listing in self._adapter.missed(self._since):
                for page in self._asked.pages(listing.path, listing.parameters):
                    for body in page:
                        receiving.keep(self._engine, self._biller, json.dumps(body).encode(), fetched=True)
                    with transaction(self._engine, self._biller.brand_id) as connection:
                        connection.execute(NOTE, {**self._ids, "position": json.dumps(self._position)})
        except CanNotBeAsked as refusal:
            logger.info("biller_keeps_no_webhooks", brand=str(self._biller.brand_id), error=str(refusal))

    def _translate(self) -> None:
        """Translate the webhooks first: they know when things happened."""
        ids = self._biller.brand_id, self._biller.biller_id
        while (done := translation.translate(self._engine, *ids, wait=True)).deliveries:
            self._counts.update(done.kinds)
            self._settle(done.membership_ids)

    def _passes(self, listing: Listing) -> bool:
        return listing.after_sign_ups and not self._position.get("signed_up")

    def _tell(
        self, listing: Listing, page: Sequence[Json], position: str, asked_at: datetime, *, fresh: int = 0
    ) -> bool:
        """Tell a page; False if the run is to be worked on no longer. `fresh`: how often what was left out of it has
        been asked for since."""
        last = fresh == _AGAIN
        self._translate()
        keys = self._told(listing, page, position, asked_at, last=last)
        if keys is None:
            return False
        # Ask for what the page itself does not say, such as whose a customer is; then tell the page once more, until
        # all of it is told. What waited for a sign-up is told before it is compared with the present.
        again = 0
        while (keys or self._signed_up) and again < _AGAIN:
            again += 1
            if keys:
                answers = {key: self._adapter.ask(self._asked, key) for key in sorted(keys)}
                learnt = asking.learn(self._engine, self._biller, answers)
                self._counts.update(learnt.kinds)
                self._settle(learnt.membership_ids)
            self._translate()
            if (keys := self._told(listing, page, position, asked_at, last=last, again=True)) is None:
                return False
        if not self._left or last:
            return True
        asked_at = self._now()
        answers = {object_id: self._adapter.ask(self._asked, object_id) for object_id in self._left}
        anew = [body for object_id, body in answers.items() if body.get("id") == object_id]
        return self._tell(listing, anew, position, asked_at, fresh=fresh + 1)

    def _told(
        self,
        listing: Listing,
        page: Sequence[Json],
        position: str,
        asked_at: datetime,
        *,
        last: bool,
        again: bool = False,
    ) -> set[str] | None:
        """Tell a page, but for what webhooks know better: that is left, for the next look if this is the `last` one.
        Returns what the biller has to be asked for; None if the run is to be worked on no longer."""
        with transaction(self._engine, self._biller.brand_id) as connection:
            if connection.execute(RUNNING, self._ids).rowcount == 0:
                return None
            deliveries.lock(connection, self._biller.biller_id, wait=True)
            known = KnownObjects(connection, self._biller)
            news = self._news(connection, asked_at)
            self._left = [body["id"] for body in page if body["id"] in news]
            page = [body for body in page if body["id"] not in news]
            told = told_of(self._adapter, listing, page, known, self._since)
            _, membership_ids, refused, kinds = translation.tell(connection, self._biller, self._adapter, told)
            known.write()
            could_not = untold.keep(connection, self._biller, page, told, self._since, adapter=self._adapter.version)
            counts = self._counts + Counter(kinds) + Counter(remark.code for remark in refused)
            if not (again or listing.after_sign_ups):  # a second look at the same objects
                counts += could_not
            woken = {key for found in told for key in found.wakes}
            deliveries.wake(connection, self._biller.brand_id, self._biller.biller_id, woken)
            if last or not self._left:  # else whoever goes on from here reads the page again
                self._position[listing.name] = position
            self._signed_up = any(found.refs for found in told)
            if self._signed_up:
                self._position["signed_up"] = True
            connection.execute(NOTE, {**self._ids, "position": json.dumps(self._position)})
            size = 0 if again else len(page)
            if size or counts:
                connection.execute(COUNT, {**self._ids, "size": size, "counts": json.dumps(counts)})
        self._counts.clear()
        self._settle(membership_ids)
        return {found.wait.key for found in told if found.wait is not None and found.wait.ask}

    def _news(self, connection: Connection, asked_at: datetime) -> set[str]:
        """The objects of which a webhook came since a page was asked for, so that the page may be older, or of which
        one is not translated yet."""
        which = {"brand_id": self._biller.brand_id, "biller_id": self._biller.biller_id, "since": asked_at}
        found: set[str] = set()
        for body in connection.scalars(_NEWS, which):
            with suppress(NotReadable):
                found |= self._adapter.parse(bytes(body)).needs
        return found
