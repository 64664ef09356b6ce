"""django-oscar: a voucher set, as its dashboard's form saves it. It issues only; nothing is expired."""

import os
import sys
import time
from datetime import timedelta
from urllib.parse import urlsplit

import django
from django.conf import settings

from benchmarks.peers import NoMigrations

#: Vouchers made before those that are measured.
WARM_UP = 20


def set_up() -> None:
    from oscar import INSTALLED_APPS
    from oscar import defaults as oscar

    url = urlsplit(os.environ["PEER_DATABASE_URL"])
    settings.configure(
        **{name: getattr(oscar, name) for name in dir(oscar) if name.startswith("OSCAR_")},
        SECRET_KEY="of a benchmark",  # noqa: S106 - opens nothing
        INSTALLED_APPS=[*INSTALLED_APPS],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.path.lstrip("/"),
                "USER": url.username,
                "PASSWORD": url.password,
                "HOST": url.hostname,
                "PORT": url.port,
            }
        },
        HAYSTACK_CONNECTIONS={"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
        SITE_ID=1,
        USE_TZ=True,
        MIGRATION_MODULES=NoMigrations(),
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        ROOT_URLCONF="oscar.config",
    )
    django.setup()


def issue(count: int) -> float:
    """Makes a set of `count` vouchers; the seconds it took."""
    from django.utils.timezone import now
    from oscar.apps.dashboard.vouchers.forms import VoucherSetForm
    from oscar.apps.offer.models import Benefit, Condition, ConditionalOffer, Range

    everything = Range.objects.create(name=f"All {time.monotonic()}", includes_all_products=True)
    offer = ConditionalOffer.objects.create(
        name=f"Tea {time.monotonic()}",
        offer_type=ConditionalOffer.VOUCHER,
        benefit=Benefit.objects.create(range=everything, type=Benefit.PERCENTAGE, value=100),
        condition=Condition.objects.create(range=everything, type=Condition.COUNT, value=1),
    )
    form = VoucherSetForm(
        {
            "name": f"Tea {time.monotonic()}",
            "description": "Tea",
            "code_length": 16,
            "start_datetime": now().isoformat(),
            "end_datetime": (now() + timedelta(days=31)).isoformat(),
            "count": count,
            "usage": "Single use",
            "offers": [offer.pk],
        }
    )
    began = time.monotonic()
    if not form.is_valid():
        raise SystemExit(str(form.errors))
    form.save()
    return time.monotonic() - began


if __name__ == "__main__":
    set_up()
    if sys.argv[1] == "prepare":
        from django.core.management import call_command

        call_command("migrate", run_syncdb=True, verbosity=0)
    else:
        issue(WARM_UP)
        print(issue(int(sys.argv[1])), flush=True)
