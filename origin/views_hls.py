"""Views of HLS playlists, line by line: they are ours, so they are as `packager.hls` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from origin.wishes import Edge, Wishes, kept

_ATTRIBUTE = re.compile(r'([A-Z0-9\-]+)=("[^"]*"|[^",]*)')
_URI = re.compile(r'URI="([^"]*)"')
_GROUPS = ("AUDIO", "SUBTITLES", "VIDEO")
_STREAM, _IFRAMES, _MEDIA = "#EXT-X-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:", "#EXT-X-MEDIA:"
_QUERYPARAM_VERSION = 11
_TOKEN = "?token={$token}"  # noqa: S105 - a variable of HLS, not a token


@dataclass(slots=True)
class _Line:
    """A line of a playlist; ``uri``: the line after a stream's tag."""

    text: str
    uri: str | None = None

    def attribute(self, name: str) -> str | None:
        return next((value.strip('"') for key, value in _ATTRIBUTE.findall(self.text) if key == name), None)

    def set(self, name: str, value: str) -> None:
        """Replace or add an attribute; ``value`` as it is written."""
        pattern = re.compile(rf'((?:^#[^:]*:|,){name}=)("[^"]*"|[^",]*)')
        if pattern.search(self.text):
            self.text = pattern.sub(lambda match: match[1] + value, self.text, count=1)
        else:
            self.text += f",{name}={value}"


def hls_view(text: str, wishes: Wishes) -> str:
    """The playlist ``text``, multivariant or media, as ``wishes`` want it."""
    lines = _limited(list(_read(text)), wishes)
    if wishes.language is not None:
        _prefer(lines, wishes.language)
    if wishes.edges:
        lines = list(_steered(lines, wishes.edges))
    if wishes.carries_token:
        _carry_token(lines)
    return "\n".join(_written(_with_tags(lines, wishes))) + "\n"


def _read(text: str) -> Iterator[_Line]:
    lines = iter(text.splitlines())
    for line in lines:
        yield _Line(line, next(lines, None) if line.startswith(_STREAM) else None)


def _written(lines: list[_Line]) -> Iterator[str]:
    for line in lines:
        yield line.text
        if line.uri is not None:
            yield line.uri


def _limited(lines: list[_Line], wishes: Wishes) -> list[_Line]:
    gone: set[int] = set()
    for tag in (_STREAM, _IFRAMES):
        streams = [(index, line) for index, line in enumerate(lines) if line.text.startswith(tag)]
        heights = [_height(line.attribute("RESOLUTION")) for _, line in streams]
        codecs = [line.attribute("CODECS") or "" for _, line in streams]
        stay = kept(heights, codecs, wishes)
        gone |= {index for (index, _), stays in zip(streams, stay, strict=True) if not stays}
    return [line for index, line in enumerate(lines) if index not in gone]


def _height(resolution: str | None) -> int | None:
    return int(resolution.partition("x")[2]) if resolution else None


def _prefer(lines: list[_Line], language: str) -> None:
    """Make the audio in ``language`` the default of its group, where there is one."""
    audio = [line for line in lines if line.text.startswith(_MEDIA) and line.attribute("TYPE") == "AUDIO"]
    wanted = next((line for line in audio if _speaks(line.attribute("LANGUAGE"), language)), None)
    if wanted is None:
        return
    for line in audio:
        line.set("DEFAULT", "YES" if line is wanted else "NO")


def _speaks(spoken: str | None, wanted: str) -> bool:
    """Whether a language tag is ``wanted`` or a kind of it (RFC 4647, basic filtering)."""
    have = (spoken or "").lower()
    return have == wanted or have.startswith(f"{wanted}-")


def _steered(lines: list[_Line], edges: tuple[Edge, ...]) -> Iterator[_Line]:
    """Every stream once for each edge, with whole addresses and groups of its own."""
    for line in lines:
        if not line.text.startswith((_STREAM, _IFRAMES, _MEDIA)):
            yield line
            continue
        for edge in edges:
            yield _at_edge(line, edge)


def _at_edge(line: _Line, edge: Edge) -> _Line:
    moved = _Line(line.text, f"{edge.folder}/{line.uri}" if line.uri is not None else None)
    uri = moved.attribute("URI")
    if uri is not None:
        moved.set("URI", f'"{edge.folder}/{uri}"')
    if moved.text.startswith(_MEDIA):
        moved.set("GROUP-ID", f'"{moved.attribute("GROUP-ID")}-{edge.name}"')
        return moved
    moved.set("PATHWAY-ID", f'"{edge.name}"')
    for group in _GROUPS:
        name = moved.attribute(group)
        if name is not None:
            moved.set(group, f'"{name}-{edge.name}"')
    return moved


def _carry_token(lines: list[_Line]) -> None:
    for line in lines:
        if line.uri is not None:
            line.uri += _TOKEN
        if line.text.startswith("#"):
            line.text = _URI.sub(lambda match: f'URI="{match[1]}{_TOKEN}"', line.text)
        elif line.text:
            line.text += _TOKEN


def _with_tags(lines: list[_Line], wishes: Wishes) -> list[_Line]:
    """``lines`` with the tags that the wishes add, after the header."""
    added: list[_Line] = []
    if wishes.carries_token:
        added.append(_Line('#EXT-X-DEFINE:QUERYPARAM="token"'))
    if wishes.edges:
        uri = "/steering.json" + (_TOKEN if wishes.carries_token else "")
        added.append(_Line(f'#EXT-X-CONTENT-STEERING:SERVER-URI="{uri}",PATHWAY-ID="{wishes.edges[0].name}"'))
    if wishes.start_ms is not None:
        added.append(_Line(f"#EXT-X-START:TIME-OFFSET={wishes.start_ms / 1000:.3f},PRECISE=YES"))
        lines = [line for line in lines if not line.text.startswith("#EXT-X-START:")]
    for line in lines:
        if wishes.carries_token and line.text.startswith("#EXT-X-VERSION:"):
            version = max(int(line.text.partition(":")[2]), _QUERYPARAM_VERSION)
            line.text = f"#EXT-X-VERSION:{version}"
    header = 2 if len(lines) > 1 and lines[1].text.startswith("#EXT-X-VERSION:") else 1
    return [*lines[:header], *added, *lines[header:]]
