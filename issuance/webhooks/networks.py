"""Networks that no webhook may lead into, by their purpose: those of IANA's registries of special-purpose addresses
(RFC 6890 and later ones), of IPv4 and IPv6, and addresses of clouds that are formally public and lead inside.

Python's own `is_global` is asked too; it differs between Python's versions, and knows nothing of clouds.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

#: The purpose of each network.
_V4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared by carriers; Alibaba Cloud's metadata (100.100.100.200)",
    "127.0.0.0/8": "this machine",
    "169.254.0.0/16": "link-local; the metadata of most clouds (169.254.169.254)",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocols; Oracle Cloud's metadata (192.0.0.192)",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112, which answers for private addresses",
    "192.52.193.0/24": "relays of multicast",
    "192.88.99.0/24": "relays of 6to4, given up",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarks",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved; broadcast",
    "168.63.129.16/32": "Azure's host, from each of its machines: formally public",
}
_V6 = {
    "2001::/23": "protocols; Teredo, benchmarks, identifiers",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4, given up: it stands for an IPv4 address",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
}
#: All of IPv6 that was ever given out. What lies outside is this machine, private (the metadata of AWS, fd00:ec2::254,
#: and of Google, fd20:ce::254), link-local, multicast, or nobody's.
_UNICAST = IPv6Network("2000::/3")
#: Addresses that end with the IPv4 address that they stand for, where a network translates.
_TRANSLATED = IPv6Network("64:ff9b::/96")

_SPECIAL_V4 = tuple(map(IPv4Network, _V4))
_SPECIAL_V6 = tuple(map(IPv6Network, _V6))


def meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if there is one; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to a machine on the internet, and not to one inside."""
    address = meant(address)
    if isinstance(address, IPv4Address):
        special = any(address in network for network in _SPECIAL_V4)
    else:
        special = address not in _UNICAST or any(address in network for network in _SPECIAL_V6)
    return address.is_global and not special
