"""pretix: bulk vouchers, by the code behind its own page for them. It issues only; nothing is expired."""

import os
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from urllib.parse import urlsplit

from benchmarks.peers import NoMigrations

#: Vouchers made before those that are measured.
WARM_UP = 20
#: What follows from a voucher, webhooks and mails, is left to workers, as in any installation; none runs here.
CONFIGURATION = """
[pretix]
instance_name=benchmark
url=http://127.0.0.1
datadir={datadir}

[database]
backend=postgresql
name={name}
user={user}
password={password}
host={host}
port={port}

[celery]
broker={redis}
backend={redis}

[django]
secret=of a benchmark, and long enough for anything that may be asked of it
"""


def set_up() -> None:
    url = urlsplit(os.environ["PEER_DATABASE_URL"])
    folder = Path(mkdtemp(prefix="pretix-"))
    told = {"name": url.path.lstrip("/"), "user": url.username, "password": url.password, "host": url.hostname}
    configuration = folder / "pretix.cfg"
    configuration.touch(0o600)
    configuration.write_text(
        CONFIGURATION.format(datadir=folder, port=url.port, redis=os.environ["PEER_REDIS_URL"], **told)
    )
    os.environ["PRETIX_CONFIG_FILE"] = str(configuration)
    os.environ["DJANGO_SETTINGS_MODULE"] = "pretix.settings"
    import django

    django.setup()


def prepare() -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.utils.timezone import now
    from django_scopes import scopes_disabled
    from pretix.base.models import Event, Organizer, User

    settings.MIGRATION_MODULES = NoMigrations()
    call_command("migrate", run_syncdb=True, verbosity=0)
    with scopes_disabled():
        organizer = Organizer.objects.create(name="Club", slug="club")
        event = Event.objects.create(organizer=organizer, name="Tea", slug="tea", date_from=now(), currency="EUR")
        event.items.create(name="Tea", default_price=0)
        User.objects.create_user("nobody@example.org", "of a benchmark")


def issue(count: int) -> float:
    """Makes `count` vouchers; the seconds it took, codes included."""
    from django.db import transaction
    from django_scopes import scope
    from pretix.base.models import Organizer, User, Voucher
    from pretix.base.models.vouchers import generate_codes
    from pretix.control.forms.vouchers import VoucherBulkForm
    from pretix.control.views.vouchers import VoucherBulkCreate

    organizer = Organizer.objects.get(slug="club")
    with scope(organizer=organizer):
        event = organizer.events.get(slug="tea")
        began = time.monotonic()
        codes = generate_codes(organizer, count)
        form = VoucherBulkForm(
            {
                "codes": "\n".join(codes),
                "itemvar": str(event.items.get().pk),
                "max_usages": "1",
                "min_usages": "1",
                "price_mode": "none",
            },
            initial={},
            instance=Voucher(event=event, code=None),
            event=event,
        )
        if not form.is_valid():
            raise SystemExit(str(form.errors))
        view = VoucherBulkCreate()
        view.request = SimpleNamespace(event=event, user=User.objects.get())
        with transaction.atomic():
            view.async_form_valid(SimpleNamespace(request=SimpleNamespace(called_directly=True)), form)
        seconds = time.monotonic() - began
        assert event.vouchers.filter(code__in=codes).count() == count
    return seconds


if __name__ == "__main__":
    set_up()
    if sys.argv[1] == "prepare":
        prepare()
    else:
        issue(WARM_UP)
        print(issue(int(sys.argv[1])), flush=True)
