"""Where webhooks may be delivered to. A brand chooses the URL and our machine connects to it, so no internal address
may be reachable in this way.

An address is checked twice: when a webhook is registered, and before each connection, when the name may lead elsewhere:
the IP address that is checked then is the one that is used. Live brands may use https to public addresses. Sandbox
brands may also use http, and the machine itself if the setting ISSUANCE_LOCAL_WEBHOOKS allows it. Nobody may reach what
is inside (`networks`). Every port of a public host is allowed: who names it could reach it without us, and our answer
says only that it took a message.
"""

import asyncio
import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from uuid import UUID

import httpx

from issuance import settings
from issuance.errors import Invalid
from issuance.webhooks import networks
from issuance.webhooks.lookups import UnknownHost, lookups

LONGEST_URL = 2048

_HOST = re.compile(r"[0-9A-Za-z._:-]+", re.ASCII)


class AddressRefused(Invalid):
    """No webhook may have this URL."""

    code = "webhook_url_not_allowed"

    def __init__(self, why: str) -> None:
        super().__init__(f"url {why}", fields={"url": why})


def parse(url: str, *, sandbox: bool) -> httpx.URL:
    """`url` as a URL, if its form is allowed; the host is not looked up. Raises AddressRefused."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise AddressRefused("is not a URL") from None
    if parsed.scheme not in (("https", "http") if sandbox else ("https",)):
        raise AddressRefused("must begin with https://")
    if not _HOST.fullmatch(host_of(parsed)) or len(url) > LONGEST_URL:
        raise AddressRefused(f"must name a host and have at most {LONGEST_URL} characters")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise AddressRefused("must have a port from 1 to 65535, or none")
    if parsed.userinfo or parsed.fragment:
        raise AddressRefused("must not hold a user, a password or a fragment")
    return parsed


def host_of(url: httpx.URL) -> str:
    """The URL's host as it is written in DNS and certificates."""
    return url.raw_host.decode("ascii")


async def resolve(url: httpx.URL, *, sandbox: bool, brand_id: UUID | None = None, failing: bool = False) -> list[str]:
    """The IP addresses of the URL's host, IPv4 first. Raises AddressRefused if any is not allowed, UnknownHost if there
    are none, TimeoutError and TooManyLookups as `lookups` does."""
    found = await lookups.find(host_of(url), url.port or 0, brand_id, failing=failing)
    addresses = [ip_address(where.partition("%")[0]) for where in found]
    if not all(is_allowed(address, sandbox=sandbox) for address in addresses):
        raise AddressRefused("must lead to public addresses only")
    return [str(address) for address in sorted(set(addresses), key=lambda address: (address.version, int(address)))]


async def examine(url: str, *, sandbox: bool, brand_id: UUID | None = None) -> None:
    """Raises AddressRefused if webhooks may not have `url`. An unknown host is allowed: it is looked up again at each
    delivery. Raises TooManyLookups."""
    parsed = parse(url, sandbox=sandbox)
    try:
        await resolve(parsed, sandbox=sandbox, brand_id=brand_id)
    except (UnknownHost, TimeoutError):
        return


def check(url: str, *, sandbox: bool) -> None:
    """`examine`, for callers without an event loop."""
    asyncio.run(examine(url, sandbox=sandbox))


def is_allowed(address: IPv4Address | IPv6Address, *, sandbox: bool) -> bool:
    """Whether webhooks are delivered to an IP address."""
    if networks.meant(address).is_loopback:
        return sandbox and settings.own().local_webhooks
    return networks.is_public(address)
