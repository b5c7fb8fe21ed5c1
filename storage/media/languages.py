"""Language tags: from what containers say to BCP 47."""

from __future__ import annotations

import re

UNDETERMINED = "und"

# ISO 639-2 codes (terminological and bibliographic) → (BCP 47's shortest form, English name).
_KNOWN: dict[str, tuple[str, str]] = {
    code: (short, name)
    for codes, short, name in (
        ("ara", "ar", "Arabic"), ("bul", "bg", "Bulgarian"), ("cat", "ca", "Catalan"), ("ces cze", "cs", "Czech"),
        ("cym wel", "cy", "Welsh"), ("dan", "da", "Danish"), ("deu ger", "de", "German"), ("ell gre", "el", "Greek"),
        ("eng", "en", "English"), ("est", "et", "Estonian"), ("eus baq", "eu", "Basque"), ("fas per", "fa", "Persian"),
        ("fin", "fi", "Finnish"), ("fra fre", "fr", "French"), ("gle", "ga", "Irish"), ("heb", "he", "Hebrew"),
        ("hin", "hi", "Hindi"), ("hrv scr", "hr", "Croatian"), ("hun", "hu", "Hungarian"), ("hye arm", "hy", "Armenian"),
        ("ind", "id", "Indonesian"), ("isl ice", "is", "Icelandic"), ("ita", "it", "Italian"), ("jpn", "ja", "Japanese"),
        ("kat geo", "ka", "Georgian"), ("kor", "ko", "Korean"), ("lav", "lv", "Latvian"), ("lit", "lt", "Lithuanian"),
        ("mkd mac", "mk", "Macedonian"), ("msa may", "ms", "Malay"), ("nld dut", "nl", "Dutch"),
        ("nor", "no", "Norwegian"), ("pol", "pl", "Polish"), ("por", "pt", "Portuguese"), ("ron rum", "ro", "Romanian"),
        ("rus", "ru", "Russian"), ("slk slo", "sk", "Slovak"), ("slv", "sl", "Slovenian"), ("spa", "es", "Spanish"),
        ("sqi alb", "sq", "Albanian"), ("srp scc", "sr", "Serbian"), ("swe", "sv", "Swedish"), ("tam", "ta", "Tamil"),
        ("tha", "th", "Thai"), ("tur", "tr", "Turkish"), ("ukr", "uk", "Ukrainian"), ("urd", "ur", "Urdu"),
        ("vie", "vi", "Vietnamese"), ("zho chi", "zh", "Chinese"),
    )
    for code in codes.split()
}  # fmt: skip
_NAMES = dict(_KNOWN.values())
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_MEANING_NOTHING = frozenset({"mis", "mul", "zxx"})


def normalise_language(tag: str | None) -> str:
    """``tag`` as a lower-case BCP 47 tag in its shortest form (``ger`` → ``de``); ``und`` where it says nothing."""
    tag = (tag or "").strip().lower().replace("_", "-")
    if not _TAG.fullmatch(tag) or tag in _MEANING_NOTHING:
        return UNDETERMINED
    primary, dash, rest = tag.partition("-")
    return (_KNOWN[primary][0] if primary in _KNOWN else primary) + dash + rest


def language_name(tag: str, unknown: str = "Audio") -> str:
    """An English name for a normalised tag, the tag itself where we have none; ``unknown`` for the one that says nothing."""
    return unknown if tag == UNDETERMINED else _NAMES.get(tag.partition("-")[0], tag)
