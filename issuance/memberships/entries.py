"""Entries of lists of guests: which of them are a member's, and what these call them (SEMANTICS 20). Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from issuance.deciding.recognition import Recognised
from issuance.members.names import Names, folded

#: Stands for a guest of an order whose sign-up has not come yet.
NOBODY = UUID(int=0)

#: The order on whose list an entry stands, who it is, and the entry as it was told. A guest's id is their order's own:
#: two orders may have the same one.
Entry = tuple[UUID, Recognised, Mapping[str, Any]]


class Theirs:
    """What tells that an entry is a member's: their id, their addresses, and the guests that were found to be them.

    `emails` are folded."""

    def __init__(self, external_user_id: str, emails: Iterable[str]) -> None:
        self._id = external_user_id
        self.emails = set(emails)
        self._called: set[str] = set()
        #: By their order and their id there.
        self._guests: set[tuple[UUID, UUID]] = set()
        #: Those of the guests that have the member's id on some list.
        self._with_the_id: set[tuple[UUID, UUID]] = set()

    def learn(self, entries: Sequence[Entry]) -> None:
        """Find out from lists what else they are called: by entries with their id first; then by those with any of
        their addresses; then by those of guests that were found so."""
        for is_theirs in (self.by_id, self.include, self.include):
            for entry in entries:
                if is_theirs(*entry):
                    self._hear(*entry)

    def by_id(self, _: UUID, who: Recognised, guest: Mapping[str, Any]) -> bool:
        """Whether an entry has their id, or its guest had it on a list before."""
        return self._id in (guest.get("external_user_id"), who.external_user_id)

    def include(self, membership_id: UUID, who: Recognised, guest: Mapping[str, Any]) -> bool:
        """Whether an entry is theirs: by their id; if it has no id, by their address, or because its guest has their id
        on a later list; if it has neither, because its guest was found to be them."""
        if guest.get("external_user_id") is not None:
            return bool(guest["external_user_id"] == self._id)
        if self.by_id(membership_id, who, guest) or (guest.get("email") and folded(guest["email"]) in self.emails):
            return True
        # Somebody who had their address for a while, and has another, is not them.
        found = self._with_the_id if guest.get("email") else self._guests
        return who.external_user_id is None and (membership_id, who.guest_id) in found

    @property
    def guests(self) -> frozenset[tuple[UUID, UUID]]:
        """The guests that were found to be them, each by the order and the id there."""
        return frozenset(self._guests)

    def names(self, place: str, *called: str | None, shared: Collection[UUID] = ()) -> Names:
        """All that they are called by, and what takes its place. `shared`: guests' ids that others have too."""
        everything = {one for one in (*called, *self._called) if one} - {self._id, place}
        return Names(
            ids={self._id: place},
            emails=dict.fromkeys(self.emails, place),
            called=dict.fromkeys(everything, place),
            guest_ids={str(one): place for _, one in self._guests if one not in shared},
        )

    def _hear(self, membership_id: UUID, who: Recognised, guest: Mapping[str, Any]) -> None:
        if guest.get("external_user_id") not in (None, self._id):
            return
        self._called.add(guest["name"])
        if who.guest_id != NOBODY:
            self._guests.add((membership_id, who.guest_id))
            if self.by_id(membership_id, who, guest):
                self._with_the_id.add((membership_id, who.guest_id))
        if guest.get("email"):
            self.emails.add(folded(guest["email"]))
