"""Where webhooks are delivered to: nothing inside the house can be reached by naming it."""

from ipaddress import ip_address

import pytest

from issuance import settings
from issuance.webhooks import addresses
from issuance.webhooks.addresses import AddressRefused

INSIDE = [
    "10.0.0.1", "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "198.18.0.1", "fe80::1", "fd00:ec2::254", "ff02::1", "::", "fec0::1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::10.0.0.1",
    # Oracle's metadata, and others that some versions of Python take for public.
    "192.0.0.192", "192.0.0.9", "192.88.99.1", "3fff::1", "2001:db8::1", "5f00::1", "64:ff9b:1::a9fe:a9fe", "100::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:5db8:d822::1", "192.175.48.1", "198.51.100.7", "203.0.113.7",
    # Formally public, and Azure's host from within Azure; in its other forms too.
    "168.63.129.16", "::ffff:168.63.129.16", "64:ff9b::a83f:8110",
]  # fmt: skip
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
OUTSIDE = [
    "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822",
    "168.63.129.17", "192.0.1.1", "2001:200::1", "2a00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
@pytest.mark.parametrize("sandbox", [False, True])
def test_inside_is_never_reached(address: str, *, sandbox: bool) -> None:
    """Private, link-local, metadata, multicast, unspecified, and IPv6 addresses that stand for one of them."""
    assert not addresses.is_allowed(ip_address(address), sandbox=sandbox)


@pytest.mark.parametrize("address", LOOPBACK)
def test_the_machine_itself_is_for_sandboxes(address: str) -> None:
    """A sandbox's receiver may run beside it."""
    assert addresses.is_allowed(ip_address(address), sandbox=True)
    assert not addresses.is_allowed(ip_address(address), sandbox=False)


def test_the_machine_itself_is_out_of_reach_where_the_setting_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is outside ./run and ./test: a sandbox is no port scanner of the host."""
    monkeypatch.delenv("ISSUANCE_LOCAL_WEBHOOKS", raising=False)
    monkeypatch.setattr(settings, "own", lambda: settings.read(settings.OwnSettings))
    for address in LOOPBACK:
        assert not addresses.is_allowed(ip_address(address), sandbox=True)
    with pytest.raises(AddressRefused):
        addresses.check("http://127.0.0.1:5432/", sandbox=True)


@pytest.mark.parametrize("address", OUTSIDE)
@pytest.mark.parametrize("sandbox", [False, True])
def test_outside_is_reached(address: str, *, sandbox: bool) -> None:
    """Public addresses are."""
    assert addresses.is_allowed(ip_address(address), sandbox=sandbox)


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.216.34/", "ftp://93.184.216.34/", "93.184.216.34", "https://", "https://user:pw@93.184.216.34/",
        "https://93.184.216.34/#part", "https://localhost/", "https://127.0.0.1/", "https://[::1]/", "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data", "https://2130706433/", "https://0x7f.1/", "https://0/", "https://[::]/",
        "https://93.184.216.34:65536/", "https://93.184.216.34:0/", "https://93.184.216.34:-1/", "https://93.184.216.34:99999/",
        "https://[::ffff:127.0.0.1]/", "file:///etc/passwd", "https:// /", "https://" + "a" * 3000,
    ],
)  # fmt: skip
def test_live_brands_have_public_https_addresses(url: str) -> None:
    """However it is spelt."""
    with pytest.raises(AddressRefused):
        addresses.check(url, sandbox=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://93.184.216.34/x?y=z", "https://93.184.216.34:65535/", "https://93.184.216.34:25/",
        "https://nobody-knows-this.invalid/",
    ],
)  # fmt: skip
def test_what_live_brands_may_have(url: str) -> None:
    """Any port of a public host. A name that nobody knows yet is looked up again at each delivery."""
    addresses.check(url, sandbox=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "http://localhost/", "https://93.184.216.34/"])
def test_sandboxes_may_use_http_and_the_machine_itself(url: str) -> None:
    """For development."""
    addresses.check(url, sandbox=True)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://169.254.169.254/", "http://192.0.0.192/", "http://168.63.129.16/", "ftp://127.0.0.1/"],
)
def test_sandboxes_have_limits_too(url: str) -> None:
    """The rest of the house stays out of reach."""
    with pytest.raises(AddressRefused):
        addresses.check(url, sandbox=True)
