"""schemathesis sends what the descriptions of our APIs allow, and more: tus's official OpenAPI description, and our own.

No answer is a 500, and none has a status or a shape that its description does not know, except what is listed here with
its reason. ``LADDER_TEST_EXAMPLES`` says how many requests are made of each operation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from storage.blobs.memory import MemoryBlobs
from storage.catalogue.sql import SqlCatalogue
from storage.jobs import SilentBell
from tests.shared import shared_folder
from tests.upload_server import UploadServer, running
from upload_api.app import Ports, UploadApiSettings, create_app

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("LADDER_TEST_EXAMPLES", "6"))
SEED = int(os.environ.get("LADDER_TEST_SEED", "7"))

# Statuses that tus's description lacks. By method: status → why it may come all the same.
TUS_LACKS: dict[str, dict[int, str]] = {
    "POST": {
        401: "keys are asked for",
        403: "a grant to upload is used up",
        404: "Upload-Concat names an upload that there is not",
        422: "what the body brings is no video",
        423: "another request writes",
        429: "too many requests",
        503: "a part we need does not answer",
        507: "the disk is full",
    },
    "PATCH": {
        413: "more bytes than the upload has room for; the description has it for POST only",
        422: "what came so far is no video",
        423: "another request writes",
        429: "too many requests",
        503: "a part we need does not answer",
        507: "the disk is full",
    },
    "HEAD": {423: "another request writes, or the server is about to stop: the only status that makes clients wait"},
    "DELETE": {
        403: "a complete upload is ended by deleting its video",
        404: "there is no such upload; the description has it for HEAD and PATCH only",
        410: "it was ended before",
        423: "another request writes",
    },
}

# Of our own description: what every route may answer beside what it lists.
OURS_LACKS: dict[int, str] = {
    400: "a request that is no HTTP that we would answer, or whose values contradict each other",
    401: "keys are asked for",
    403: "a key does not open that",
    405: "the fuzzer tries methods",
    413: "a body that is longer than any we would read",
    415: "another content type",
    429: "too many requests",
    507: "the disk is full",
}


@schemathesis.serializer("application/offset+octet-stream")
def as_it_is(_context: object, value: Any) -> Any:
    """A body of tus: bytes, which schemathesis makes but does not know how to send under this name."""
    return value if isinstance(value, bytes) else str(value).encode()


ENDLESS = {"/api/v1/events"}
"""Streams that go on until who listens leaves."""
NEEDS_A_FILE = {"PUT"}
"""Their bodies are files, which are described as bytes: what is in them is judged by tests of their own."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadServer]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


def told(description: dict[str, Any]) -> list[Any]:
    """Every operation of a description."""
    schema = schemathesis.openapi.from_dict(description)
    return [found.ok() for found in schema.get_all_operations()]


def try_out(operation: Any, base_url: str, allowed: dict[int, str], *, ids: dict[str, str]) -> None:
    """Requests by the description, each judged by its answer. ``ids``: values of path parameters that exist, which every
    other request takes."""
    count = 0

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: Case) -> None:
        nonlocal count
        count += 1
        if count % 2:
            case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
        answer = case.call(base_url=base_url, timeout=60)
        checks: list[Any] = [not_a_server_error, response_headers_conformance]
        if answer.status_code not in allowed:
            checks += [status_code_conformance, content_type_conformance, response_schema_conformance]
        case.validate_response(answer, checks=checks)

    send()


def tus_operations() -> list[Any]:
    folder = shared_folder()
    if folder is None:
        missing = "tus's OpenAPI description lies in the shared folder, which is not beside this checkout"
        return [pytest.param(None, marks=pytest.mark.skip(reason=missing), id="no description")]
    described = yaml.safe_load((folder / "conformance" / "tus-openapi3.yaml").read_text())
    # The description is mistaken in one place: it says of a PATCH's Upload-Offset what it means to say of Tus-Resumable.
    answer = described["paths"]["/files/{id}"]["patch"]["responses"][204]
    answer["headers"]["Upload-Offset"] = {"schema": {"$ref": "#/components/schemas/Upload-Offset"}}
    return [pytest.param(each, id=each.label) for each in told(described | {"servers": []})]


def own_operations() -> list[Any]:
    ports = Ports(catalogue=SqlCatalogue.in_memory(), blobs=MemoryBlobs(), bell=SilentBell())
    described = create_app(UploadApiSettings(), ports).openapi()
    ports.catalogue.close()
    return [each for each in told(described) if each.path not in ENDLESS and each.method.upper() not in NEEDS_A_FILE]


@pytest.mark.parametrize("operation", tus_operations())
def test_tus_is_spoken_as_it_is_described(server: UploadServer, operation: Any) -> None:
    made = httpx.post(f"{server.url}/files", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}, timeout=60)
    ids = {"id": made.headers["location"].rpartition("/")[2]}
    try_out(operation, server.url, TUS_LACKS.get(operation.method.upper(), {}), ids=ids)


@pytest.mark.parametrize("operation", own_operations(), ids=lambda operation: operation.label)
def test_our_api_is_as_it_describes_itself(server: UploadServer, operation: Any) -> None:
    made = httpx.post(f"{server.url}/files", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}, timeout=60)
    ids = {"upload_id": made.headers["location"].rpartition("/")[2], "video_id": made.headers["fishladder-video"]}
    try_out(operation, server.url, OURS_LACKS, ids=ids)
