"""Fixtures that several rooms share. The services themselves are in `tests/services.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.services import S3Endpoint, postgres, seaweedfs

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("fishladder", deadline=None)
settings.load_profile("fishladder")


@pytest.fixture(scope="session")
def seaweedfs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    """One real S3 for the whole session; tests take a bucket each."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real PostgreSQL for the whole session; tests take a database each."""
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url
