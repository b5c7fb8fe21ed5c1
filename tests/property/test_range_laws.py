"""Laws of byte ranges: whatever is asked, what comes out lies in the object and is what was asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from origin.ranges import resolve_range

SIZES = st.integers(0, 300)
SPECS = st.one_of(
    st.tuples(st.integers(0, 400), st.integers(0, 400)).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    st.integers(0, 400).map(lambda first: f"{first}-"),
    st.integers(0, 400).map(lambda length: f"-{length}"),
)


def asked_bytes(spec: str, size: int) -> set[int]:
    """The positions that a valid spec asks for, told byte by byte."""
    first, _, last = spec.partition("-")
    if not first:
        return {position for position in range(size) if position >= size - int(last)}
    return {position for position in range(size) if int(first) <= position and (not last or position <= int(last))}


@given(SIZES, st.lists(SPECS, min_size=1, max_size=32))
def test_ranges_are_exactly_the_bytes_that_were_asked_for_each_once(size: int, specs: list[str]) -> None:
    ranges = resolve_range("bytes=" + ",".join(specs), size)
    assert ranges is not None
    positions = [position for each in ranges for position in range(each.start, each.stop)]
    assert len(positions) == len(set(positions))
    assert set(positions) == set().union(*(asked_bytes(spec, size) for spec in specs))


@given(st.binary(min_size=1, max_size=300), st.integers(1, 50))
def test_consecutive_ranges_reassemble_the_object(body: bytes, step: int) -> None:
    pieces = b""
    for start in range(0, len(body), step):
        (piece,) = resolve_range(f"bytes={start}-{start + step - 1}", len(body)) or ()
        pieces += body[piece.start : piece.stop]
    assert pieces == body


@given(SIZES, st.text(max_size=60))
def test_no_header_leads_outside_the_object(size: int, text: str) -> None:
    for header in (text, f"bytes={text}"):
        for each in resolve_range(header, size) or ():
            assert 0 <= each.start < each.stop <= size
