from __future__ import annotations

import pytest

from storage.catalogue.sql import SqlCatalogue
from tests.uploads import memory_ports
from upload_api.app import Ports


@pytest.fixture
def ports() -> Ports:
    return memory_ports()


@pytest.fixture
def catalogue(ports: Ports) -> SqlCatalogue:
    assert isinstance(ports.catalogue, SqlCatalogue)
    return ports.catalogue
