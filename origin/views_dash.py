"""Views of MPDs. They are ours, so they are as `packager.dash` writes them."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

from origin.wishes import Wishes, kept
from packager.encryption import CENC_NAMESPACE, LICENCE_NAMESPACE

_MPD = "urn:mpeg:dash:schema:mpd:2011"
_URL_PARAM = "urn:mpeg:dash:schema:urlparam:2014"
_ROLE = "urn:mpeg:dash:role:2011"
# What comes before EssentialProperty in an AdaptationSet (ISO/IEC 23009-1, RepresentationBaseType).
_BEFORE_PROPERTIES = ("FramePacking", "AudioChannelConfiguration", "ContentProtection", "OutputProtection")

ET.register_namespace("", _MPD)
ET.register_namespace("up", _URL_PARAM)
ET.register_namespace("cenc", CENC_NAMESPACE)
ET.register_namespace("dashif", LICENCE_NAMESPACE)  # dash.js looks for Laurl by this prefix


def dash_view(body: bytes, wishes: Wishes) -> bytes:
    """The MPD ``body`` as ``wishes`` want it. A start offset is the player's to take from the address."""
    mpd = ET.fromstring(body)  # noqa: S314 - written by us
    for period in mpd.findall(_tag("Period")):
        sets = period.findall(_tag("AdaptationSet"))
        _limit([each for each in sets if each.get("contentType") == "video"], wishes)
        for each in sets:
            if each.find(_tag("Representation")) is None:
                period.remove(each)  # such as one for seeking, whose only codec is not wanted
        if wishes.language is not None:
            _prefer([each for each in sets if each.get("contentType") == "audio"], wishes.language)
        if wishes.carries_token:
            for each in sets:
                _carry_token(each)
    written = io.BytesIO()
    ET.ElementTree(mpd).write(written, encoding="utf-8", xml_declaration=True)
    return written.getvalue() + b"\n"


def _tag(name: str) -> str:
    return f"{{{_MPD}}}{name}"


def _limit(sets: list[ET.Element], wishes: Wishes) -> None:
    renditions = [(each, rendition) for each in sets for rendition in each.findall(_tag("Representation"))]
    heights = [int(rendition.get("height", "0")) for _, rendition in renditions]
    stay = kept(list(heights), [rendition.get("codecs", "") for _, rendition in renditions], wishes)
    for (each, rendition), stays in zip(renditions, stay, strict=True):
        if not stays:
            each.remove(rendition)
    for each in sets:
        left = each.findall(_tag("Representation"))
        for attribute, of_each in (("maxWidth", "width"), ("maxHeight", "height")):
            values = [int(rendition.get(of_each, "0")) for rendition in left]
            if values and attribute in each.attrib:
                each.set(attribute, str(max(values)))


def _prefer(sets: list[ET.Element], language: str) -> None:
    """The set in ``language`` is the main one, where there is one."""
    wanted = next((each for each in sets if _speaks(each.get("lang", ""), language)), None)
    if wanted is None:
        return
    for each in sets:
        for role in each.findall(_tag("Role")):
            if role.get("schemeIdUri") == _ROLE and role.get("value") in ("main", "alternate"):
                role.set("value", "main" if each is wanted else "alternate")


def _speaks(spoken: str, wanted: str) -> bool:
    return spoken.lower() == wanted or spoken.lower().startswith(f"{wanted}-")


def _carry_token(adaptation_set: ET.Element) -> None:
    """The query of the MPD's own address goes on to every segment (ISO/IEC 23009-1, annex I)."""
    said = ET.Element(_tag("EssentialProperty"), {"schemeIdUri": "urn:mpeg:dash:urlparam:2014"})
    ET.SubElement(said, f"{{{_URL_PARAM}}}UrlQueryInfo", {"queryTemplate": "$querypart$", "useMPDUrlQuery": "true"})
    before = [_tag(name) for name in _BEFORE_PROPERTIES]
    place = next((at for at, child in enumerate(adaptation_set) if child.tag not in before), len(adaptation_set))
    adaptation_set.insert(place, said)
