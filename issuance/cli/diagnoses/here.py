"""What the settings and this machine say by themselves."""

import sys
from collections.abc import Iterator
from pathlib import Path

from issuance import __version__
from issuance.cli.diagnoses.findings import Finding, of_disk
from issuance.database.revisions import NEWEST
from issuance.settings import Settings

_LOCAL = ("127.0.0.1", "localhost", "::1")


def of_settings(own: Settings) -> Iterator[Finding]:
    """What the settings alone say."""
    yield Finding("versions", "ok", f"Issuance {__version__}, schema {NEWEST}, Python {sys.version.split()[0]}")
    if own.sealing_key is None and own.sealing_key_file is None:
        do = "set ISSUANCE_SEALING_KEY_FILE, and keep it with your backups"
        yield Finding("settings", "look", "no sealing key is given: a dump of the database reveals secrets", do)
    else:
        yield Finding("settings", "ok", "a sealing key is given")
    if own.public_url is not None:
        yield Finding("settings", "ok", f"links lead to {own.public_url}")
    elif own.host not in _LOCAL or own.oidc_issuer is not None:
        do = "set ISSUANCE_PUBLIC_URL to the address that people and billers use"
        yield Finding("settings", "look", "links lead to whatever host a request names", do)
    if own.host not in _LOCAL and own.metrics_host is None and own.metrics_key is None:
        do = "set ISSUANCE_METRICS_KEY or ISSUANCE_METRICS_HOST"
        yield Finding("settings", "look", f"web listens on {own.host}, and anybody may read /metrics", do)
    if own.host not in _LOCAL and not own.proxies:
        do = "if a proxy stands before web, name it in ISSUANCE_TRUSTED_PROXIES"
        yield Finding("settings", "look", "nobody's X-Forwarded-For is believed: rates are counted by who connects", do)


def of_machine(own: Settings) -> Iterator[Finding]:
    """This machine's disk."""
    yield of_disk("this machine's disk", own.home if own.home.is_dir() else Path())
