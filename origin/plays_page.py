"""The page about how a video was played: plain HTML with plots as SVG, a pure function of the plays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from storage.plays import Play

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 160, 44, 22
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem;color:#1b2733}"
    "h1{font-size:1.3rem}h2{font-size:1rem;margin:1.6rem 0 .2rem}dl{display:flex;gap:2rem;flex-wrap:wrap}"
    "dt{color:#566;font-size:.85rem}dd{margin:0;font-size:1.4rem}svg{width:100%;height:auto}"
    "svg text{font-size:11px;fill:#566}.bar{fill:#2f7f95}.line{fill:none;stroke:#2f7f95;stroke-width:2}"
    ".second{stroke:#c05a2b}p{color:#566}"
    "@media(prefers-color-scheme:dark){body{background:#12181d;color:#dde6ea}svg text,p,dt{fill:#9ab;color:#9ab}}"
)


def render_page(video: str, views: int, plays: Sequence[Play], days: int) -> str:
    """All of the page. ``views``: ever; ``plays``: of the last ``days``."""
    startups = sorted(play.startup_ms for play in plays if play.startup_ms is not None)
    whole_ms = sum(play.media_ms + play.stalled_ms for play in plays)
    stalled = sum(play.stalled_ms for play in plays) / whole_ms if whole_ms else 0.0
    facts = {
        "Views, ever": f"{views:,}",
        f"Plays in {days} days": f"{len(plays):,}",
        "Start-up, median": _ms(percentile(startups, 50)),
        "Start-up, 95 of 100": _ms(percentile(startups, 95)),
        "Time stalled": f"{stalled:.2%}",
        "Failures": f"{sum(1 for play in plays if play.failures):,}",
    }
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    plots = (
        "".join(f"<h2>{escape(title)}</h2>{svg}" for title, svg in _plots(plays) if svg)
        or "<p>No player has reported a play yet.</p>"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Plays of {escape(video)}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><h1>Plays of {escape(video)}</h1><dl>{listed}</dl>{plots}</body></html>"
    )


def percentile(ordered: Sequence[int], share: int) -> int | None:
    """The nearest-rank percentile of ordered values."""
    return ordered[min(len(ordered) - 1, -(-len(ordered) * share // 100) - 1)] if ordered else None


def _ms(value: int | None) -> str:
    return "not told" if value is None else f"{value / 1000:.2f} s"


def _plots(plays: Sequence[Play]) -> list[tuple[str, str]]:
    if not plays:
        return []
    return [
        ("Plays over time", _over_time(plays)),
        ("Start-up over time, seconds: median and 95 of 100", _startups(plays)),
        ("Time stalled over time, percent", _stalling(plays)),
        ("Bitrates, Mbit/s", _bitrates(plays)),
        ("Where viewers stop: who still watches, percent", _survival(plays)),
    ]


def _by_day(plays: Sequence[Play]) -> dict[str, list[Play]]:
    days: defaultdict[str, list[Play]] = defaultdict(list)
    for play in sorted(plays, key=lambda play: play.started_at_ms):
        days[datetime.fromtimestamp(play.started_at_ms / 1000, UTC).strftime("%m-%d")].append(play)
    return days


def _over_time(plays: Sequence[Play]) -> str:
    days = _by_day(plays)
    return bars(list(days), [len(of_day) for of_day in days.values()])


def _startups(plays: Sequence[Play]) -> str:
    told = {
        day: ordered
        for day, of_day in _by_day(plays).items()
        if (ordered := sorted(play.startup_ms for play in of_day if play.startup_ms is not None))
    }
    medians = [(percentile(ordered, 50) or 0) / 1000 for ordered in told.values()]
    slowest = [(percentile(ordered, 95) or 0) / 1000 for ordered in told.values()]
    return lines(list(told), medians, slowest) if told else ""


def _stalling(plays: Sequence[Play]) -> str:
    shares = {}
    for day, of_day in _by_day(plays).items():
        whole_ms = sum(play.media_ms + play.stalled_ms for play in of_day)
        shares[day] = 100 * sum(play.stalled_ms for play in of_day) / whole_ms if whole_ms else 0.0
    return lines(list(shares), list(shares.values()))


def _bitrates(plays: Sequence[Play]) -> str:
    counted = Counter(round(play.mean_kbps / 500) for play in plays if play.mean_kbps)
    if not counted:
        return ""
    steps = range(min(counted), max(counted) + 1)
    return bars([f"{step / 2:g}" for step in steps], [counted[step] for step in steps])


def _survival(plays: Sequence[Play]) -> str:
    ends = sorted(play.position_ms for play in plays)
    longest = ends[-1]
    if not longest:
        return ""
    steps = [longest * step // 40 for step in range(41)]
    shares = [100 * sum(end >= at for end in ends) / len(ends) for at in steps]
    return lines([f"{at / 1000:.0f} s" for at in steps], shares)


def bars(labels: Sequence[str], values: Sequence[float]) -> str:
    top = max(values) or 1
    step = (_WIDTH - _LEFT) / len(values)
    drawn = "".join(
        f'<rect class="bar" x="{_LEFT + index * step + 1:.1f}" y="{_y(value, top):.1f}" '
        f'width="{max(step - 2, 1):.1f}" height="{_HEIGHT - _BOTTOM - _y(value, top):.1f}">'
        f"<title>{escape(label)}: {value:g}</title></rect>"
        for index, (label, value) in enumerate(zip(labels, values, strict=True))
    )
    return _svg(drawn, labels, top, step / 2)


def lines(labels: Sequence[str], *series: Sequence[float]) -> str:
    top = max(max(values) for values in series) or 1
    step = (_WIDTH - _LEFT - 8) / max(len(labels) - 1, 1)
    drawn = ""
    for index, values in enumerate(series):
        points = " ".join(f"{_LEFT + at * step:.1f},{_y(value, top):.1f}" for at, value in enumerate(values))
        if len(values) == 1:
            points += f" {_WIDTH - 8},{_y(values[0], top):.1f}"
        drawn += f'<polyline class="line{" second" if index else ""}" points="{points}"/>'
    return _svg(drawn, labels, top, 0)


def _y(value: float, top: float) -> float:
    return (_HEIGHT - _BOTTOM - 8) * (1 - value / top) + 8


def _svg(drawn: str, labels: Sequence[str], top: float, shift: float) -> str:
    step = (_WIDTH - _LEFT) / max(len(labels), 1)
    every = max(1, len(labels) // 6)
    under = "".join(
        f'<text x="{_LEFT + index * step + shift:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>'
        for index, label in enumerate(labels)
        if index % every == 0
    )
    beside = f'<text x="{_LEFT - 6}" y="16" text-anchor="end">{top:.4g}</text>'
    beside += f'<text x="{_LEFT - 6}" y="{_HEIGHT - _BOTTOM}" text-anchor="end">0</text>'
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{drawn}{under}{beside}</svg>'
