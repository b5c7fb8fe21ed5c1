"""XML text of an element tree whose long lists are written at once: a film of hours names tens of thousands of segments, and a
tree with an element for each takes seconds to write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

_INDENT = "  "
_IN_ATTRIBUTES = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#09;"}
_SPECIAL = re.compile('[&<>"\n\r\t]')


class Written(ET.Element):
    """Elements that are text already, with their margins. It stands in a tree for all of them."""

    def __init__(self, lines: str) -> None:
        super().__init__("written")
        self.lines = lines


def render_xml(root: ET.Element) -> bytes:
    """``root`` as indented UTF-8 with a declaration and a line feed at the end."""
    return "\n".join(["<?xml version='1.0' encoding='utf-8'?>", *_lines(root, ""), ""]).encode()


def _lines(element: ET.Element, margin: str) -> Iterator[str]:
    if isinstance(element, Written):
        if element.lines:
            yield element.lines
        return
    attributes = "".join(f' {name}="{escape(value, _IN_ATTRIBUTES)}"' for name, value in element.attrib.items())
    opening = f"{margin}<{element.tag}{attributes}"
    if element.text:
        yield f"{opening}>{escape(element.text)}</{element.tag}>"
    elif len(element):
        yield f"{opening}>"
        for child in element:
            yield from _lines(child, margin + _INDENT)
        yield f"{margin}</{element.tag}>"
    else:
        yield f"{opening} />"


def render_run(tag: str, attribute: str, values: Sequence[str | int], margin: str) -> str:
    """Empty elements of one name side by side, with one attribute each, a line for each."""
    if not values:
        return ""
    before, after = f'{margin}<{tag} {attribute}="', '" />'
    texts = list(map(str, values))
    whole = f"{after}\n{before}".join(texts)
    if _SPECIAL.search("".join(texts)):
        whole = f"{after}\n{before}".join(escape(text, _IN_ATTRIBUTES) for text in texts)
    return f"{before}{whole}{after}"
