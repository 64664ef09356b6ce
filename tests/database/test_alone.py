"""What holds for all of a brand is saved before a settling or after it, never beside it, on clocks that run, too."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from issuance import audit
from issuance.catalog import rules
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.engine import reminders
from issuance.tenancy import clock
from issuance.webhooks import webhooks
from tests.database.beside import Beside
from tests.database.clubs import Club, ago


@pytest.fixture
def club(new_club: Callable[..., Club]) -> Iterator[Club]:
    """A club whose clock runs; its thirty memberships fell due some days ago, and share nothing yet."""
    club = new_club(since=ago(40), now=ago(34), roll_over=False)
    club.sign_ups = ago(36)
    club.sign_up(30, ago(35)[:10])
    club.let_run()
    yield club
    club.engine.dispose()


def save(club: Club, **says: str) -> UUID:
    """Another rule of the club's type."""
    said = {"coupon_id": "tea", "coupon_name": "More tea", "issue_on_signup": True, **says}
    new = NewCreditRule.model_validate({"membership_type_id": club.type_id, **said})
    with transaction(club.engine, club.brand_id) as connection:
        saved: UUID = rules.create(connection, club.brand_id, new)["id"]
    return saved


def test_a_webhook_that_comes_beside_a_sweep_is_told_of_leads(club: Club, beside: Beside) -> None:
    """Those who are being swept are looked at again: the sweep did not know of its leads."""

    def listen() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            made = webhooks.create(connection, club.brand_id, "https://club.example", ["credit.expiring"], ["P7D"])
            reminders.begin(connection, club.brand_id, made)

    with beside.amid_a_settling(listen) as waited:
        club.sweep()
    assert beside.errors == []
    assert waited == [True]
    club.sweep()
    lead = club.value("SELECT max(expires_at) - interval '7 days' FROM credits")
    assert club.value("SELECT max(due_at) FROM schedules WHERE size > 0") == lead


def test_a_rule_of_before_that_comes_beside_a_sweep_is_for_the_swept_too(club: Club, beside: Beside) -> None:
    """Also for those who come to share a schedule by that sweep."""
    with beside.amid_a_settling(lambda: save(club, effective_from=ago(36)[:10])) as waited:
        club.sweep()
    assert beside.errors == []
    assert waited == [True]
    assert club.value("SELECT count(*) FROM schedules WHERE shared AND size = 30") == 1
    club.sweep()
    assert club.value("SELECT count(*) FROM credits WHERE coupon_name = 'More tea'") >= 30


def test_who_signs_up_after_a_rule_was_saved_has_its_credit_at_once(
    club: Club, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever settles them while the rule is not committed yet waits for it: its instant lies before the sign-up."""
    waited: list[bool] = []
    new: list[UUID] = []

    def settle_beside(*given: object, **said: object) -> None:
        club.sign_ups = ago(0)
        new.extend(club.accept(1, ago(0)[:10]))
        waited.append(beside.begin(lambda: club.settle(new)))

    with monkeypatch.context() as patch:
        patch.setattr(audit, "write", settle_beside)  # at its end, before its commit
        rule_id = save(club)
    beside.end()
    assert beside.errors == []
    assert waited == [True]
    found = club.rows("SELECT membership_id FROM credits WHERE credit_rule_id = :rule", rule=rule_id)
    assert found == [(new[0],)]


def test_whoever_wants_the_brand_alone_comes_to_it(club: Club) -> None:
    """However many settle one beside the other, so that somebody holds it all the time."""
    ends = threading.Event()
    settled: list[int] = []

    def settle(after: float) -> None:
        time.sleep(after)
        for number in range(20):
            if ends.is_set():
                break
            with transaction(club.engine, club.brand_id) as connection:
                clock.read(connection, club.brand_id, lock=True)
                time.sleep(0.3)
            settled.append(number)

    settling = [threading.Thread(target=settle, args=(after,)) for after in (0, 0.1, 0.2)]
    for one in settling:
        one.start()
    time.sleep(0.3)
    with transaction(club.engine, club.brand_id) as connection:
        clock.lock_alone(connection, club.brand_id)
        before = len(settled)
        ends.set()
    for one in settling:
        one.join()
    assert before < 30, "it did not wait until they were over"
