"""The same requests to our server and to @tus/server of npm: they mean the same, except where this page says why not.

`docs/reference/tus-differences.md` tells of the differences; this test holds it to them, both ways.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.upload_server import running

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PEER = ROOT / "tests" / "bench" / "tus-server.mjs"
PAGE = ROOT / "docs" / "reference" / "tus-differences.md"
BYTES = {"Content-Type": "application/offset+octet-stream"}
TOLD = (
    "upload-offset",
    "upload-length",
    "upload-defer-length",
    "upload-metadata",
    "tus-resumable",
    "upload-concat",
    "cache-control",
)
"""Fields whose values are compared; of Location and Upload-Expires only whether they are there."""


@dataclass(frozen=True)
class Step:
    """A request: of the collection, or ``at`` the upload that the scenario's first step made."""

    method: str
    fields: dict[str, str | None] = field(default_factory=dict)
    body: bytes = b""
    at: str = "upload"


def create(length: str | None = "10", body: bytes = b"", **fields: str | None) -> Step:
    told: dict[str, str | None] = {"Upload-Length": length} if length is not None else {}
    return Step("POST", told | {name.replace("_", "-"): value for name, value in fields.items()}, body, at="collection")


def patch(offset: str | None, body: bytes = b"", **fields: str | None) -> Step:
    told: dict[str, str | None] = {"Upload-Offset": offset, **BYTES} if offset is not None else {**BYTES}
    return Step("PATCH", told | {name.replace("_", "-"): value for name, value in fields.items()}, body)


HEAD = Step("HEAD")
NAME = "filename " + base64.b64encode(b"film.mp4").decode()

