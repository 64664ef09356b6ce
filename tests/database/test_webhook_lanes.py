"""Dead receivers keep few threads waiting, however many there are: others' deliveries go on beside them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from campaigns.receiver import Receiver
from issuance.database.connections import transaction
from issuance.tenancy import brands
from issuance.webhooks import addresses, deliveries, dispatcher
from issuance.webhooks.lookups import Lookups
from tests.hooks import Hook, listen
from tests.waiting import PATIENCE_SECONDS, eventually

#: As many threads as the Procfile gives to webhooks.
THREADS = 48


@pytest.fixture
def dead(receiver: Receiver) -> Iterator[threading.Event]:
    """The receiver of `receiver` answers nothing until the event is set, and then not well."""
    answered = threading.Event()

    def never(request: BaseHTTPRequestHandler) -> None:
        answered.wait(PATIENCE_SECONDS)
        request.send_response(500)
        request.end_headers()

    receiver.answers = [never] * 1000
    yield answered
    answered.set()


def hooks_of(engine: Engine, receiver: Receiver, number: int) -> list[Hook]:
    """Webhooks of a new brand, all of which have something to be told."""
    with transaction(engine) as connection:
        brand_id, _ = brands.create(connection, name="dead", timezone="UTC", sandbox=True)
    hooks = [listen(engine, brand_id, receiver) for _ in range(number)]
    hooks[0].tell()
    return hooks


def test_a_hundred_dead_hosts_leave_threads_for_who_is_known(
    engine: Engine, receiver: Receiver, dead: threading.Event, other_brand_id: UUID
) -> None:
    """Whoever this process has delivered to before is told at once, while a hundred others of 25 brands hang."""
    known = listen(engine, other_brand_id, receiver)
    never, receiver.answers = receiver.answers, []
    known.tell()
    known.deliver()
    receiver.answers = never
    hooks = [hook for _ in range(25) for hook in hooks_of(engine, receiver, 4)]
    with ThreadPoolExecutor(THREADS) as pool:
        hanging = [pool.submit(hook.deliver, patience=2 * PATIENCE_SECONDS) for hook in hooks]
        receiver.wait_for(1 + dispatcher.MOST_UNPROVEN)
        turned_away = len(hooks) - dispatcher.MOST_UNPROVEN
        eventually(lambda: sum(one.done() for one in hanging) == turned_away)
        assert len(receiver.received) == 1 + dispatcher.MOST_UNPROVEN
        receiver.answers = []
        known.tell()
        known.deliver()
        assert {one.state for one in known.deliveries()} == {"delivered"}
        dead.set()


def test_a_brand_whose_hosts_fail_delays_neither_its_others_nor_anybodys(
    engine: Engine, receiver: Receiver, dead: threading.Event, other_brand_id: UUID
) -> None:
    """Two of its failing webhooks are tried at once; one of its own that works is told, and another brand's that was
    down is tried again."""
    hooks = hooks_of(engine, receiver, 5)
    down = listen(engine, other_brand_id, receiver)
    down.tell()
    *failing, works = hooks
    for hook in (*failing, down):
        with transaction(engine, hook.brand_id) as connection:
            failed = text("UPDATE webhooks SET failing_since = now() WHERE webhook_id = :id")
            connection.execute(failed, {"id": hook.webhook_id})
    with ThreadPoolExecutor(THREADS) as pool:
        hanging = [pool.submit(hook.deliver, patience=2 * PATIENCE_SECONDS) for hook in failing]
        receiver.wait_for(dispatcher.MOST_FAILING_A_BRAND)
        turned_away = len(failing) - dispatcher.MOST_FAILING_A_BRAND
        eventually(lambda: sum(one.done() for one in hanging) == turned_away)
        receiver.answers = []
        for hook in (works, down):
            hook.deliver()
        assert len(receiver.received) == dispatcher.MOST_FAILING_A_BRAND + 2
        assert [one.state for one in down.deliveries()] == ["delivered"]
        assert down.shown()["failing_since"] is None
        dead.set()


def test_a_name_that_could_not_be_looked_up_yet_is_no_attempt(
    hook: Hook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others hold all look-ups: the webhook has not failed, nothing is counted, and it is tried again in a moment."""
    monkeypatch.setattr(addresses, "lookups", Lookups(most=0))
    hook.tell(2)
    assert hook.deliver() is False
    said = {(one.state, one.attempts, one.attempted_at, one.last_error) for one in hook.deliveries()}
    assert said == {("pending", 0, None, None)}
    assert hook.shown()["failing_since"] is None
    assert hook.deliver() is False  # it rests
    monkeypatch.undo()
    hook.make_due()
    hook.deliver()
    assert [(one.state, one.attempts) for one in hook.deliveries()] == [("delivered", 1)] * 2
    assert len(receiver.received) == 2


def test_brands_take_turns_in_what_is_due(engine: Engine, receiver: Receiver) -> None:
    """The first of each before the second of any, and those that do not fail before those that do."""
    ours, theirs = hooks_of(engine, receiver, 4), hooks_of(engine, receiver, 1)
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE webhooks SET failing_since = now() WHERE webhook_id = :id"), {"id": ours[0].webhook_id}
        )
        due = deliveries.due(connection, most=10_000)
    brand_ids = [row.brand_id for row in due if row.brand_id in (ours[0].brand_id, theirs[0].brand_id)]
    assert sorted(brand_ids[:2]) == sorted([ours[0].brand_id, theirs[0].brand_id])
    assert brand_ids[2:] == [ours[0].brand_id] * 3
    places = {row.webhook_id: place for place, row in enumerate(due)}
    assert places[ours[0].webhook_id] > max(places[hook.webhook_id] for hook in (*ours[1:], *theirs))
