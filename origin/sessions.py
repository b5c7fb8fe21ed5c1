"""Reports of players folded into plays: startup, stalls, bitrates, switches, failures. Pure but for what it remembers of
each session, which is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from origin.cmcd import Cmcd, ObjectType, State
from storage.ids import VideoId
from storage.plays import Heard

_SESSIONS = 50_000
_LONGEST_MS = 10 * 60 * 1000
_LONGEST_FILM_MS = 7 * 24 * 3600 * 1000
_PICTURES = (ObjectType.VIDEO, ObjectType.MUXED)
_STANDING = (State.REBUFFERING, State.WAITING)


@dataclass(slots=True)
class _Session:
    """``has_started``: how long that took is known; ``has_played``: it was said that it plays. ``told_durations``: the
    player says how long it stalled; ``told_states``: it says when it stands."""

    starting_ts_ms: int | None = None
    has_started: bool = False
    has_played: bool = False
    standing_since_ts_ms: int | None = None
    told_durations: bool = False
    told_states: bool = False
    last_kbps: int | None = None
    media_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report with what we know ourselves: when it came, and what was sent for it."""

    video: VideoId
    at_ms: int
    sent_bytes: int
    cmcd: Cmcd


class Sessions:
    def __init__(self, entries: int = _SESSIONS) -> None:
        self._entries = entries
        self._known: OrderedDict[tuple[VideoId, str], _Session] = OrderedDict()

    def knows(self, video: VideoId, name: str) -> bool:
        return (video, name) in self._known

    def hear(self, report: Report) -> Heard | None:
        """What a report adds to its play; None for one that names no session."""
        cmcd = report.cmcd
        if cmcd.session is None:
            return None
        session = self._session(report.video, cmcd.session)
        stalls, stalled_ms = _stalls(session, cmcd)
        media_ms, switches = _media(session, cmcd)
        return Heard(
            video=report.video,
            session=cmcd.session,
            at_ms=report.at_ms,
            startup_ms=_startup(session, cmcd),
            stalls=stalls,
            stalled_ms=stalled_ms,
            media_ms=media_ms,
            weighted_kbps_ms=media_ms * (cmcd.br_kbps or 0),
            switches=switches,
            failures=int(cmcd.failed),
            position_ms=min(cmcd.pt_ms if cmcd.pt_ms is not None else session.media_ms, _LONGEST_FILM_MS),
            requests=int(cmcd.event is None),
            sent_bytes=report.sent_bytes,
        )

    def _session(self, video: VideoId, name: str) -> _Session:
        session = self._known.setdefault((video, name), _Session())
        self._known.move_to_end((video, name))
        if len(self._known) > self._entries:
            self._known.popitem(last=False)
        return session


def _startup(session: _Session, cmcd: Cmcd) -> int | None:
    """How long it took to the first picture: from the player's changes of state, where it tells of its start, for players
    mean different things by ``msd``; else as it says."""
    if session.has_started:
        return None
    if cmcd.state is State.STARTING and session.starting_ts_ms is None:
        session.starting_ts_ms = cmcd.ts_ms
    if session.starting_ts_ms is not None:
        if cmcd.state is not State.PLAYING or cmcd.ts_ms is None:
            return None
        session.has_started = True
        return min(max(cmcd.ts_ms - session.starting_ts_ms, 0), _LONGEST_MS)
    if cmcd.msd_ms is not None and cmcd.msd_ms <= _LONGEST_MS:
        session.has_started = True
        return cmcd.msd_ms
    return None


def _stalls(session: _Session, cmcd: Cmcd) -> tuple[int, int]:
    """How many stalls there were since the last report, and for how long: from the changes of state of a player that tells
    when it stands, else from the durations that it tells, else from requests of a player that ran dry."""
    if cmcd.state is not None and cmcd.ts_ms is not None:
        session.told_states = session.told_states or cmcd.state in _STANDING
        session.has_played = session.has_played or cmcd.state is State.PLAYING
        if session.told_states:
            return _stalls_of_states(session, cmcd.state, cmcd.ts_ms)
    if session.told_states:
        return 0, 0
    if cmcd.bsd_ms:
        session.told_durations = True
        return len(cmcd.bsd_ms), min(sum(cmcd.bsd_ms), _LONGEST_MS)
    return int(cmcd.starved and not session.told_durations), 0


def _stalls_of_states(session: _Session, state: State, ts_ms: int) -> tuple[int, int]:
    if not session.has_played:
        return 0, 0  # what a player waits for before it ever played is its start
    since = session.standing_since_ts_ms
    session.standing_since_ts_ms = (since or ts_ms) if state in _STANDING else None
    if since is not None and state is State.PLAYING:
        return 1, min(max(ts_ms - since, 0), _LONGEST_MS)
    return 0, 0


def _media(session: _Session, cmcd: Cmcd) -> tuple[int, int]:
    """Media time that was asked for, and whether its bitrate is another than before."""
    if cmcd.event is not None or cmcd.object_type not in _PICTURES or cmcd.d_ms is None:
        return 0, 0
    switched = session.last_kbps is not None and cmcd.br_kbps is not None and cmcd.br_kbps != session.last_kbps
    if cmcd.br_kbps is not None:
        session.last_kbps = cmcd.br_kbps
    media_ms = min(cmcd.d_ms, 60_000)
    session.media_ms += media_ms
    return media_ms, int(switched)


def summed(heard: list[Heard]) -> tuple[Heard, ...]:
    """One increment for each play: many reports, few writes."""
    sums: dict[tuple[VideoId, str], Heard] = {}
    for one in heard:
        key = (one.video, one.session)
        known = sums.get(key)
        sums[key] = one if known is None else _plus(known, one)
    return tuple(sums.values())


def _plus(one: Heard, other: Heard) -> Heard:
    return Heard(
        video=one.video,
        session=one.session,
        at_ms=max(one.at_ms, other.at_ms),
        startup_ms=one.startup_ms if one.startup_ms is not None else other.startup_ms,
        stalls=one.stalls + other.stalls,
        stalled_ms=one.stalled_ms + other.stalled_ms,
        media_ms=one.media_ms + other.media_ms,
        weighted_kbps_ms=one.weighted_kbps_ms + other.weighted_kbps_ms,
        switches=one.switches + other.switches,
        failures=one.failures + other.failures,
        position_ms=max(one.position_ms, other.position_ms),
        requests=one.requests + other.requests,
        sent_bytes=one.sent_bytes + other.sent_bytes,
    )
