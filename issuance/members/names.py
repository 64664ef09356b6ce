"""Names: what people are called by, and how it is taken out of texts and documents (SEMANTICS 20). Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

#: Fields that say who a person is, in the objects that we and billers write.
PERSONAL = frozenset({
    "name", "display_name", "displayName", "first_name", "last_name", "full_name", "email", "phone", "address",
    "shipping", "billing_details", "attributes", "customer_name", "customer_email", "customer_phone",
    "customer_address", "customer_shipping", "receipt_email",
})  # fmt: skip
#: Shorter ids, and those of digits only, are taken out only where they are the whole text: within a text they may mean
#: anything.
SHORTEST_IN_TEXT = 4

#: Fields that hold the id that a brand knows a person by.
_OF_PEOPLE = frozenset({"external_user_id", "externalUserID"})
#: Fields of a fact that say which thing it is about, and so distinguish it from others (SEMANTICS 20).
_OF_THINGS = frozenset({"charge_id"})
#: What joins a word to others to make another name: `anna` is not `anna-lena`, nor `anna@example.org`.
_JOINS = "[-.@+]"

_ADDRESS = re.compile(r"[^\s<>,;:\"'()\[\]]+@[^\s<>,;:\"'()\[\]]+")


def folded(email: str) -> str:
    """An e-mail address in the form in which equal ones are equal."""
    return email.strip().casefold()


def strings(document: object) -> Iterator[str]:
    """Every text in a JSON value, and in the JSON that texts hold."""
    match document:
        case str():
            yield document
            inner = _inner(document)
            if inner is not None:
                yield from strings(inner)
        case dict():
            for part in document.values():
                yield from strings(part)
        case list():
            for part in document:
                yield from strings(part)


def addresses(said: str) -> list[str]:
    """What looks like an e-mail address in a text."""
    return _ADDRESS.findall(said) if "@" in said else []


@dataclass(frozen=True)
class Names:
    """What some people are called by, each with the id that takes its place."""

    #: The ids that the brand knows them by.
    ids: Mapping[str, str] = field(default_factory=dict)
    #: Folded e-mail addresses.
    emails: Mapping[str, str] = field(default_factory=dict)
    #: Their names. Other people have the same ones, so a name counts only beside something else of theirs, or if it has
    #: several words.
    called: Mapping[str, str] = field(default_factory=dict)
    #: The guests that they are.
    guest_ids: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ids or self.emails)

    def of(self, external_user_id: object, email: object) -> str | None:
        """What takes the place of somebody with this id, or with this address and no id; None: their names stay."""
        if isinstance(external_user_id, str) and external_user_id:
            return self.ids.get(external_user_id)
        return self.emails.get(folded(email)) if isinstance(email, str) else None

    def document(self, said: Any) -> Any:
        """A JSON value without them."""
        return self._without(said, about=self._is_about(said))

    def text(self, said: str) -> str:
        """A text, which may be JSON, without them."""
        return self._text(said, about=self._is_about(said))

    def body(self, said: bytes) -> bytes:
        """A body as it came, without them; unchanged if it does not name them."""
        try:
            before = said.decode()
        except UnicodeDecodeError:
            before = said.decode("latin-1")  # each byte a letter, so that nothing is lost
            return self.text(before).encode("latin-1", errors="replace")
        after = self.text(before)
        return said if after == before else after.encode()

    def is_alone_in(self, said: Any) -> bool:
        """Whether a JSON value identifies nobody else, as far as its fields and addresses tell."""
        match said:
            case str():
                inner = _inner(said)
                if inner is not None:
                    return self.is_alone_in(inner)
                return all(folded(one) in self.emails for one in addresses(said))
            case list():
                return all(map(self.is_alone_in, said))
            case dict():
                theirs = self._whose(said) is not None
                return all(self._is_alone_in_field(name, part, theirs=theirs) for name, part in said.items())
        return True

    def _is_alone_in_field(self, name: str, said: Any, *, theirs: bool) -> bool:
        if name in _OF_PEOPLE and said and said not in self.ids:
            return False
        if name in PERSONAL and said and not theirs:
            return isinstance(said, dict) and self._whose(said) is not None and self.is_alone_in(said)
        return (name in PERSONAL and isinstance(said, dict)) or self.is_alone_in(said)

    def _without(self, said: Any, *, about: bool) -> Any:
        match said:
            case str():
                return self._text(said, about=about)
            case list():
                return [self._without(part, about=about) for part in said]
            case dict():
                theirs = self._whose(said)
                return {
                    name: (
                        part
                        if _is_of_a_thing(name, said)
                        else _taken(part, theirs)
                        if theirs and name in PERSONAL
                        else self._without(part, about=about)
                    )
                    for name, part in said.items()
                }
        return said

    def _text(self, said: str, *, about: bool) -> str:
        if said in self.ids:
            return self.ids[said]
        if about and said in self.called:
            return self.called[said]
        inner = _inner(said)
        if inner is not None:
            without = self._without(inner, about=about)
            return said if without == inner else json.dumps(without)
        pattern = self._beside if about else self._anywhere
        return said if pattern is None else pattern.sub(lambda found: self._all[found[0].casefold()], said)

    def _whose(self, said: Mapping[str, Any]) -> str | None:
        """Which of them an object is about: a field of it, or of its metadata, is their id or address."""
        metadata = said.get("metadata")
        fields = [*said.items(), *(metadata.items() if isinstance(metadata, dict) else ())]
        for name, value in fields:
            if isinstance(value, str) and not _is_of_a_thing(name, said):
                found = self.ids.get(value) or self.emails.get(folded(value))
                found = found or (self.guest_ids.get(value) if name in ("id", "guest_id") else None)
                if found is not None:
                    return found
        return None

    def _is_about(self, said: Any) -> bool:
        return any(
            one in self.ids
            or one in self.guest_ids
            or (self._anywhere is not None and self._anywhere.search(one) is not None)
            for one in strings(said)
        )

    @cached_property
    def _all(self) -> dict[str, str]:
        called = {name.casefold(): place for name, place in self.called.items()}
        return {**called, **{one.casefold(): place for one, place in self.ids.items()}, **self.emails}

    @cached_property
    def _anywhere(self) -> re.Pattern[str] | None:
        return _pattern([*self._in_texts, *(one for one in self.called if " " in one.strip())])

    @cached_property
    def _beside(self) -> re.Pattern[str] | None:
        return _pattern([*self._in_texts, *(one for one in self.called if one.strip())])

    @property
    def _in_texts(self) -> list[str]:
        """What identifies them by itself in a text. Digits do not: they may be a year, an amount or any number."""
        return [*(one for one in self.ids if len(one) >= SHORTEST_IN_TEXT and not one.isdigit()), *self.emails]


def _pattern(words: list[str]) -> re.Pattern[str] | None:
    if not words:
        return None
    longest_first = sorted(set(words), key=len, reverse=True)
    whole = rf"(?<!\w)(?<!\w{_JOINS})(?:{'|'.join(map(re.escape, longest_first))})(?!\w|{_JOINS}\w)"
    return re.compile(whole, re.IGNORECASE)


def _is_of_a_thing(name: str, said: Mapping[str, Any]) -> bool:
    """Whether a field identifies the event or the charge that an object is about, and not a person."""
    return name in _OF_THINGS or (name == "id" and "specversion" in said)


def _taken(said: Any, place: str) -> Any:
    """What takes the place of a person's own field."""
    return place if isinstance(said, str) and said else None if isinstance(said, (dict, list)) else said


def _inner(said: str) -> Any:
    """The JSON object or array in a text; None if the text is neither."""
    if said.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, (dict, list)) else None
