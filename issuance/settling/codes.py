"""Credit codes: 80 random bits as 16 letters and digits that people can read out and tell apart."""

import os

_CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: For each byte the letter of its lowest five bits: every letter stands for as many bytes.
_LETTER = bytes(_CROCKFORD[byte & 31] for byte in range(256))


def new_codes(count: int) -> list[str]:
    """`count` fresh codes from one read of the system's randomness."""
    letters = os.urandom(16 * count).translate(_LETTER).decode("ascii")
    return [letters[start : start + 16] for start in range(0, 16 * count, 16)]
