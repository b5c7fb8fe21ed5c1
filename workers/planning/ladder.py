"""From a source's picture to the ladder of rungs. Pure."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from storage.media.encoders import encoder_of
from storage.media.ladder import Ladder, Rung
from storage.media.source import VideoTrack
from storage.media.time import snap_frame_rate
from workers.planning.policy import LadderPolicy, RungRule


def plan_ladder(video: VideoTrack, policy: LadderPolicy) -> Ladder:
    """Rungs from the lowest up to the source's own size (or the largest that devices decode). Never upscales.

    Steps count the short side, so that a portrait film gets the same ladder as a landscape one; widths follow the
    display aspect. A source smaller than the lowest step has a single rung of its own size.
    """
    frame_rate = snap_frame_rate(video.frame_rate)
    width, height = video.display_size
    top = min(_even_below(min(width, height)), policy.largest_short_side)
    steps = [rule.short_side for rule in policy.rules if rule.short_side <= policy.closest_step * top]
    if not steps and top > policy.rules[0].short_side:
        steps = [policy.rules[0].short_side]  # near as it is: players want a choice of two (Apple 9.9)
    sides = [*steps, top]
    rungs = tuple(
        _rung(side, (width, height), frame_rate, policy, is_lowest=number == 0) for number, side in enumerate(sides)
    )
    fast_start = _fast_start(rungs, policy)
    others = encoder_of(policy.hardware)
    return Ladder(
        # Playback starts on what any CPU makes: nobody waits there for a free session of a graphics card.
        rungs=tuple(rung if rung.name in fast_start else replace(rung, encoder=others) for rung in rungs),
        frame_rate=frame_rate,
        gop_frames=max(1, round(policy.gop_seconds * frame_rate)),
        fast_start=fast_start,
        preset=policy.preset,
    )


def _rung(side: int, display: tuple[int, int], frame_rate: Fraction, policy: LadderPolicy, *, is_lowest: bool) -> Rung:
    width, height = _scaled(side, display)
    rate = rate_for(width * height, policy.rules)
    if frame_rate >= policy.fast_frame_rate:
        rate = rate * policy.fast_rate_factor
    rate_bps = round(rate / 10_000) * 10_000
    return Rung(
        name=f"{side}p",
        width=width,
        height=height,
        crf=min(policy.rules, key=lambda rule: abs(rule.short_side - side)).crf,
        max_rate_bps=min(rate_bps, policy.floor_rate_bps) if is_lowest else rate_bps,
    )


def rate_for(pixels: int, rules: tuple[RungRule, ...]) -> Fraction:
    """The cap for a picture of this area: between two rules by straight line, in proportion above the last one, and
    never less than the first. So a square film does not pay for the width that it does not have."""
    if pixels <= rules[0].pixels:
        return Fraction(rules[0].max_rate_bps)
    for lower, upper in pairwise(rules):
        if pixels <= upper.pixels:
            share = (pixels - lower.pixels) / (upper.pixels - lower.pixels)
            return lower.max_rate_bps + share * (upper.max_rate_bps - lower.max_rate_bps)
    return rules[-1].max_rate_bps * Fraction(pixels) / rules[-1].pixels


def _scaled(side: int, display: tuple[int, int]) -> tuple[int, int]:
    """Even width and height with ``side`` as the shorter one, in the display's proportions, no larger than it."""
    width, height = display
    short, long = min(width, height), max(width, height)
    other = min(_nearest_even(Fraction(side * long, short)), _even_below(long))
    return (other, side) if width >= height else (side, other)


def _nearest_even(length: Fraction) -> int:
    return max(2, 2 * round(length / 2))


def _even_below(length: int) -> int:
    return max(2, length - length % 2)


def _fast_start(rungs: tuple[Rung, ...], policy: LadderPolicy) -> tuple[str, ...]:
    """The lowest rung, for any network, and the lowest one that is pleasant to look at; the two lowest where there is
    none. Players stay on what they are given first, so one of the two has to be good enough."""
    lowest = rungs[0]
    pleasant = [rung for rung in rungs if min(rung.width, rung.height) >= policy.fast_start_short_side]
    second = pleasant[0] if pleasant else rungs[min(1, len(rungs) - 1)]
    return tuple(dict.fromkeys((lowest.name, second.name)))
