"""Stripe's signatures: checked by Stripe's own library, with one or two secrets."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from issuance.billers.adapter import BadSignature

HEADER = "stripe-signature"
#: Seconds for which a signature is good, in real time.
TOLERANCE = 300


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[bytes], now: datetime) -> None:
    """See that Stripe signed this with one of the secrets within the last 300 s. Raises BadSignature."""
    header = headers.get(HEADER, "")
    if not any(_is_signed(body, header, secret.decode()) for secret in secrets) or _stamp(header) < (
        now.timestamp() - TOLERANCE
    ):
        raise BadSignature


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    from stripe import SignatureVerificationError, WebhookSignature  # late: it brings all of Stripe's library

    try:
        WebhookSignature.verify_header(body, header, secret)  # when, by this host's clock, it is not asked
    except (SignatureVerificationError, UnicodeDecodeError, TypeError, ValueError):
        # The latter come of bodies and signatures that are no text.
        return False
    return True


def _stamp(header: str) -> int:
    """When a signed header says that it was signed, in Unix seconds; of several times, the one that the signature
    covers."""
    return int(next(part for part in header.split(",") if part.startswith("t=")).split("=", 2)[1])
