"""A web server with one file, which answers as a test wants it to: cut off, without ranges, changed, elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class FileServer:
    """``cuts``: after how many bytes of content each answer breaks off; when they are used up, none does. ``stall``: an
    answer that was cut stays open in silence instead. ``redirects``: where each of the first answers leads."""

    content: bytes
    ranges: bool = True
    chunked: bool = False
    etag: str | None = '"one"'
    status: int = 200
    cuts: list[int] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    stall: bool = False
    before_answer: Callable[[FileServer], None] = lambda _: None
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/films/My%20film.mp4?token=secret"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            asked = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            self.asked.append(asked | {":path": head[0].split()[1]})
            self.before_answer(self)
            await self._answer(asked, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, asked: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if self.redirects:
            writer.write(
                f"HTTP/1.1 302 Found\r\nLocation: {self.redirects.pop(0)}\r\nContent-Length: 0\r\n\r\n".encode()
            )
            return
        start, status, fields = 0, self.status, dict(self.fields)
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
        unchanged = asked.get("if-range") in (None, self.etag)
        if wanted and self.ranges and unchanged and status == 200:
            start, status = int(wanted[1]), 206
            fields["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        if self.etag:
            fields["ETag"] = self.etag
        body = self.content[start:]
        fields |= {"Transfer-Encoding": "chunked"} if self.chunked else {"Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode())
        cut = self.cuts.pop(0) if self.cuts else None
        sent = body if cut is None else body[:cut]
        if self.chunked:
            writer.write(
                b"".join(b"%x\r\n%s\r\n" % (len(sent[i : i + 50]), sent[i : i + 50]) for i in range(0, len(sent), 50))
            )
            writer.write(b"0\r\n\r\n" if cut is None else b"")
        else:
            writer.write(sent)
        await writer.drain()
        if cut is not None and self.stall:
            await asyncio.sleep(3600)


@asynccontextmanager
async def serving(files: FileServer) -> AsyncIterator[FileServer]:
    server = await asyncio.start_server(files.serve, "127.0.0.1", files.port)
    files.port = server.sockets[0].getsockname()[1]
    try:
        yield files
    finally:
        server.close()
