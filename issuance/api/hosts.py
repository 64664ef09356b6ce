"""The host that a request names. All links are made with it, also those of invitations and the way back from the
identity provider."""

from starlette.types import Scope

from issuance.addresses import HOST
from issuance.errors import IssuanceError
from issuance.settings import Settings


class BadHost(IssuanceError):
    """The request names no host, or one that is none: send one `Host`, such as credits.example or 127.0.0.1:8080."""

    code = "bad_request"
    status = 400


def name_home(scope: Scope) -> None:
    """Make a request name the operator's own address (`ISSUANCE_PUBLIC_URL`) if there is one, so that no link leads to
    a host that a stranger chose. Otherwise it keeps the host that it names, if that can be a host. Raises BadHost."""
    named = [value for name, value in scope["headers"] if name == b"host"]
    given: Settings | None = getattr(scope["app"].state, "settings", None)
    if given is not None and given.public_url is not None:
        scope["scheme"], _, host = given.public_url.partition("://")
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        scope["headers"] = [*others, (b"host", host.encode())]
    elif len(named) > 1 or (named and not HOST.fullmatch(named[0].decode("latin-1"))):
        raise BadHost
