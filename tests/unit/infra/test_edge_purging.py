"""What events make of what caches hold."""

from __future__ import annotations

from typing import Any

import pytest

from infra.edge.purging import tags_of
from storage.catalogue import Event
from storage.ids import DEFAULT_TENANT, VideoId


@pytest.mark.parametrize(
    ("kind", "data", "tag"),
    [
        ("state", {"state": "deleted"}, "v1"),
        ("state", {"state": "ready"}, "v1/manifest"),
        ("state", {"state": "encoding"}, None),
        ("visibility", {"visibility": "signed"}, "v1"),
        ("visibility", {"visibility": None}, "v1"),
        ("title", {"title": "Other"}, None),
    ],
)
def test_what_may_no_longer_be_seen_by_everybody_goes_whole(kind: str, data: dict[str, Any], tag: str | None) -> None:
    event = Event(id=1, tenant=DEFAULT_TENANT, video=VideoId("v1"), kind=kind, data=data, at_ms=0)
    assert tags_of(event) == tag
