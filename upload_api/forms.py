"""A form with a file in it (multipart/form-data, RFC 7578), taken apart as it comes: nothing but the fields before the
file is ever held."""

from __future__ import annotations

from collections import deque

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from storage.errors import InvalidRequest, TooLarge
from upload_api.errors import WrongContentType
from upload_api.tus.body import Body

MAX_FIELD_BYTES = 64 * 1024
"""All fields before the file together."""
MAX_FIELDS = 20


def boundary_of(content_type: str) -> bytes:
    """Raises `WrongContentType` for what is no form with files."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:  # RFC 2046 section 5.1.1
        raise WrongContentType("A form with a file is multipart/form-data with a boundary.")
    return boundary


class Form:
    """``fields``, once `open` has returned; then, as `upload_api.tus.body.Pieces`, the bytes of its one file.

    The file has come whole only when the form has: fields after it would come too late to be heeded, so they are
    refused. ``max_bytes``: of the file.
    """

    def __init__(self, body: Body, boundary: bytes, max_bytes: int) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.started = False
        """The file has."""
        self.ended = False
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._held = 0
        self._name = ""
        self._value = bytearray()
        self._header: list[bytearray] = []
        self._disposition = b""
        self._over = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_begin": self._begin_header,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open_part,
                "on_part_data": self._part_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    @property
    def disconnected(self) -> bool:
        return self._body.disconnected

    def trailer(self, name: str) -> str | None:
        return None

    async def open(self) -> None:
        """Read up to the file. Raises `InvalidRequest` for a form without one."""
        while not self.started:
            if self._over or self._body.ended or self._body.disconnected:
                raise InvalidRequest("There is no file in this form.")
            await self._feed()

    async def read(self) -> bytes:
        """The file's next piece. Raises `InvalidRequest` for what is no form any more, `TooLarge`."""
        if not self._pieces and not self.ended:
            if self._body.ended and not self._over:
                raise InvalidRequest("This form breaks off.")
            await self._feed()
        piece = self._pieces.popleft() if self._pieces else b""
        self.ended = self._over and self._body.ended and not self._pieces
        return piece

    async def _feed(self) -> None:
        data = await self._body.read()
        if self._over or not data:
            return  # what stands after a form is ignored (RFC 2046: the epilogue)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest("This is not a form that can be read.") from error

    # --- what the parser tells ---------------------------------------------------------------------------------------

    def _begin_part(self) -> None:
        if self.started:
            raise InvalidRequest("A form has one file here, and its fields come before it.")
        if len(self.fields) >= MAX_FIELDS:
            raise InvalidRequest("This form has too many fields.")
        self._disposition = b""
        self._value = bytearray()

    def _begin_header(self) -> None:
        self._header = [bytearray(), bytearray()]

    def _end_header(self) -> None:
        name, value = self._header
        if bytes(name).lower() == b"content-disposition":
            self._disposition = bytes(value)

    def _open_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            self.filename = options[b"filename"].decode("utf-8", "replace")
            self.started = True

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self.started:
            self._size += end - start
            if self._size > self._max_bytes:
                raise TooLarge("This file is too large for a form; upload it over tus.", max_bytes=self._max_bytes)
            self._pieces.append(data[start:end])
            return
        self._held += end - start
        if self._held > MAX_FIELD_BYTES:
            raise InvalidRequest("The fields of this form are too long.")
        self._value += data[start:end]

    def _end_part(self) -> None:
        if not self.started:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _end(self) -> None:
        self._over = True
