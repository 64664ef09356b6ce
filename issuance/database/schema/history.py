"""All migrations of a folder, in the order of their numbers, as Alembic knows them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from issuance.database.revisions import MIGRATIONS, AppliedMigrations, number_of
from issuance.database.schema.steps import Steps

if TYPE_CHECKING:
    from alembic.config import Config


@dataclass(frozen=True)
class Part:
    """One of the two parts of a migration, a revision of Alembic's.

    `beside` is false where all processes have to be stopped while it runs.
    """

    revision: str
    release: str
    meaning: str
    steps: Steps
    beside: bool

    @property
    def number(self) -> int:
        return number_of(self.revision)

    @property
    def takes_away(self) -> bool:
        """Whether it is an *after*: older code does not work with what it leaves."""
        return self.revision.startswith("after_")


class History:
    """The migrations of a folder: those of this code, where none is named."""

    def __init__(self, folder: Path = MIGRATIONS) -> None:
        self.folder = folder

    @property
    def base(self) -> str:
        """The tables that stand at migration 1, as SQL."""
        return (self.folder / "base.sql").read_text(encoding="utf-8")

    def config(self, **attributes: object) -> "Config":
        """Alembic's configuration; `attributes` are for env.py and the steps."""
        from alembic.config import Config  # slow to import, and few commands need it

        config = Config(attributes=attributes)
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("version_locations", str(self.folder / "versions"))
        config.set_main_option("path_separator", "newline")
        return config

    @cached_property
    def parts(self) -> list[Part]:
        """All parts in the order of a full upgrade: release by release, what gives before what takes away."""
        from alembic.script import ScriptDirectory

        scripts = list(ScriptDirectory.from_config(self.config()).walk_revisions())
        modules = {script.revision: script.module for script in scripts}
        releases = {number_of(name): module.RELEASE for name, module in modules.items() if name.startswith("before_")}
        parts = [
            Part(
                revision=name,
                release=releases[number_of(name)],
                meaning=(module.__doc__ or "").strip().partition("\n")[0],
                steps=module.upgrade,
                beside=getattr(module, "BESIDE", True),
            )
            for name, module in modules.items()
        ]
        return sorted(parts, key=lambda part: (_in_order(part.release), part.takes_away, part.number))

    @property
    def newest(self) -> int:
        """The number of the newest migration."""
        return max(part.number for part in self.parts)

    @property
    def heads(self) -> tuple[str, str]:
        """What a database says of itself that has had all of it."""
        before, after = ([part for part in self.parts if part.takes_away is kind][-1] for kind in (False, True))
        return before.revision, after.revision

    def pending(self, done: AppliedMigrations) -> list[Part]:
        """What a database still has to be given that has had so much of it."""
        return [part for part in self.parts if part.number > (done.after if part.takes_away else done.before)]


def _in_order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
