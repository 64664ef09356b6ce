"""How webhooks of mapped billers are signed: an HMAC of the body in a header, or basic auth."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from issuance.billers.adapter import BadSignature
from issuance.billers.mapped.mapping import Signature


def verify(signature: Signature, body: bytes, headers: Mapping[str, str], secrets: Sequence[bytes]) -> None:
    """See that a webhook is signed with one of the secrets. Raises BadSignature."""
    shown = headers.get("authorization" if signature.kind == "basic" else signature.header.lower(), "")
    if signature.kind == "basic":
        scheme, _, credentials = shown.partition(" ")
        shown = f"{scheme.title()} {credentials.lstrip(' ')}"  # RFC 7617: the scheme's case says nothing
    expected = [_basic(secret) if signature.kind == "basic" else _hmac(signature, body, secret) for secret in secrets]
    if not any(hmac.compare_digest(shown.encode(), one.encode()) for one in expected):
        raise BadSignature


def _basic(secret: bytes) -> str:
    return f"Basic {base64.b64encode(secret).decode()}"


def _hmac(signature: Signature, body: bytes, secret: bytes) -> str:
    digest = hmac.new(secret, body, getattr(hashlib, signature.algorithm)).digest()
    text = digest.hex() if signature.encoding == "hex" else base64.b64encode(digest).decode()
    return signature.prefix + text
