"""Requests that nobody would send: ranges, paths, tokens, conditions and reports out of a seeded generator.

Whatever comes: no 5xx, no byte of another video, none of what is not published. `LADDER_TEST_FUZZ_REQUESTS` says how many
(`make fuzz-origin`: 50,000), `LADDER_TEST_FUZZ_SEED` from which seed.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from origin.app import create_app
from origin.ports import OriginPorts
from origin.settings import OriginSettings
from storage.blobs.memory import MemoryBlobs
from storage.content_types import content_type_of
from storage.errors import NotFound
from storage.grants import KeyRing, PlaybackGrant, Visibility, sign_grant
from storage.ids import AssetId, VideoId
from storage.jobs import PublishedName
from storage.keys import hash12, versioned_name

REQUESTS = int(os.environ.get("LADDER_TEST_FUZZ_REQUESTS", "4000"))
SEED = int(os.environ.get("LADDER_TEST_FUZZ_SEED", "20261122"))
KEYS = KeyRing.parse(("k1:" + "ab" * 32,))
OPEN, SIGNED = VideoId("0pen"), VideoId("s1gned")
SECRET = b"SECRET-OF-THE-STORE"
MULTIVARIANT = (
    b'#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360,CODECS="avc1.64001e"\n1080p/media.m3u8\n'
    * 9
)


@dataclass(slots=True)
class Site:
    """Two videos whose every object carries its video's mark, and things in the store that are nobody's."""

    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    names: dict[tuple[str, str], PublishedName] = field(default_factory=dict)
    paths: dict[str, dict[str, bytes]] = field(default_factory=lambda: {OPEN: {}, SIGNED: {}})

    def __post_init__(self) -> None:
        for video in (OPEN, SIGNED):
            mark = f"mark-of-{video}-".encode()
            for number, size in enumerate((1, 100, 5_000, 90_000)):
                body = (mark * (size // len(mark) + 1))[:size] + bytes([number])
                path = f"1080p/{number}-{hash12(body)}.m4s"
                self.blobs.put(f"a-{video}/{path}", body)
                self.paths[video][path] = body
            for name, body in (("master.m3u8", MULTIVARIANT + b"#" + mark), ("poster.jpg", mark * 20)):
                key = f"a-{video}/{versioned_name(name, hash12(body))}"
                self.blobs.put(key, body)
                self.names[(video, name)] = PublishedName(
                    name=name, key=key, content_type=content_type_of(name), size_bytes=len(body)
                )
                self.paths[video][name] = body
        for key in ("sources/0pen", "tails/0pen/1-2", "a-0pen/notes.txt", "a-0pen/hidden.m3u8", "secret.json"):
            self.blobs.put(key, SECRET)

    def published(self, video: VideoId, name: str) -> tuple[AssetId, PublishedName | None]:
        if video not in self.paths:
            raise NotFound
        return AssetId(f"a-{video}"), self.names.get((video, name))

    def visibility(self, video: VideoId) -> Visibility:
        return Visibility.SIGNED if video == SIGNED else Visibility.PUBLIC

    def check(self) -> None:
        pass


@dataclass(slots=True)
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    may_see_signed: bool


class Generator:
    def __init__(self, site: Site, seed: int):
        self._random = random.Random(seed)
        self._site = site
        self._tokens = {
            "good": sign_grant(PlaybackGrant(video=SIGNED, expires_at_s=4_000_000_000), KEYS),
            "foreign": sign_grant(PlaybackGrant(video=OPEN, expires_at_s=4_000_000_000), KEYS),
            "ended": sign_grant(PlaybackGrant(video=SIGNED, expires_at_s=1), KEYS),
            "elsewhere": sign_grant(
                PlaybackGrant(video=SIGNED, expires_at_s=4_000_000_000, network="192.0.2.0/24"), KEYS
            ),
        }

    def ask(self) -> Asked:
        rng = self._random
        path, query, sees = self._tokened(self._path())
        headers = [
            *self._maybe(0.5, "range", self._range),
            *self._maybe(0.2, "if-range", self._tag),
            *self._maybe(0.2, "if-none-match", self._tag),
            *self._maybe(0.3, "accept-encoding", lambda: rng.choice(["gzip", "gzip;q=0", "br, *;q=.1", "é", ",;=,"])),
            *self._maybe(0.1, "fishladder-edge", lambda: rng.choice(["", "guess", "é"])),
            *self._maybe(0.1, "cmcd-session", self._report),
            *self._maybe(0.1, "x-forwarded-for", lambda: rng.choice(["192.0.2.1", "::1", "x", ",,"])),
        ]
        method = rng.choices(["GET", "HEAD", "POST", "OPTIONS", "PUT", "BREW"], [80, 8, 6, 3, 2, 1])[0]
        return Asked(method, path, query, tuple(headers), self._report().encode() * rng.randrange(3), sees)

    def _maybe(self, share: float, name: str, value: Any) -> list[tuple[str, str]]:
        return [(name, value())] if self._random.random() < share else []

    def _path(self) -> str:
        rng = self._random
        video = rng.choices([OPEN, SIGNED, "nobody", self._noise(8)], [5, 5, 1, 1])[0]
        known = [*self._site.paths[OPEN], *self._site.paths[SIGNED]]
        name = rng.choices(
            [
                rng.choice(known),
                self._changed(rng.choice(known)),
                rng.choice(
                    ["../sources/0pen", "..%2f..%2fsecret.json", "%2e%2e/sources/0pen", "hidden.m3u8", "notes.txt", ""]
                ),
                rng.choice(
                    [
                        "//etc/passwd",
                        "1080p/../../secret.json",
                        "1080p\\..\\x.jpg",
                        "\x00.jpg",
                        "cmcd",
                        "download/source",
                    ]
                ),
                self._noise(30),
            ],
            [24, 3, 3, 3, 1],
        )[0]
        start = rng.choices(["/v/", "/authorize/v/", "//v/", "/plays/", "/", ""], [60, 2, 1, 1, 1, 1])[0]
        return f"{start}{video}/{name}"

    def _tokened(self, path: str) -> tuple[str, str, bool]:
        rng = self._random
        kind = rng.choices(
            ["none", "good", "foreign", "ended", "elsewhere", "changed", "noise"], [6, 5, 2, 2, 2, 3, 1]
        )[0]
        query = rng.choices(["", self._view(), "CMCD=" + self._report(), self._crowd()], [80, 20, 40, 1])[0]
        if kind == "none":
            return path, query, False
        own = {**self._tokens, "changed": self._changed(self._tokens["good"]), "noise": self._noise(40)}
        token = own[kind]
        sees = token == self._tokens["good"]
        if rng.random() < 0.5:
            return f"/t/{token}{path}", query, sees
        return path, f"{query}&token={token}" if query else f"token={token}", sees

    def _view(self) -> str:
        rng = self._random
        name = rng.choice(["max_height", "codec", "language", "start"])
        return f"{name}=" + rng.choice(["1", "720", "-1", "avc1", "de", "1e400", "nan", "%00", self._noise(9)])

    def _crowd(self) -> str:
        return "&".join(f"field{number}=1" for number in range(self._random.choice([2, 50, 51, 300])))

    def _range(self) -> str:
        rng = self._random
        numbers = ["", "0", "1", "99", "4999", "5000", "89999", "9" * 30, "-1", "x"]
        specs = [f"{rng.choice(numbers)}-{rng.choice(numbers)}" for _ in range(rng.choice([1, 1, 1, 2, 3, 40]))]
        unit = rng.choices(["bytes=", "items=", "bytes", "Bytes = ", "bytes=,"], [20, 1, 1, 1, 1])[0]
        return unit + ",".join(specs)

    def _tag(self) -> str:
        rng = self._random
        body = rng.choice(list(self._site.paths[OPEN].values()))
        return rng.choice(
            [
                "*",
                '"x"',
                f'"{hash12(body)}"',
                f'W/"{hash12(body)}"',
                "Wed, 21 Oct 2026 07:28:00 GMT",
                '"',
                self._noise(9),
            ]
        )

    def _report(self) -> str:
        rng = self._random
        keys = ["sid", "br", "d", "ot", "bs", "sta", "ts", "msd", "bsd", "pt", "v", self._noise(3)]
        values = ['="s"', "=1", "=(1 2)", "=v", "", "=(", '="', "=" + "9" * 40, "=-1", self._noise(5)]
        return ",".join(rng.choice(keys) + rng.choice(values) for _ in range(rng.randrange(8)))

    def _changed(self, text: str) -> str:
        place = self._random.randrange(len(text))
        return text[:place] + self._random.choice("aA0/.%-_é\x00") + text[place + self._random.randrange(2) :]

    def _noise(self, most: int) -> str:
        return "".join(
            chr(self._random.choice([*range(32, 127), 0, 10, 13, 233, 0x2028]))
            for _ in range(self._random.randrange(most))
        )


async def asked_of(app: Any, asked: Asked) -> Answer:
    answer = Answer()

    async def receive() -> Any:
        return {"type": "http.request", "body": asked.body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message["body"]

    scope = {
        "type": "http",
        "method": asked.method,
        "path": asked.path,
        "query_string": asked.query.encode("utf-8", "replace"),
        "headers": [(name.encode(), value.encode("utf-8")) for name, value in asked.headers],
        "client": ("127.0.0.1", "4711"),
    }
    await app(scope, receive, send)
    return answer


def judge(site: Site, asked: Asked, answer: Answer) -> None:
    told = (asked, answer.status, answer.headers, answer.body[:200])
    assert 200 <= answer.status < 500, told
    body = (
        gzip.decompress(answer.body)
        if answer.headers.get("content-encoding") == "gzip" and answer.body
        else answer.body
    )
    assert SECRET not in body, told
    assert b"a-0pen" not in body and b"a-s1gned" not in body and b"sources" not in body, told  # noqa: PT018 - one law
    if b"mark-of-s1gned" in body:
        assert asked.may_see_signed, told
    if b"mark-of-" in body:
        of_signed = b"mark-of-s1gned" in body
        assert f"/v/{SIGNED if of_signed else OPEN}/" in asked.path, told
        assert not (of_signed and b"mark-of-0pen" in body), told
    if answer.status >= 400:
        problem = json.loads(answer.body) if asked.method != "HEAD" else {"status": answer.status}
        assert problem["status"] == answer.status, told
    if "content-length" in answer.headers and asked.method != "HEAD":
        assert int(answer.headers["content-length"]) == len(answer.body), told
    if answer.status == 206:
        judge_part(site, asked, answer)


def judge_part(site: Site, asked: Asked, answer: Answer) -> None:
    """Every part is what the object has there."""
    video, _, name = asked.path.partition("/v/")[2].partition("/")
    whole = site.paths[video][name]
    if "content-range" in answer.headers:
        parts = [(answer.headers["content-range"], answer.body)]
    else:
        head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
        message: Any = BytesParser(policy=HTTP).parsebytes(head + answer.body)
        parts = [(part["content-range"], part.get_payload(decode=True)) for part in message.iter_parts()]
    assert parts
    if b"max_height" in asked.query.encode() or any(
        view in asked.query for view in ("codec=", "language=", "start=", "token=")
    ):
        return  # a view of a manifest has bytes of its own
    for content_range, body in parts:
        span, _, size = content_range.removeprefix("bytes ").partition("/")
        first, _, last = span.partition("-")
        assert (int(size), body) == (len(whole), whole[int(first) : int(last) + 1]), asked


async def fuzz() -> dict[int, int]:
    site = Site()
    app = create_app(OriginSettings(playback_keys=KEYS), OriginPorts(catalogue=site, blobs=site.blobs))
    generator = Generator(site, SEED)
    counted: dict[int, int] = {}
    for _ in range(REQUESTS):
        asked = generator.ask()
        answer = await asked_of(app, asked)
        judge(site, asked, answer)
        counted[answer.status] = counted.get(answer.status, 0) + 1
    return counted


def test_no_request_breaks_the_origin_or_gets_what_is_not_its_own() -> None:
    counted = asyncio.run(fuzz())
    print(sorted(counted.items()))
    # The generator reaches what it is to try.
    assert {200, 204, 206, 304, 400, 403, 404, 405, 416} <= set(counted)
