"""Credit codes: 80 random bits as 16 letters and digits that people can read out and tell apart."""

import os
from base64 import b32encode

_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def new_codes(count: int) -> list[str]:
    """`count` fresh codes from one read of the system's randomness."""
    letters = b32encode(os.urandom(10 * count)).translate(_TO_CROCKFORD).decode("ascii")
    return [letters[start : start + 16] for start in range(0, 16 * count, 16)]
