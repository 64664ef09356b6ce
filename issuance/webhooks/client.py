"""The HTTP client: sends signed messages to one webhook, many at the same time.

It is the only asynchronous code of a worker: only an event loop can end an attempt for certain when its time is up,
whatever the receiver does.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import httpx

from issuance.webhooks import addresses, signatures
from issuance.webhooks.addresses import AddressRefused, UnknownHost

#: Seconds within which the status of an answer must arrive. Bodies are not read.
PATIENCE = 15.0

_HEADERS = {"content-type": "application/json", "user-agent": "Issuance-Webhooks/1", "accept": "*/*"}


@dataclass(frozen=True, slots=True)
class Message:
    """What one delivery sends. `message_id` is the event's id: it is the same in each attempt, so that receivers can
    recognise a message that they have already had."""

    message_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt: the status of the answer, and the error if it was not delivered."""

    status: int | None
    error: str | None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more messages."""
        return self.status == 410


def send_all(url: str, secret: bytes, messages: Sequence[Message], *, sandbox: bool, patience: float) -> list[Outcome]:
    """Send messages at the same time; the result of each, in their order. Takes at most `patience` seconds."""
    return asyncio.run(_send_all(url, secret, messages, sandbox=sandbox, patience=patience))


async def _send_all(
    url: str, secret: bytes, messages: Sequence[Message], *, sandbox: bool, patience: float
) -> list[Outcome]:
    # No proxy and no redirect: both would connect to an address that was not checked.
    async with httpx.AsyncClient(verify=_tls(), trust_env=False, follow_redirects=False, timeout=None) as client:  # noqa: S113 - one limit over all of it
        return await asyncio.gather(
            *(_send(client, url, secret, message, sandbox=sandbox, patience=patience) for message in messages)
        )


async def _send(
    client: httpx.AsyncClient, url: str, secret: bytes, message: Message, *, sandbox: bool, patience: float
) -> Outcome:
    try:
        async with asyncio.timeout(patience):
            target = addresses.parse(url, sandbox=sandbox)
            found = await addresses.resolve(target, sandbox=sandbox)
            status = await _post(client, target, found, secret, message)
    except TimeoutError:
        return Outcome(None, f"no answer within {patience:.0f} s")
    except UnknownHost:
        return Outcome(None, "the host's name is not known")
    except AddressRefused as error:
        return Outcome(None, error.message)
    except (httpx.HTTPError, OSError, ValueError) as error:
        return Outcome(None, f"no answer: {type(error).__name__}")
    if 300 <= status < 400:
        return Outcome(status, "redirects are not followed")
    return Outcome(status, None if 200 <= status < 300 else f"answered {status}")


async def _post(
    client: httpx.AsyncClient, target: httpx.URL, found: Sequence[str], secret: bytes, message: Message
) -> int:
    """Post to the first of the checked addresses that takes the connection. The name is not looked up again."""
    timestamp = int(time.time())
    headers = {
        **_HEADERS,
        **signatures.headers(secret, message.message_id, timestamp, message.body),
        "host": target.netloc.decode("ascii"),
    }
    for last, address in enumerate(found, start=1 - len(found)):
        try:
            async with client.stream(
                "POST",
                target.copy_with(host=address),
                content=message.body,
                headers=headers,
                extensions={"sni_hostname": addresses.host_of(target)},  # the certificate must be the name's
            ) as response:
                return response.status_code
        except httpx.ConnectError:
            if last == 0:
                raise
    raise UnknownHost(addresses.host_of(target))


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()
