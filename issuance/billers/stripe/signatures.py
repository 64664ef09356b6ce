"""Stripe's signatures: checked by Stripe's own library, with one or two secrets."""

from collections.abc import Mapping, Sequence

from issuance.billers.adapter import BadSignature

HEADER = "stripe-signature"
#: A signature is good for so many seconds, by real time.
TOLERANCE = 300


def verify(body: bytes, headers: Mapping[str, str], secrets: Sequence[bytes]) -> None:
    """See that Stripe signed this with one of the secrets within the last 300 s. Raises BadSignature."""
    if not any(_is_signed(body, headers.get(HEADER), secret.decode()) for secret in secrets):
        raise BadSignature


def _is_signed(body: bytes, header: str | None, secret: str) -> bool:
    from stripe import SignatureVerificationError, WebhookSignature  # late: it brings all of Stripe's library

    try:
        WebhookSignature.verify_header(body, header, secret, TOLERANCE)
    except (SignatureVerificationError, UnicodeDecodeError, TypeError, ValueError):
        # The latter are of bodies and signatures that are no text.
        return False
    return True
