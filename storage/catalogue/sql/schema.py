"""Which schema a database has, and how it gets ours. The history itself is `storage.catalogue.migrations`; there is no
ini file. Alembic is loaded by whoever migrates: servers that only ask whether somebody did are smaller without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from storage.catalogue.sql.engine import Database, open_engine
from storage.catalogue.sql.viewing_tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).parent.parent / "migrations"
_MIGRATION_LOCK = 0x66697369
_VERSION = sa.table("alembic_version", sa.column("version_num"))  # Alembic's own


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` to ``revision``, whole or not at all. Processes that do so at the same time wait
    for each other. Raises `CatalogueUnavailable`."""
    from alembic import command

    _run(url, command.upgrade, revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database at ``url`` back to an older ``revision`` (``base``: empty)."""
    from alembic import command

    _run(url, command.downgrade, revision)


def _run(url: str, what: Callable[[Config, str], Any], revision: str) -> None:
    # SQLite alters a table by making it anew, which foreign keys would forbid half-way.
    database = Database(open_engine(url, foreign_keys=False, patient=True))
    try:
        with database.write() as tx:
            if tx.connection.dialect.name == "postgresql":
                tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config = _config()
            config.attributes["connection"] = tx.connection
            what(config, revision)
    finally:
        database.close()


def create_schema(engine: sa.Engine) -> None:
    """The schema at head in an empty database, without walking through its history."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with engine.begin() as connection:
        metadata.create_all(connection)
        MigrationContext.configure(connection).stamp(ScriptDirectory.from_config(_config()), "head")


def schema_is_current(bind: sa.Engine | sa.Connection) -> bool:
    """True if the database is at the head that this version of the code was written for."""
    if isinstance(bind, sa.Engine):
        with bind.connect() as connection:
            return schema_is_current(connection)
    if not sa.inspect(bind).has_table(_VERSION.name):
        return False
    return [row.version_num for row in bind.execute(sa.select(_VERSION))] == [head()]


@cache
def head() -> str:
    """The newest revision. Each file of the history is named by its own, and they are in order."""
    return max(path.stem for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    # Alembic reads options with interpolation: a percent sign in the path must not be taken for one.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
