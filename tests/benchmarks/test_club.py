"""What the benchmark measures on is what the product would have made."""

from collections import Counter
from collections.abc import Callable

from sqlalchemy import make_url, text

from benchmarks.club import LIVES, OPENED, Club
from issuance.database.connections import transaction
from issuance.laws import LAWS, look

MEMBERS = 3 * LIVES + 1


def new_club(fresh_database: Callable[[], str], **says: int) -> Club:
    url = make_url(fresh_database()).set(drivername="postgresql").render_as_string(hide_password=False)
    return Club(url, MEMBERS, **says)  # type: ignore[arg-type]


def test_copied_memberships_keep_every_law(fresh_database: Callable[[], str]) -> None:
    """Copies are as the product leaves its own: settled again on paper, nothing is missing and nothing too much."""
    club = new_club(fresh_database, rules=2)
    assert club.credits(OPENED.date()) == 2 * MEMBERS
    with transaction(club.engine, club.brand_id) as connection:
        offenders = [found for step in look(connection, club.brand_id, LAWS) for found in step.values() if found]
    assert offenders == []


def test_a_copy_shares_no_id_with_another(fresh_database: Callable[[], str]) -> None:
    """Every copy has a member, a guest, a sign-up and credits of its own, and the sign-up tells of that membership."""
    club = new_club(fresh_database)
    counts = {
        "members": "SELECT count(DISTINCT member_id) FROM memberships",
        "guests": "SELECT count(DISTINCT guest_id) FROM guests",
        "sign-ups": "SELECT count(DISTINCT event_id) FROM billing_events",
        "told": "SELECT count(*) FROM billing_events WHERE data->>'external_user_id' = 'member of ' || membership_id",
        "codes": "SELECT count(DISTINCT code) FROM credits",
    }
    assert {name: club.value(count) for name, count in counts.items()} == dict.fromkeys(counts, MEMBERS)


def test_lives_began_in_different_months(fresh_database: Callable[[], str]) -> None:
    """Members have as many different lives as are told, evenly shared."""
    club = new_club(fresh_database)
    with transaction(club.engine, club.brand_id) as connection:
        joined = Counter(connection.scalars(text("SELECT starts_on FROM memberships")))
    assert len(joined) == LIVES
    assert set(joined.values()) <= {MEMBERS // LIVES, MEMBERS // LIVES + 1}