SCENARIOS: dict[str, list[Step]] = {
    "a file in one PATCH": [create(), patch("0", b"0123456789"), HEAD],
    "a file in two": [create(), patch("0", b"01234"), HEAD, patch("5", b"56789"), HEAD],
    "with its creation": [create("5", b"01234", Content_Type=BYTES["Content-Type"]), HEAD],
    "a part with its creation": [create("10", b"01234", Content_Type=BYTES["Content-Type"]), HEAD],
    "a body of another type with its creation": [create("5", b"01234", Content_Type="text/plain"), HEAD],
    "an empty file": [create("0"), HEAD],
    "metadata": [create(Upload_Metadata=f"{NAME},empty"), HEAD],
    "metadata that is not Base64": [create(Upload_Metadata="filename !!!")],
    "metadata with a key twice": [create(Upload_Metadata=f"{NAME},{NAME}")],
    "no length": [create(None)],
    "two lengths": [create(Upload_Defer_Length="1")],
    "a length told later": [
        create(None, Upload_Defer_Length="1"), HEAD, patch("0", b"01234"), patch("5", b"56789", Upload_Length="10"), HEAD,
    ],
    "a length told later that changes": [
        create(None, Upload_Defer_Length="1"), patch("0", b"01234", Upload_Length="10"), patch("5", b"5", Upload_Length="11"),
    ],
    "deferring with another value": [create(None, Upload_Defer_Length="2")],
    "a negative length": [create("-1")],
    "a length that is no number": [create("ten")],
    "another offset": [create(), patch("3", b"012"), HEAD],
    "an offset that is no number": [create(), patch("none", b"012"), HEAD],
    "no offset": [create(), patch(None, b"012"), HEAD],
    "another content type": [create(), Step("PATCH", {"Upload-Offset": "0", "Content-Type": "text/plain"}, b"012"), HEAD],
    "no content type": [create(), Step("PATCH", {"Upload-Offset": "0", "Content-Type": None}, b"012"), HEAD],
    "more than the length": [create(), patch("0", b"0123456789more"), HEAD],
    "an empty PATCH": [create(), patch("0"), HEAD],
    "a PATCH after the end": [create("5"), patch("0", b"01234"), patch("5"), HEAD],
    "bytes after the end": [create("5"), patch("0", b"01234"), patch("5", b"x"), HEAD],
    "no version": [create(), Step("PATCH", {"Tus-Resumable": None, "Upload-Offset": "0", **BYTES}, b"012"), HEAD],
    "another version": [create(), Step("PATCH", {"Tus-Resumable": "0.2.2", "Upload-Offset": "0", **BYTES}, b"012"), HEAD],
    "HEAD without a version": [create(), Step("HEAD", {"Tus-Resumable": None})],
    "HEAD with another version": [create(), Step("HEAD", {"Tus-Resumable": "0.2.2"})],
    "an unknown upload": [Step("HEAD", at="nowhere"), Step("PATCH", {"Upload-Offset": "0", **BYTES}, b"x", at="nowhere")],
    "an unknown upload is ended": [Step("DELETE", at="nowhere")],
    "ending": [create(), Step("DELETE"), HEAD, patch("0", b"0"), Step("DELETE")],
    "ending a complete one": [create("5"), patch("0", b"01234"), Step("DELETE"), HEAD],
    "another method in a header": [create(), Step("POST", {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0", **BYTES}, b"012"), HEAD],
    "a method that there is not": [create(), Step("PUT", {}, b"012")],
    "what is offered": [Step("OPTIONS", at="collection")],
    "what is offered, asked with a wrong version": [Step("OPTIONS", {"Tus-Resumable": "9"}, at="collection")],
    "a checksum that matches": [create(), patch("0", b"01234", Upload_Checksum="sha1 EZBKTot39iQuLSiHBQI62tAKkxA="), HEAD],
    "a checksum that does not": [create(), patch("0", b"01234", Upload_Checksum="sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="), HEAD],
    "a part of another": [create("5", Upload_Concat="partial"), HEAD],
}  # fmt: skip

# What only we say, everywhere: not compared. The protocol allows all of it.
OURS_ALONE = {
    "upload-expires": "expiration is an extension that the other's folder store does not have switched on",
    "upload-offset": "a creation is told its offset, also when nothing came with it",
    "cache-control": "refusals are not to be cached either",
}
DIFFERENT = frozenset(
    {
        "no offset",
        "another content type",
        "no content type",
        "another version",
        "HEAD without a version",
        "HEAD with another version",
        "ending",
        "ending a complete one",
        "another method in a header",
        "a method that there is not",
        "a checksum that does not",
        "a part of another",
    }
)
"""Scenarios that are answered otherwise; the page says how and why."""


@dataclass(frozen=True)
class Said:
    status: int
    fields: dict[str, str]


def play(base: str, steps: list[Step]) -> list[Said]:
    """What ``base`` answers to each step."""
    said, url = [], f"{base}/files/there-is-none"
    with httpx.Client(timeout=60) as http:
        for step in steps:
            at = {"collection": f"{base}/files", "nowhere": f"{base}/files/unknown", "upload": url}[step.at]
            told = {"Tus-Resumable": "1.0.0"} | step.fields
            fields = {name: value for name, value in told.items() if value is not None}
            answer = http.request(step.method, at, headers=fields, content=step.body)
            url = answer.headers.get("location", url) if step.at == "collection" else url
            kept = {name: answer.headers[name] for name in TOLD if name in answer.headers}
            kept |= {name: "…" for name in ("location", "upload-expires") if name in answer.headers}
            said.append(Said(answer.status_code, kept))
    return said


@contextmanager
def peer(node: Path, node_modules: Path, folder: Path) -> Iterator[str]:
    folder.mkdir()
    process = subprocess.Popen(
        [str(node), str(PEER), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"LADDER_TEST_NODE_MODULES": str(node_modules)},
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def both(node: Path, node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(theirs, ours)"""
    if not (node_modules / "@tus" / "server").is_dir():
        pytest.skip("@tus/server is not installed: `make test` brings it")
    folder = tmp_path_factory.mktemp("both")
    (folder / "ours").mkdir()
    with peer(node, node_modules, folder / "theirs") as theirs, running(folder / "ours") as ours:
        yield theirs, ours.url


def differences(theirs: list[Said], ours: list[Said]) -> list[str]:
    """What is not said alike, as lines. Fields that only one of them sends count too."""
    lines = []
    for number, (one, other) in enumerate(zip(theirs, ours, strict=True), start=1):
        if one.status != other.status:
            lines.append(f"answer {number}: theirs {one.status}, ours {other.status}")
        both = sorted(one.fields.keys() | other.fields.keys())
        pairs = [(name, one.fields.get(name), other.fields.get(name)) for name in both]
        lines += [
            f"answer {number}: {name} theirs {left}, ours {right}"
            for name, left, right in pairs
            if left != right and not (left is None and name in OURS_ALONE)
        ]
    return lines


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_request_means_the_same(both: tuple[str, str], scenario: str) -> None:
    found = differences(*(play(base, SCENARIOS[scenario]) for base in both))
    assert (scenario in DIFFERENT) == bool(found), found


def test_the_page_tells_of_every_difference_and_of_no_other() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    assert sorted(rows) == sorted(DIFFERENT)
