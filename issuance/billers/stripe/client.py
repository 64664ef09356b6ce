"""The way to Stripe's API: it is asked slowly, asked again where it says so, and an answer counts only when it is read
whole."""

import json
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from issuance import limits
from issuance.billers.adapter import CanNotBeAsked, DoesNotSay, Json

if TYPE_CHECKING:  # httpx is imported where somebody is asked
    import httpx

#: How often a request is tried, and how long an answer may take (seconds).
TRIES, PATIENCE = 5, 20.0


class StripeApi:
    """Stripe's API with one key. A context manager; not for several threads."""

    def __init__(self, base: str, key: str) -> None:
        import httpx

        headers = {"authorization": f"Bearer {key}", "user-agent": "Issuance"}
        self._client = httpx.Client(base_url=base, headers=headers, timeout=PATIENCE, follow_redirects=False)
        self._next_at = 0.0

    def __enter__(self) -> "StripeApi":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> Json | None:
        """The answer; None where there is no such thing. Raises CanNotBeAsked."""
        import httpx

        why = "it does not answer"
        for attempt in range(TRIES):
            self._wait_for_turn()
            rest = min(0.5 * 2**attempt, limits.current.billers.longest_rest)
            try:
                answer, body = self._asked(path, parameters or {})
            except httpx.HTTPError as error:
                why = f"{self._client.base_url.host} does not answer ({type(error).__name__})"
            else:
                if answer.status_code == 404:
                    return None
                if answer.status_code != 429 and answer.status_code < 500:
                    return _read(answer, body)
                why = f"it answers {answer.status_code}"
                rest = _rest(answer, rest)
            if attempt + 1 < TRIES:
                time.sleep(rest)
        raise CanNotBeAsked(why)

    def _asked(self, path: str, parameters: Mapping[str, str | int]) -> "tuple[httpx.Response, bytes]":
        """An answer and its body. Raises CanNotBeAsked where it is longer than any of Stripe's; httpx's errors."""
        most = limits.current.billers.longest_answer
        with self._client.stream("GET", path, params=dict(parameters)) as answer:
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > most:
                    raise CanNotBeAsked(f"its answer has more than {most:,} bytes")
            return answer, bytes(body)

    def pages(self, path: str, parameters: Mapping[str, str | int], after: str | None = None) -> Iterator[list[Json]]:
        """The pages of a list, after an object that was read before. Raises CanNotBeAsked."""
        while True:
            position = {"starting_after": after} if after is not None else {}
            answer = self.get(path, {"limit": limits.current.billers.page, **parameters, **position})
            if answer is None:
                raise DoesNotSay(f"it has no list {path}")
            page, goes_on = answer.get("data"), answer.get("has_more") is True
            if not isinstance(page, list):
                raise CanNotBeAsked(f"its answer for {path} is no list")
            if not all(isinstance(one, dict) and isinstance(one.get("id"), str) and one["id"] for one in page):
                raise CanNotBeAsked(f"its list {path} has something in it that has no id")
            if page:
                yield page
            if not goes_on:
                return
            if not page or page[-1]["id"] == after:
                raise CanNotBeAsked(f"its list {path} has more, and does not say it")
            after = page[-1]["id"]

    def _wait_for_turn(self) -> None:
        now = time.monotonic()
        if now < self._next_at:
            time.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / limits.current.billers.asked_a_second


def path_of(kind: str, object_id: str) -> str:
    """The address of an object."""
    return f"/v1/{kind}/{quote(object_id, safe='')}"


def _read(answer: "httpx.Response", body: bytes) -> Json:
    try:
        said: Any = json.loads(body)
    except ValueError:
        said = None
    if answer.status_code == 200:
        if isinstance(said, dict):
            return said
        raise CanNotBeAsked("its answer is no JSON object")
    # Stripe's own words are not repeated: they may quote what was sent. An invalid key may read nothing at all.
    refusal = DoesNotSay if answer.status_code in (400, 403) else CanNotBeAsked
    raise refusal(f"it answers {answer.status_code}")


def _rest(answer: "httpx.Response", rest: float) -> float:
    try:
        return min(max(float(answer.headers.get("retry-after", rest)), 0.0), limits.current.billers.longest_rest)
    except ValueError:
        return rest
