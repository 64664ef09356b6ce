"""Stripe's signatures, by the vector that Stripe's own library made (INTERFACE 7)."""

import json
from datetime import UTC, datetime

import pytest

from issuance.billers.adapter import BadSignature
from issuance.billers.stripe import signatures
from tests.stripe import FOLDER, payload

VECTOR = payload("signature_v1")
BODY = (FOLDER / VECTOR["body_file"]).read_bytes()
SECRET = VECTOR["secret"].encode()
GOOD = VECTOR["header"].split("v1=")[1].split(",")[0]


def verify(
    header: str | None = VECTOR["header"],
    body: bytes = BODY,
    secrets: tuple[bytes, ...] = (SECRET,),
    late: float = 0,
) -> None:
    now = datetime.fromtimestamp(VECTOR["timestamp"] + late, UTC)
    signatures.verify(body, {} if header is None else {"stripe-signature": header}, list(secrets), now)


@pytest.mark.parametrize("late", [0, 300])
def test_the_vector_is_good_for_300_seconds(late: float) -> None:
    verify(late=late)


def test_it_is_refused_301_seconds_later() -> None:
    with pytest.raises(BadSignature):
        verify(late=301)


def test_either_of_two_secrets_will_do() -> None:
    """While one is rotated out."""
    verify(secrets=(b"whsec_the_new_one", SECRET))


def test_one_good_signature_among_several_is_enough() -> None:
    """Stripe signs with each of its secrets while it rotates them."""
    verify(header=f"t={VECTOR['timestamp']},v1={'0' * 64},v1={GOOD}")


BAD = {
    "none": None,
    "empty": "",
    "v0 only": f"t={VECTOR['timestamp']},v0={GOOD}",
    "another time": f"t={VECTOR['timestamp'] - 1},v1={GOOD}",
    "no time": f"v1={GOOD}",
    "two times": f"t={VECTOR['timestamp'] - 1},t={VECTOR['timestamp']},v1={GOOD}",
    "a time that is no number": f"t=now,v1={GOOD}",
    "one digit off": f"t={VECTOR['timestamp']},v1={'f' if GOOD[0] != 'f' else '0'}{GOOD[1:]}",
    "cut": f"t={VECTOR['timestamp']},v1={GOOD[:-1]}",
    "no text": f"t={VECTOR['timestamp']},v1=é{GOOD}",
}


@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_any_other_header_is_refused(header: str | None) -> None:
    with pytest.raises(BadSignature):
        verify(header=header)


@pytest.mark.parametrize(
    "body",
    [
        BODY[:-1],
        BODY + b" ",
        BODY.replace(b"paid", b"void", 1),
        json.dumps(json.loads(BODY)).encode(),
        b"\xff\xfe",
        b"",
    ],
)
def test_one_byte_off_is_refused(body: bytes) -> None:
    """The same JSON in other bytes too."""
    with pytest.raises(BadSignature):
        verify(body=body)


def test_what_is_refused_is_not_said() -> None:
    """Neither the body nor the secret is in the error, nor behind it."""
    with pytest.raises(BadSignature) as refused:
        verify(secrets=(b"whsec_another_secret",))
    assert "whsec" not in refused.value.message
    assert refused.value.__context__ is None
