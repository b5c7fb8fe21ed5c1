"""The catalogue in each of its forms. Whoever asks for ``catalogue`` runs once over every one of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.catalogue.migrations import migrate
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.engine import open_engine
from storage.catalogue.sql.tables import metadata


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_url: str) -> str:
    migrate(postgres_url)
    return postgres_url


@pytest.fixture
def empty_postgres_url(migrated_postgres_url: str) -> str:
    """At head, and nothing in it."""
    engine = open_engine(migrated_postgres_url)
    with engine.begin() as connection:
        tables = ", ".join(metadata.tables)
        connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    engine.dispose()
    return migrated_postgres_url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At head, and nothing in it. To be copied: all of the history for every test takes longer than the tests do."""
    path = tmp_path_factory.mktemp("sqlite") / "catalogue.db"
    migrate(f"sqlite:///{path}")
    assert [each.name for each in path.parent.iterdir()] == [path.name], "it is not all in one file"
    return path


@pytest.fixture(
    params=["sqlite file", "sqlite memory", pytest.param("postgresql", marks=pytest.mark.integration)],
)
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlCatalogue]:
    """An empty catalogue at head."""
    match request.param:
        case "sqlite file":
            shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "catalogue.db")
            opened = SqlCatalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}")
        case "sqlite memory":
            opened = SqlCatalogue.in_memory()
        case _:
            opened = SqlCatalogue.open(request.getfixturevalue("empty_postgres_url"))
    yield opened
    opened.close()
