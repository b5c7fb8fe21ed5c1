"""All rules over one subject."""

from __future__ import annotations

from packager.conformance.ciphers import judge_ciphers
from packager.conformance.cmaf import judge_cmaf
from packager.conformance.cross import judge_cross
from packager.conformance.dash import judge_dash
from packager.conformance.findings import Judge, Report
from packager.conformance.hls import judge_playlists
from packager.conformance.hls_multivariant import judge_multivariants
from packager.conformance.rules import RULES
from packager.conformance.subject import Subject


def judge(subject: Subject) -> Report:
    """What of `RULES` holds for ``subject``, what does not, and what cannot be applied to it."""
    verdicts = Judge(RULES)
    judge_playlists(subject, verdicts)
    judge_multivariants(subject, verdicts)
    judge_dash(subject, verdicts)
    judge_cmaf(subject, verdicts)
    judge_ciphers(subject, verdicts)
    judge_cross(subject, verdicts)
    return verdicts.report()
