"""What tus 1.0.0 asks of a server, as 57 numbered statements, and proof that each of them has a test.

A test says in its name which statements it is about: ``test_39_…``, ``test_15_17_…``, ``test_26_to_29_…``. M: the
specification's MUST; S: its SHOULD; D: the specification is silent and we decided.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from storage.catalogue import Concat
from storage.ids import TenantId, UploadId
from tests.builders import a_new_upload
from tests.uploads import ask, create, metadata, patch, run, small_app
from upload_api.app import Ports

ASSERTIONS = {
    1: "M every answer has Tus-Resumable: 1.0.0, errors too",
    2: "M a changing request of another version: 412 with Tus-Version, and it is not processed",
    3: "D HEAD may leave the version out, but not say another",
    4: "M OPTIONS ignores the client's version; tells versions, extensions, limit and checksum algorithms",
    5: "M X-HTTP-Method-Override replaces the method",
    6: "M HEAD tells the offset always, the length if known, and is never cached; no body",
    7: "S HEAD of an unknown upload: 404 without an offset",
    8: "S PATCH of another content type: 415, nothing stored",
    9: "M PATCH at another offset: 409, nothing changed",
    10: "D an offset that is no count of bytes: 400",
    11: "M PATCH: 204, and the new offset is the old one plus what was stored",
    12: "S PATCH of an unknown upload: 404",
    13: "S a connection that breaks leaves every byte that arrived",
    14: "D more bytes than the length: 413; the offset never exceeds it",
    15: "D an empty PATCH at the end of a complete upload: 204",
    16: "M a chunked body is taken",
    17: "M an empty PATCH before the end: 204, offset unchanged",
    18: "S a silent sender is let go and its bytes are kept",
    19: "M a creation says exactly one of Upload-Length and Upload-Defer-Length: 1",
    20: "M 201 with the Location",
    21: "M a length over the limit: 413",
    22: "M a length of zero is complete at once, once",
    23: "M metadata comes back as it was sent",
    24: "M keys without a value are fine; anything malformed: 400",
    25: "S metadata reaches no other header, no key and no path",
    26: "M a deferred length is told as such until it is set",
    27: "M a deferred length is set once, not below the offset, not over the limit",
    28: "M without a length the limit holds while bytes come",
    29: "M the length may come with an empty PATCH after the last byte",
    30: "M a body that comes with the creation counts only if its type is ours",
    31: "M a whole file in the creation completes it",
    32: "M when that body breaks, the upload is usable all the same",
    33: "S «100 Continue» is said only after all checks",
    34: "M Upload-Expires in the answers about unfinished uploads",
    35: "S an expired upload: 410; an unknown one: 404",
    36: "M only unfinished uploads expire",
    37: "D every byte moves the expiry on",
    38: "M sha1 is among the algorithms",
    39: "M unknown algorithm or malformed value: 400; mismatch: 460; nothing kept",
    40: "M a match: 204",
    41: "D the same for bytes that come with the creation",
    42: "D a checksummed body that breaks off leaves nothing",
    43: "M a checksum may come in the announced trailer, of a server that hands trailers out",
    44: "M DELETE: 204, then 410 or 404, and the store is empty",
    45: "M DELETE stops a running PATCH",
    46: "D a complete upload cannot be ended: 403",
    47: "M partial uploads are uploads, and say so",
    48: "M a final upload joins partial ones in the given order, repetitions included",
    49: "M PATCH of a final upload: 403",
    50: "S HEAD of a final upload has no offset until it is joined",
    51: "M only partial uploads of the same server and tenant can be joined",
    52: "M unfinished partial uploads can be joined, as it is announced",
    53: "M a partial upload becomes no video; a final one becomes one, once",
    54: "M the limit is on the sum",
    55: "D a second request takes over from the first, or has 423; never two writers",
    56: "D a PATCH at the offset that HEAD told is taken",
    57: "D an offset never goes back, killed servers included",
}
TESTS = Path(__file__).parents[2]
FILES = (*sorted((TESTS / "unit" / "upload_api").glob("test_*.py")), TESTS / "integration" / "test_upload_server.py")
_NUMBERS = re.compile(r"test_((?:\d\d_(?:to_)?)+)")


def numbers_in(name: str) -> Iterator[int]:
    """``test_08_to_10_15_words`` → 8, 9, 10, 15."""
    match = _NUMBERS.match(name)
    for group in re.findall(r"\d\d_to_\d\d|\d\d", match[1] if match else ""):
        first, _, last = group.partition("_to_")
        yield from range(int(first), int(last or first) + 1)


def numbers_with_a_test() -> set[int]:
    trees = (ast.parse(file.read_text()) for file in FILES)
    names = (node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef))
    return {number for name in names for number in numbers_in(name)}


def test_numbers_are_read_from_names() -> None:
    assert list(numbers_in("test_08_to_10_15_a_name_with_12_in_it")) == [8, 9, 10, 15]
    assert list(numbers_in("test_a_name")) == []


def test_every_assertion_has_a_test_and_every_number_an_assertion() -> None:
    assert list(ASSERTIONS) == list(range(1, 58))
    assert numbers_with_a_test() == set(ASSERTIONS)


# --- those that no other test is about -------------------------------------------------------------------------------


def test_11_the_new_offset_is_the_old_one_and_what_was_stored(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        url, offset = (await create(app, 300)).fields["location"], 0
        for size in (1, 63, 64, 65, 7):
            reply = await patch(app, url, offset, b"x" * size)
            offset += size
            assert (reply.status, reply.fields["upload-offset"]) == (204, str(offset))

    run(test())


def test_25_metadata_reaches_no_other_header_and_no_key(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        evil = "../../etc/passwd\r\nX-Evil: yes"
        created = await create(app, 100, filename=evil, title=evil)
        url = created.fields["location"]
        await patch(app, url, 0, b"x" * 70)
        head = await ask(app, "HEAD", url)
        told = {**created.fields, **head.fields}
        assert told.pop("upload-metadata") == metadata(filename=evil, title=evil)
        assert not any("evil" in f"{name}: {value}".lower() or "passwd" in value for name, value in told.items())
        keys = [info.key for info in ports.blobs.list("")]
        assert keys
        assert not any("passwd" in key for key in keys)

    run(test())


def test_37_every_body_moves_the_expiry_on(ports: Ports) -> None:
    async def test() -> None:
        app = small_app(ports)
        created = await create(app, 100)
        upload_id = UploadId(created.fields["location"].rpartition("/")[2])
        before = ports.catalogue.upload(upload_id).expires_at_ms
        await asyncio.sleep(0.01)
        reply = await patch(app, created.fields["location"], 0, b"x")
        assert "upload-expires" in reply.fields
        assert ports.catalogue.upload(upload_id).expires_at_ms > before

    run(test())


def test_51_another_tenants_partial_upload_is_not_there(ports: Ports) -> None:
    async def test() -> None:
        foreign = ports.catalogue.create_upload(
            a_new_upload(tenant=TenantId("somebody-else"), concat=Concat.PARTIAL, concat_raw="partial")
        )
        reply = await ask(small_app(ports), "POST", "/files", {"upload-concat": f"final;/files/{foreign.id}"})
        assert (reply.status, reply.problem["code"]) == (404, "not_found")

    run(test())
