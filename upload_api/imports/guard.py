"""Where an import may go: public addresses, and what the operator opens. Pure; names are resolved elsewhere.

Whoever names an address to fetch from speaks through us to whatever we can reach: the database, the cloud's metadata
service, a printer. So every address that a name resolves to is judged, and the very address that was judged is then
connected to (`fetching`): a name that changes its mind between the two does not get through.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from upload_api.errors import ImportRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_CHARACTERS = 4096
DEFAULT_PORTS = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
# An IPv4 address inside an IPv6 one; a gateway would take us there.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# What some versions of Python take for public: old site-local addresses, the relay of 6to4, examples, segment routing, translated IPv4.
_NOBODYS = tuple(
    ipaddress.ip_network(text) for text in ("fec0::/10", "192.88.99.0/24", "3fff::/20", "5f00::/16", "::ffff:0:0:0/96")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address to fetch, as far as its text tells. ``path``: with its query."""

    scheme: str
    host: str
    port: int
    path: str
    url: str

    @property
    def authority(self) -> str:
        """As the Host field says it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def filename(self) -> str | None:
        """The last step of its path: a wish of the one who named the address, as any file name is."""
        return unquote(self.path.partition("?")[0].rpartition("/")[2]) or None


def parse_target(url: str) -> Target:
    """``url``, if it is one that we would fetch. Raises `ImportRefused` for other schemes, logins, odd ports, and for
    what two parsers might read in two ways."""
    if len(url) > MAX_URL_CHARACTERS or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _unusable("An address to import from has printable ASCII characters only; encode all others.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _unusable("That is not an address to import from.") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise _unusable("Videos are imported from http:// and https:// addresses.")
    if parts.username is not None or parts.password is not None:
        raise _unusable("An address to import from has no user name or password in it.")
    port = DEFAULT_PORTS[parts.scheme] if port is None else port
    # What listens below 1024 and is no web server has no videos, but may take our request for orders.
    if port < 1024 and port not in DEFAULT_PORTS.values():
        raise _forbidden(f"Nothing is imported from port {port}.")
    return Target(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port,
        path=_path(parts),
        url=parts._replace(fragment="").geturl(),
    )


def follow(target: Target, location: str) -> Target:
    """Where a redirect leads, judged like the first address. Raises `ImportRefused`."""
    leads = parse_target(urljoin(target.url, location))
    if target.scheme == "https" and leads.scheme == "http":
        raise _forbidden("The address to import from leads from https to http.")
    return leads


def check_literal(target: Target, allowed: tuple[Network, ...]) -> None:
    """Raises `ImportRefused` for a host that is an address itself, and one where nobody may be sent. A name is only
    judged when it is resolved."""
    try:
        address = ipaddress.ip_address(target.host.partition("%")[0])
    except ValueError:
        return
    check_addresses((address,), allowed)


def check_addresses(addresses: tuple[Address, ...], allowed: tuple[Network, ...]) -> None:
    """Raises `ImportRefused` unless all ``addresses`` of a host are public or in an ``allowed`` network. One that is not
    spoils the rest: an honest name does not stand for both."""
    if not addresses or not all(_may_reach(address, allowed) for address in addresses):
        raise _forbidden("The address to import from is not a public one.")


def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Raises `ValueError`."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def _may_reach(address: Address, allowed: tuple[Network, ...]) -> bool:
    inner = _inner(address)
    if any(each in network for each in (address, *inner) for network in allowed):
        return True
    return all(_is_public(each) for each in (address, *inner))


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (address in _NAT64 or address.ipv4_mapped is not None):
        return True  # as public as what is inside of it
    if any(address in network for network in _NOBODYS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: Address) -> tuple[IPv4Address, ...]:
    """IPv4 addresses that ``address`` carries packets to."""
    if isinstance(address, IPv4Address):
        return ()
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    inside = [each for each in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if each is not None]
    if address in _NAT64 or address in _LOCAL_NAT64 or (address in _COMPATIBLE and int(address) > 1):
        inside.append(low)
    return tuple(inside)


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _unusable(sentence: str) -> ImportRefused:
    return ImportRefused(sentence, reason_code="import_address")


def _forbidden(sentence: str) -> ImportRefused:
    return ImportRefused(sentence, reason_code="import_forbidden")
