"""Entries of lists of guests: which of them are a member's, and what these call them (SEMANTICS 20). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from issuance.deciding.recognition import Recognised
from issuance.members.names import Names, folded

#: Stands for a guest of an order whose sign-up has not come yet.
NOBODY = UUID(int=0)

#: An entry as it was told, and who it is.
Entry = tuple[Recognised, Mapping[str, Any]]


class Theirs:
    """What tells that an entry is a member's: their id, their addresses, and the guests that were found to be them.

    `emails` are folded."""

    def __init__(self, external_user_id: str, emails: Iterable[str]) -> None:
        self._id = external_user_id
        self.emails = set(emails)
        self._called: set[str] = set()
        self._guest_ids: set[str] = set()
        #: Those of the guests that have the member's id on some list.
        self._with_the_id: set[str] = set()

    def learn(self, entries: Sequence[Entry]) -> None:
        """Find out from lists what else they are called: by entries with their id first; then by those with any of
        their addresses; then by those of guests that were found so."""
        for is_theirs in (self.by_id, self.include, self.include):
            for who, guest in entries:
                if is_theirs(who, guest):
                    self._hear(who, guest)

    def by_id(self, who: Recognised, guest: Mapping[str, Any]) -> bool:
        """Whether an entry has their id, or its guest had it on a list before."""
        return self._id in (guest.get("external_user_id"), who.external_user_id)

    def include(self, who: Recognised, guest: Mapping[str, Any]) -> bool:
        """Whether an entry is theirs: by their id; if it has no id, by their address, or because its guest has their id
        on a later list; if it has neither, because its guest was found to be them."""
        if guest.get("external_user_id") is not None:
            return bool(guest["external_user_id"] == self._id)
        if self.by_id(who, guest) or (guest.get("email") and folded(guest["email"]) in self.emails):
            return True
        # Somebody who had their address for a while, and has another, is not them.
        found = self._with_the_id if guest.get("email") else self._guest_ids
        return who.external_user_id is None and str(who.guest_id) in found

    def names(self, place: str, *called: str | None) -> Names:
        """All that they are called by, and what takes its place."""
        everything = {one for one in (*called, *self._called) if one} - {self._id, place}
        return Names(
            ids={self._id: place},
            emails=dict.fromkeys(self.emails, place),
            called=dict.fromkeys(everything, place),
            guest_ids=dict.fromkeys(self._guest_ids, place),
        )

    def _hear(self, who: Recognised, guest: Mapping[str, Any]) -> None:
        if guest.get("external_user_id") not in (None, self._id):
            return
        self._called.add(guest["name"])
        if who.guest_id != NOBODY:
            self._guest_ids.add(str(who.guest_id))
            if self.by_id(who, guest):
                self._with_the_id.add(str(who.guest_id))
        if guest.get("email"):
            self.emails.add(folded(guest["email"]))
