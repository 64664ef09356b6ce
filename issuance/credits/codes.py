"""Credit codes: 16 random letters and digits that people can read out and tell apart.

Codes that are made together begin with the same letters, so that they lie side by side in the index. If they did not,
each would change another page of it. Thirteen letters (65 bits) are each code's own.
"""

import os
import re

_CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: For each byte the letter of its lowest five bits: every letter stands for as many bytes.
_LETTER = bytes(_CROCKFORD[byte & 31] for byte in range(256))


_SHARED, _OWN = 3, 13


#: Spaces and dashes, those of word processors and mail programs and the invisible ones too, for a regular expression.
BREAKS = r"\s\-\u00ad\u200b-\u200d\u2010-\u2015\u2060\u2212\ufeff"
_BREAK = re.compile(f"[{BREAKS}]")


def as_kept(code: str) -> str:
    """A code as it is kept, however it was typed: without regard to case, spaces and dashes."""
    return _BREAK.sub("", code).upper()


def may_be_one(typed: str) -> bool:
    """Whether there can be a credit with this code: so many letters, and no others than codes have."""
    code = as_kept(typed)
    return len(code) == _SHARED + _OWN and code.isascii() and set(code.encode()) <= set(_CROCKFORD)


def new_codes(count: int) -> list[str]:
    """`count` fresh codes from one read of the system's randomness."""
    letters = os.urandom(_SHARED + _OWN * count).translate(_LETTER).decode("ascii")
    shared = letters[:_SHARED]
    return [shared + letters[start : start + _OWN] for start in range(_SHARED, len(letters), _OWN)]
