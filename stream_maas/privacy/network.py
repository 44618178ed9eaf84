"""How network and machine addresses are told from versions, times and names: IPv4, IPv6, MAC."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

IPV4_GATE: Final = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
IPV6_GATE: Final = r"[0-9A-Fa-f:]:[0-9A-Fa-f]{0,4}:"
MAC_GATE: Final = (
    r"[0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}"
)

_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_QUAD: Final = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
IPV4: Final = re.compile(_QUAD)
"""Four octets in their one canonical form."""
_IPV4: Final = re.compile(rf"(?<![0-9A-Za-z.])(?<![0-9]-){_QUAD}(?![0-9A-Za-z]|\.[0-9]|-[0-9])")
_VERSION: Final = re.compile(
    r"(?<![^\W\d_])(?:version|versie|versione|versión|versão|ver|build|release|rev|firmware|driver|section|kapitel|chapter|"
    r"§|v|oid|objectidentifier|versionchanged|versionadded|deprecated|(?:chrome|safari|firefox|edge?|opr|java|php|nginx)/)"
    r"[.:]{0,2} {0,2}[(\"']{0,2}$",
    re.IGNORECASE,
)
_VERSION_CHARS: Final = 20
_IPV6: Final = re.compile(
    r"(?<![0-9A-Za-z.])(?:[0-9A-Fa-f:]{1,39}:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:]{2,46})(?:%[0-9A-Za-z]{1,16})?(?!\.[0-9])"
)
_MAC: Final = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9A-Fa-f]-)(?:[0-9A-Fa-f]{2}([:\-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2})"
    r"(?![0-9A-Za-z]|[:\-][0-9A-Fa-f])"
)
_LABEL: Final = re.compile(r"(?:(?<![0-9A-Za-z:])|[A-Za-z]*[G-Zg-z][A-Za-z]*[0-9]?|[A-Za-z]{5,}):$")
"""What a colon before an address belongs to: a word, "MAC:00:1a:..." or "IPv6:2001:...", and no group of its own."""
_LABEL_CHARS: Final = 16
_GOES_ON: Final = re.compile(":[0-9A-Fa-f]{1,4}(?![0-9A-Za-z])")
"""More groups than an address has."""
_BEFORE_PORT: Final = re.compile(
    "(?=[0-9:]*[0-9A-Fa-f]{3})(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?=:(?:[0-9]{2,3}|[89][0-9]{3}|[0-9]{5})$)"
)
"""All eight groups, with a port behind them and no brackets around."""
_FEWEST_IPV6_CHARS: Final = 6
_WIDE_GROUP: Final = re.compile("[A-Fa-f]")
_NO_SEPARATORS: Final = str.maketrans("", "", ":-.")
_NO_MACS: Final = frozenset(("000000000000", "ffffffffffff"))


def locate_ipv4(text: str) -> Iterator[tuple[int, int]]:
    """Four octets, not behind a word for versions."""
    for match in _IPV4.finditer(text):
        if match.group() != "0.0.0.0" and match.group().startswith("0."):  # noqa: S104 - no host, RFC 1122
            continue
        if not _VERSION.search(text, max(0, match.start() - _VERSION_CHARS), match.start()):
            yield match.span()


def locate_ipv6(text: str) -> Iterator[tuple[int, int]]:
    """What `ipaddress` reads, without what may follow in prose; "::" alone and words around it are code."""
    for match in _IPV6.finditer(text):
        start, end = match.span()
        if match.group().count(":") < 2:
            continue
        if text[start] == ":" and text[start + 1] != ":":  # that of a label, "客户：2001:db8::1"
            start += 1
        elif start and text[start - 1] == ":" and not _LABEL.search(text, max(0, start - _LABEL_CHARS), start):
            continue
        while end > start and text[end - 1] == ":" and text[end - 2 : end] != "::":
            end -= 1
        if (end < len(text) and text[end].isascii() and text[end].isalnum()) or _GOES_ON.match(text, end):
            continue
        value = text[start:end]
        if value.count(":") == 8 and (before_port := _BEFORE_PORT.match(value)):
            value = before_port.group()
            end = start + len(value)
        if len(value) > 2 and any(map(str.isdigit, value)) and _is_ipv6(value):
            yield start, end


def _is_ipv6(value: str) -> bool:
    if len(value) < _FEWEST_IPV6_CHARS and not _WIDE_GROUP.search(value):  # "1::2", a slice or a ratio
        return False
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def locate_mac(text: str) -> Iterator[tuple[int, int]]:
    """Six octets with one separator, or three groups of four; neither the empty nor the broadcast address."""
    for match in _MAC.finditer(text):
        plain = match.group().lower().translate(_NO_SEPARATORS)
        start = match.start()
        if start and text[start - 1] == ":" and not _LABEL.search(text, max(0, start - _LABEL_CHARS), start):
            continue
        if plain not in _NO_MACS and (not plain.isdigit() or "." not in match.group()):
            yield match.span()
