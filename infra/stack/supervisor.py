"""Keeps parts running: starts them in order, waits until they are ready, restarts what dies, stops all in reverse.

When to restart and when to despair is `decide_restart`, a pure function; the rest waits for processes and signals.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra.stack.children import Child, Nursery, rotate, tail
from infra.stack.parts import Part
from storage.errors import Unavailable


class Stopped(Exception):
    """We were asked to stop before everything had started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Delays double from ``first_s`` to ``longest_s``; deaths older than ``window_s`` are forgiven."""

    first_s: float = 0.5
    longest_s: float = 30.0
    window_s: float = 120.0
    hopeless_after: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What to do about a death: start again after ``delay_s``. ``hopeless``: a person should look at it."""

    delay_s: float
    deaths: int
    hopeless: bool


def decide_restart(deaths: tuple[float, ...], now: float, policy: RestartPolicy) -> Restart:
    """``deaths``: when the part died, the last one included, on the clock of ``now``, in seconds."""
    recent = sum(1 for at in deaths if at > now - policy.window_s)
    delay = min(policy.longest_s, policy.first_s * 2 ** max(0, recent - 1))
    return Restart(delay_s=delay, deaths=recent, hopeless=recent >= policy.hopeless_after)


class Signals:
    """The signals that ask us to stop, as something to wait for. A death of a child ends a wait early, too."""

    def __init__(self) -> None:
        self.asked = 0
        """How often we were asked to stop."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def wait(self, seconds: float) -> None:
        """Return after ``seconds``, or as soon as any signal came."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        if ready:
            os.read(self._read, 4096)

    def ask(self, *_: object) -> None:
        self.asked += 1

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While inside, SIGINT, SIGTERM and SIGHUP count as asking; before and after, they are what they were."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self.ask) for number in numbers}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(slots=True, kw_only=True)
class _Running:
    """A part, its process if it has one now, and its history."""

    part: Part
    child: Child | None = None
    deaths: list[float] = field(default_factory=list)
    start_at: float | None = None  # when it is to be started again


class Supervisor:
    """Runs ``parts``. ``say`` gets one line, for a person, per thing that happens."""

    def __init__(
        self,
        nursery: Nursery,
        signals: Signals,
        say: Callable[[str], None],
        *,
        policy: RestartPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nursery = nursery
        self._signals = signals
        self._say = say
        self._policy = policy or RestartPolicy()
        self._clock = clock
        self._running: list[_Running] = []

    def start(self, parts: tuple[Part, ...], waiting: Callable[[tuple[str, ...]], None] = lambda _: None) -> None:
        """Start ``parts`` together and return when all are ready; ``waiting`` is told for whom we wait.

        Raises `Unavailable` with the end of its log if one ends or takes too long, `Stopped` if asked to stop.
        """
        fresh = [_Running(part=part) for part in parts]
        self._running += fresh
        for running in fresh:
            self._launch(running)
        began = self._clock()
        pending = fresh
        while pending:
            if self._signals.asked:
                raise Stopped
            waiting(tuple(running.part.title for running in pending))
            for running in pending:
                _must_live(running, self._clock() - began)
            pending = [running for running in pending if not running.part.ready()]
            if pending:
                self._signals.wait(0.1)

    def watch(self) -> None:
        """Restart what dies, until asked to stop."""
        rotate_at = self._clock()
        while not self._signals.asked:
            now = self._clock()
            for running in self._running:
                self._tend(running, now)
            if now >= rotate_at:
                rotate_at = now + 10
                for running in self._running:
                    rotate(running.part.command.log)
            due = [running.start_at for running in self._running if running.start_at is not None]
            self._signals.wait(min([*due, now + 5]) - self._clock())

    def stop(self) -> None:
        """End all parts, the last stage first, giving each its time; asked again meanwhile, kill at once."""
        asked = self._signals.asked
        stages = itertools.groupby(
            sorted((r for r in self._running if r.child), key=lambda r: -r.part.stage), key=lambda r: r.part.stage
        )
        for _, group in stages:
            members = list(group)
            for running in members:
                if running.child:
                    running.child.signal(signal.SIGTERM)
            deadline = self._clock() + max(running.part.stop_s for running in members)
            while any(r.child and r.child.exit_code() is None for r in members):
                if self._signals.asked > asked or self._clock() > deadline:
                    break
                self._signals.wait(0.2)
            for running in members:
                self._end(running, in_time=self._signals.asked == asked)
        self._running.clear()

    def _launch(self, running: _Running) -> None:
        running.part.clear()
        running.child = self._nursery.start(running.part.name, running.part.command)
        running.start_at = None

    def _tend(self, running: _Running, now: float) -> None:
        child, part = running.child, running.part
        if child is None:
            if running.start_at is not None and now >= running.start_at:
                self._launch(running)
            return
        code = child.exit_code()
        if code is None:
            return
        child.sweep_group()
        self._nursery.forget(child)
        running.child = None
        running.deaths = [*running.deaths[-20:], now]
        decision = decide_restart(tuple(running.deaths), now, self._policy)
        running.start_at = now + decision.delay_s
        self._say(f"{part.title} ended ({_how(code)}); starting it again in {decision.delay_s:g} s.")
        if decision.hopeless:
            self._say(
                f"{part.title} has ended {decision.deaths} times in {self._policy.window_s:g} s. Its log, "
                f"{part.command.log}, ends with:\n{tail(part.command.log, lines=5)}\n"
                "If that does not tell you what to mend, stop everything with Ctrl-C and start it again."
            )

    def _end(self, running: _Running, *, in_time: bool) -> None:
        child = running.child
        if child is None:
            return
        if child.exit_code() is None:
            if in_time:
                self._say(f"{running.part.title} did not stop within {running.part.stop_s:g} s and was killed.")
            child.kill()
        child.sweep_group()
        self._nursery.forget(child)
        running.child = None


def _must_live(running: _Running, waited_s: float) -> None:
    part = running.part
    code = running.child.exit_code() if running.child else None
    if code is not None:
        reason = f"ended while starting ({_how(code)})"
    elif waited_s > part.start_s:
        reason = f"was not ready after {part.start_s:g} s"
    else:
        return
    log = part.command.log
    raise Unavailable(f"{part.title} {reason}. Its log, {log}, ends with:\n{tail(log)}", part=part.name)


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
