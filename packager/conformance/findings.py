"""Rules, findings, and the judge that collects them. No rule's text lives here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    MUST = "must"
    SHOULD = "should"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One assertion. ``says``: what holds; ``remedy``: what to do where it does not; ``needs``: what it is about, so why it
    does not apply where nothing was looked at."""

    id: str
    severity: Severity
    source: str
    says: str
    remedy: str
    needs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place where a rule does not hold. ``where``: a URL, with a line or a byte where there is one."""

    rule: Rule
    where: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, which rules hold, and which do not apply, each with the reason."""

    findings: tuple[Finding, ...]
    held: tuple[Rule, ...]
    not_applicable: tuple[tuple[Rule, str], ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.rule.severity is severity)

    @property
    def ids(self) -> frozenset[str]:
        """The rules that do not hold."""
        return frozenset(finding.rule.id for finding in self.findings)


class Judge:
    """Collects verdicts. A rule that is never asked about does not apply."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._asked: set[str] = set()
        self._aside: dict[str, str] = {}
        self._findings: list[Finding] = []

    def expect(self, holds: bool, rule: str, where: str, detail: str = "") -> bool:
        """Note whether ``rule`` holds at ``where``; ``detail`` says what was seen there. Returns ``holds``."""
        self._asked.add(self._rules[rule].id)
        if not holds:
            self._findings.append(Finding(rule=self._rules[rule], where=where, detail=detail))
        return holds

    def set_aside(self, rule: str, why: str) -> None:
        """``rule`` cannot be met here, and that is no fault."""
        self._aside[self._rules[rule].id] = why

    def report(self) -> Report:
        broken = {finding.rule.id for finding in self._findings}
        rules = self._rules.values()
        return Report(
            findings=tuple(self._findings),
            held=tuple(rule for rule in rules if rule.id in self._asked and rule.id not in broken),
            not_applicable=tuple(
                (rule, self._aside.get(rule.id, f"There is nothing to apply it to: {rule.needs}."))
                for rule in rules
                if rule.id not in self._asked
            ),
        )
