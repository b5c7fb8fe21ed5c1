"""An origin in this process, over objects in memory and a catalogue that knows only what is published."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import BinaryIO

import httpx
import pytest

from origin.app import create_app
from origin.ports import OriginPorts
from origin.settings import OriginSettings
from storage.blobs.memory import MemoryBlobs
from storage.content_types import content_type_of
from storage.errors import FishladderError, NotFound
from storage.grants import Visibility
from storage.ids import AssetId, VideoId
from storage.jobs import PublishedName
from storage.keys import hash12, versioned_name

VIDEO = VideoId("0123456789abcdef")
ASSET = AssetId("a-fedcba9876543210")


class FakeCatalogue:
    """Published names in a dict. ``failure`` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.names: dict[str, PublishedName] = {}
        self.asset = ASSET
        self.asked: Counter[str] = Counter()
        self.failure: FishladderError | None = None
        self.visible: Visibility | None = None

    def published(self, video: VideoId, name: str) -> tuple[AssetId, PublishedName | None]:
        self.asked[name] += 1
        if self.failure is not None:
            raise self.failure
        if video != VIDEO or not self.names:
            raise NotFound
        return self.asset, self.names.get(name)

    def visibility(self, video: VideoId) -> Visibility | None:
        return self.visible

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure


class CountingBlobs(MemoryBlobs):
    """Counts reads; while ``gate`` is closed they wait."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()
        self.failure: FishladderError | None = None

    def open_sized(self, key: str) -> tuple[int, BinaryIO]:
        self.reads[key] += 1
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        return super().open_sized(key)

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure


@dataclass(slots=True)
class World:
    settings: OriginSettings = field(default_factory=OriginSettings)
    catalogue: FakeCatalogue = field(default_factory=FakeCatalogue)
    blobs: CountingBlobs = field(default_factory=CountingBlobs)
    closed: list[str] = field(default_factory=list)

    def publish(self, name: str, body: bytes, *, immutable: bool = False) -> str:
        """Publish ``body`` under a public name; the object's key."""
        key = f"{ASSET}/{versioned_name(name, hash12(body))}"
        self.blobs.put(key, body)
        self.catalogue.names[name] = PublishedName(
            name=name, key=key, content_type=content_type_of(name), size_bytes=len(body), immutable=immutable
        )
        return key

    def store_segment(self, body: bytes, *, rendition: str = "720p", number: int = 0) -> str:
        """Store a segment; its path below ``/v/{id}/``."""
        path = f"{rendition}/{number}-{hash12(body)}.m4s"
        self.blobs.put(f"{ASSET}/{path}", body)
        return path

    def ports(self) -> OriginPorts:
        return OriginPorts(catalogue=self.catalogue, blobs=self.blobs, close=lambda: self.closed.append("closed"))

    def client(self) -> httpx.AsyncClient:
        app = create_app(self.settings, self.ports())
        # No Accept-Encoding by default: httpx would ask for gzip and unpack it again.
        headers = {"accept-encoding": "identity"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://origin", headers=headers)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def world() -> World:
    made = World()
    made.publish("master.m3u8", MULTIVARIANT)
    return made


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as made:
        yield made


MULTIVARIANT = b'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS="avc1.64001f"\n240p/media.m3u8\n' * 4
