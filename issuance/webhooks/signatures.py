"""Signatures by Standard Webhooks: HMAC-SHA256 over the id of the message, the time and the body."""

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Sequence

#: In bytes; the standard asks for 24 to 64.
SECRET_LENGTH = 32


def new_secret() -> bytes:
    """A new signing secret, random."""
    return randomness.token_bytes(SECRET_LENGTH)


def as_text(secret: bytes) -> str:
    """A signing secret in the form that its owner sees: `whsec_…`."""
    return "whsec_" + base64.b64encode(secret).decode("ascii")


def headers(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers with which the receiver verifies a message sent at `timestamp` (Unix seconds, real time), with any of
    the secrets: there are two while one is rotated out."""
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    digests = [base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode() for secret in secrets]
    signature = " ".join(f"v1,{digest}" for digest in digests)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}
