"""Actors: on whose behalf a unit of work is done."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic_core import to_json

from issuance.database import Acting

ActorKind = Literal["key", "member", "person", "biller", "system", "command"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. `id` is Issuance's own, a member's too; members have no `name` here (SEMANTICS 16)."""

    kind: ActorKind
    id: UUID | None = None
    name: str | None = None

    def acting(self, request_id: str | None = None) -> Acting:
        """What a transaction is begun with. `request_id` is that of the answer."""
        return Acting(to_json({"kind": self.kind, "id": self.id, "name": self.name}).decode(), request_id or "")


#: Who acts where a unit of work names nobody.
SYSTEM = Actor("system")
