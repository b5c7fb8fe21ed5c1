"""Fixtures that several rooms share. The services themselves are in `tests/services.py`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.services import S3Endpoint, postgres, seaweedfs

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("fishladder", deadline=None)
# A change is judged by the same examples every time; people's own runs go on looking for new ones.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "fishladder")


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
