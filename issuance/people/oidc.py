"""The operator's identity provider (OpenID Connect): where it asks people who they are, and what its answer says.

The code flow with PKCE. An answer counts if the provider signed it, for us, just now, and for this very sign-in.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from issuance.errors import IssuanceError, NotAuthenticated
from issuance.log import logger
from issuance.people.people import as_kept
from issuance.settings import OwnSettings

#: Seconds that one answer of the provider may take, and for which its document and keys are believed.
TIMEOUT, FRESH = 10.0, 3600.0
#: Sign-ins that ask the provider at once: a slow one holds up nobody else's requests.
MOST_AT_ONCE = 4
#: Seconds by which its clock may differ from ours.
LEEWAY = 30
#: Signatures that count: with the provider's public keys, never with a secret or none.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


class ProviderAway(IssuanceError):
    """The identity provider can not be asked now. Try again in a moment."""

    code = "provider_away"
    status = 503


class NotVouchedFor(NotAuthenticated):
    """The identity provider's answer is no good for this sign-in. Begin again."""


class EmailNotVerified(NotAuthenticated):
    """The identity provider does not say that this e-mail address was verified to be yours."""


class Begun(NamedTuple):
    """A sign-in on its way: where the browser is sent, and what it has to bring back."""

    url: str
    state: str
    nonce: str
    verifier: str


class Identity(NamedTuple):
    """Who somebody is by the provider: an id that never becomes another's, and a verified address in lower case."""

    issuer: str
    subject: str
    email: str


@dataclass(slots=True)
class Provider:
    """The issuer of the settings, as it describes itself."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    _document: dict[str, Any] | None = None
    _keys: KeySet | None = None
    _read_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turns: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MOST_AT_ONCE))

    @property
    def host(self) -> str:
        """What people know it by."""
        return httpx.URL(self.issuer).netloc.decode()

    def begin(self, back: str) -> Begun:
        """A new sign-in, which comes back to the address `back`. Raises ProviderAway."""
        state, nonce, verifier = (generate_token(48) for _ in range(3))
        with self._turn():
            endpoint = self._described()["authorization_endpoint"]
        url = prepare_grant_uri(
            endpoint,
            self.client_id,
            "code",
            redirect_uri=back,
            scope="openid email",
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Begun(url, state, nonce, verifier)

    def finish(self, back: str, code: str, begun: Begun, now: Callable[[], int]) -> Identity:
        """Who came back with `code`. `now`: real time, in Unix seconds. Raises ProviderAway, NotVouchedFor,
        EmailNotVerified."""
        with self._turn():
            return self._identity(self._told(back, code, begun), begun.nonce, now)

    def _told(self, back: str, code: str, begun: Begun) -> object:
        """The id token that a code is good for."""
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        asked |= {"code_verifier": begun.verifier, "client_id": self.client_id}
        offered = self._described().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        by_header = None
        if self.client_secret is not None and "client_secret_basic" in offered:
            by_header = httpx.BasicAuth(quote(self.client_id, safe=""), quote(self.client_secret, safe=""))
        elif self.client_secret is not None:
            asked["client_secret"] = self.client_secret
        try:
            answer = httpx.post(self._described()["token_endpoint"], data=asked, auth=by_header, timeout=TIMEOUT)
            told = answer.json()
        except httpx.HTTPError as error:
            raise _away(error) from None
        except ValueError:
            raise _refused("no token: what came is no JSON") from None
        if answer.is_error or not isinstance(told, dict):
            raise _refused("no token: the code is not taken")
        return told.get("id_token")

    def _identity(self, id_token: object, nonce: str, now: Callable[[], int]) -> Identity:
        if not isinstance(id_token, str):
            raise _refused("no id_token")
        claims = self._claims(id_token)
        expected = jwt.JWTClaimsRegistry(
            now,
            leeway=LEEWAY,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        try:
            expected.validate(claims)
        except JoseError as error:
            raise _refused(str(error)) from None
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self.client_id:
            raise _refused("it is meant for others too")
        subject, email = claims["sub"], claims.get("email")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise _refused("a sub that is none")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise EmailNotVerified
        return Identity(self.issuer, subject, as_kept(email))

    def _claims(self, id_token: str) -> dict[str, Any]:
        """What a token says, if one of the provider's keys signed it; a key may be newer than those that are known."""
        for anew in (False, True):
            try:
                decoded = jwt.decode(id_token, self._known_keys(anew=anew), algorithms=ALGORITHMS)
            except (JoseError, ValueError) as error:
                wrong = type(error).__name__
            else:
                return dict(decoded.claims)
        raise _refused(f"its signature: {wrong}")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=1.0):
            raise ProviderAway
        try:
            yield
        finally:
            self._turns.release()

    def _described(self) -> dict[str, Any]:
        """What the issuer says of itself, at most FRESH seconds ago."""
        with self._lock:
            if self._document is None or monotonic() - self._read_at > FRESH:
                document = _read(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if document.get("issuer") != self.issuer:  # another's document would make its answers count as ours
                    raise _refused("its document names another issuer")
                self._document, self._keys, self._read_at = document, None, monotonic()
            return self._document

    def _known_keys(self, *, anew: bool) -> KeySet:
        address = self._described()["jwks_uri"]
        with self._lock:
            if self._keys is None or anew:
                self._keys = KeySet.import_key_set(_read(address))  # type: ignore[arg-type] # what came is looked at there
            return self._keys


def provider_of(settings: OwnSettings) -> Provider | None:
    """The provider that the settings name; None: people sign in by password and link only."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    secret = settings.oidc_client_secret
    return Provider(settings.oidc_issuer, settings.oidc_client_id, secret.get_secret_value() if secret else None)


def _read(address: str) -> dict[str, Any]:
    try:
        answer = httpx.get(address, timeout=TIMEOUT, headers={"Accept": "application/json"})
        answer.raise_for_status()
        document = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise _away(error) from None
    if not isinstance(document, dict):
        raise _away(ValueError("no document"))
    return document


def _away(error: Exception) -> ProviderAway:
    logger.warning("identity_provider_away", error=type(error).__name__)
    return ProviderAway()


def _refused(why: str) -> NotVouchedFor:
    logger.warning("identity_provider_not_believed", why=why[:200])
    return NotVouchedFor(f"The identity provider's answer is no good for this sign-in ({why[:200]}). Begin again.")
