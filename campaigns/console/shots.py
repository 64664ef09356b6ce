"""Pictures of every page: phone and desk, light and dark."""

from itertools import product
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from campaigns.console.chromium import DESK, PHONE, Watched, chromium
from campaigns.console.pages import addresses
from issuance import database
from issuance.people import people, sign_ins
from issuance.settings import settings


def shoot(site: str, brand_id: UUID, folder: Path, only: str = "") -> list[str]:
    """Take them into a folder; what went wrong, a line each. `only`: pages whose path has this in it."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = database.engine_for(settings().database_url)
    with database.transaction(engine, brand_id) as connection:
        found = addresses(connection, brand_id)
        token = sign_ins.make_link(connection, people.add(connection, brand_id, people.OPERATOR, "admin"))
    wrong: list[str] = []
    with chromium() as browser:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{site}/console/link/{token}")
        page.get_by_role("button", name="Go in").click()
        kept = context.storage_state()
        for (width, height), scheme in product((PHONE, DESK), ("light", "dark")):
            context = browser.new_context(
                storage_state=kept,
                viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type] # one of the two
            )
            watched = Watched(context.new_page(), f"{urlsplit(site).scheme}://{urlsplit(site).netloc}")
            for path, address in found.items():
                if address is not None and only in path:
                    wrong += [f"{path} at {width} px: {line}" for line in watched.open(address)]
                    name = path.removeprefix("/console/").replace("{brand_id}/", "") or "start"
                    kind = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-") or "start"
                    watched.page.screenshot(path=folder / f"{kind}.{width}.{scheme}.png", full_page=True)
            context.close()
    return wrong
