"""Conformance: is a published presentation what HLS, DASH and CMAF ask for? Works on anybody's streams.

`read_subject` fetches and measures through a `Library`; `judge` holds what was read against `RULES`. Each rule has an id, a
source, a severity, and a sentence on what to do; one that cannot be applied is reported as such, with the reason.
"""

from __future__ import annotations

from packager.conformance.findings import Finding, Report, Rule, Severity
from packager.conformance.judging import judge
from packager.conformance.library import Answer, Library
from packager.conformance.rules import RULES
from packager.conformance.subject import Subject, read_subject

__all__ = [
    "RULES",
    "Answer",
    "Finding",
    "Library",
    "Report",
    "Rule",
    "Severity",
    "Subject",
    "judge",
    "read_subject",
]
