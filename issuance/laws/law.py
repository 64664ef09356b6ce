"""What a law is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from issuance.laws import kinds
from issuance.laws.paper import Judge, judged

#: Offenders that one look at a law by SQL names at most: the first hundred say what is wrong.
MOST_OFFENDERS = 100

Offender = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Law:
    """A law by its number in SEMANTICS 14.

    `ask` asks PostgreSQL for a brand's offenders; `judge` names those in a membership that was settled again on
    paper. A law has either, or both.
    """

    number: int
    name: str
    sentence: str
    ask: Callable[[Connection, UUID], Iterator[list[Offender]]] | None = None
    judge: Judge | None = None

    def find(self, connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
        """A batch of a brand's offenders after each step of the work, empty ones too."""
        for found in look(connection, brand_id, [self]):
            yield found[self.number]


def look(connection: Connection, brand_id: UUID, laws: Sequence[Law]) -> Iterator[dict[int, list[Offender]]]:
    """A brand's offenders by the number of the law, after each step of the work. What has to be settled on paper is
    so once for all laws."""
    for law in laws:
        for offenders in law.ask(connection, brand_id) if law.ask is not None else ():
            yield {law.number: offenders}
    judges = {law.number: law.judge for law in laws if law.judge is not None}
    if judges:
        yield from judged(connection, brand_id, judges)


def steps(connection: Connection, brand_id: UUID, laws: Sequence[Law]) -> int:
    """About how many steps looking at laws takes."""
    asked = sum(law.ask is not None for law in laws)
    memberships = connection.execute(kinds.COUNT, {"brand_id": brand_id}).scalar_one()
    return asked + (-(-memberships // kinds.BATCH) if any(law.judge for law in laws) else 0)
