"""What is known of a biller's objects while its webhooks are translated: it is read once and written once."""

import json
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from issuance.billers.adapter import Askable, Json, NotReadable, Price, Translation, Unmappable
from issuance.billers.billers import Biller, price_map
from issuance.engine.rows import as_json
from issuance.log import logger
from issuance.members import erased
from issuance.tenancy import clock as clocks

_READ = text("""
    SELECT object_id, data FROM biller_objects
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND object_id = ANY(CAST(:ids AS text[]))
""")
_WRITE = text("""
    INSERT INTO biller_objects (brand_id, biller_id, object_id, data)
    SELECT :brand_id, :biller_id, new.object_id, new.data
      FROM json_to_recordset(CAST(:rows AS json)) AS new (object_id text, data jsonb)
    ON CONFLICT ON CONSTRAINT biller_objects_pkey DO UPDATE SET data = excluded.data
""")


class KnownObjects:
    """An adapter's `Known`, in one transaction. An object is loaded when it is asked for, or before."""

    def __init__(self, connection: Connection, biller: Biller) -> None:
        self._connection = connection
        self._key = {"brand_id": biller.brand_id, "biller_id": biller.biller_id}
        self._objects: dict[str, dict[str, Any]] = {}
        self._before: dict[str, str] = {}
        #: The objects as they were before an attempt that may be undone; None: changes stay.
        self._undo: dict[str, dict[str, Any]] | None = None
        self._prices: dict[str, Price] = price_map(connection, biller.brand_id, biller.biller_id)
        clock = clocks.read(connection, biller.brand_id)
        self._zone, self._now = clock.zone, clock.now
        self.biller = biller
        #: Whether the biller can be asked. False where the caller is the one who asks.
        self.can_ask = biller.can_be_asked

    @property
    def zone(self) -> ZoneInfo:
        return self._zone

    @property
    def now(self) -> datetime:
        return self._now

    def load(self, object_ids: Iterable[str]) -> None:
        """Read objects that will be asked for, in one statement."""
        ids = sorted(set(object_ids) - self._objects.keys())
        if not ids:
            return
        found = {row.object_id: row.data for row in self._connection.execute(_READ, {**self._key, "ids": ids})}
        for object_id in ids:
            data = found.get(object_id, {})
            self._objects[object_id] = data
            self._before[object_id] = _text(data)

    def get(self, object_id: str) -> dict[str, Any]:
        """What is noted of an object, to be read and changed in place."""
        if object_id not in self._objects:
            self.load([object_id])
        if self._undo is not None and object_id not in self._undo:
            self._undo[object_id] = deepcopy(self._objects[object_id])
        return self._objects[object_id]

    def unless_unreadable(self, tell: Callable[[], Translation]) -> Translation:
        """What `tell` gives, or that something could not be read: then its notes are discarded."""
        self._undo = {}
        try:
            return tell()
        except NotReadable as refusal:
            self._objects |= self._undo
            logger.warning("not_readable", brand=str(self.biller.brand_id), biller=str(self.biller.biller_id))
            return Translation(unmappable=Unmappable("malformed", str(refusal)))
        finally:
            self._undo = None

    def learn(self, adapter: Askable, answers: Mapping[str, Json]) -> list[Translation]:
        """What the biller's answers tell: `answers` has them by the ids of their objects."""
        return [
            self.unless_unreadable(partial(adapter.learn, key, answer, self)) for key, answer in sorted(answers.items())
        ]

    def price(self, *names: str | None) -> Price | None:
        """What a price is mapped to, by the first of its names that is in the map."""
        return next((self._prices[name] for name in names if name is not None and name in self._prices), None)

    def write(self) -> None:
        """Write the objects that were changed."""
        changed = {
            object_id: data
            for object_id, data in sorted(self._objects.items())
            if _text(data) != self._before[object_id]
        }
        if changed:
            # A biller's answers name whom they will: also people who were erased.
            known = erased.of(self._connection, self.biller.brand_id)
            if known is not None:
                names = known.among(changed.values())
                changed = {object_id: names.document(data) for object_id, data in changed.items()}
            rows = [{"object_id": object_id, "data": data} for object_id, data in changed.items()]
            self._connection.execute(_WRITE, {**self._key, "rows": as_json(rows)})
            self._before.update({object_id: _text(data) for object_id, data in changed.items()})


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True)
