"""Secrets: keys, tokens and passwords by how they begin or by what is written before them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final

from stream_maas.privacy.fold import fold
from stream_maas.privacy.rows import Recognizer, Shaped

_BASE64URL: Final = r"[A-Za-z0-9_\-]"
_API_KEYS: Final = "|".join((
    "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,20}",  # AWS
    "gh[pousr]_[A-Za-z0-9]{16,255}",
    "github_pat_[A-Za-z0-9_]{16,255}",
    "gl(?:pat|ptt|dt|rt|cbt|ft|soat)-[A-Za-z0-9_\\-]{16,64}",
    "xox[abeoprs]-[A-Za-z0-9\\-]{10,255}",
    "xapp-[A-Za-z0-9\\-]{20,255}",
    "AIza[A-Za-z0-9_\\-]{30,40}",
    "ya29\\.[A-Za-z0-9_\\-]{20,512}",
    "GOCSPX-[A-Za-z0-9_\\-]{20,40}",
    "(?:sk|pk|rk|whsec)_(?:live|test)_[A-Za-z0-9]{10,255}",
    "whsec_[A-Za-z0-9+/=]{20,255}",
    "sk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_\\-]{20,255}",
    "SG\\.[A-Za-z0-9_\\-]{16,64}\\.[A-Za-z0-9_\\-]{16,128}",
    "(?:npm_|hf_|pul-|do[por]_v1_|glc_|glsa_|ATATT3|ntn_|lin_api_|figd_|sbp_|phc_|r8_|gsk_|xai-|tvly-|nvapi-|xkeysib-|PMAK-)"
    "[A-Za-z0-9_\\-]{30,255}",
    "pypi-[A-Za-z0-9_\\-]{16,255}",
    "shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    "sq0(?:atp|csp)-[A-Za-z0-9_\\-]{20,64}",
    "key-[0-9a-zA-Z]{32}",
    "(?:AC|SK)[a-f0-9]{32}",
    "EAAC[A-Za-z0-9]{20,255}",
    "dckr_pat_[A-Za-z0-9_\\-]{20,64}",
    "[A-Za-z0-9]{14}\\.atlasv1\\.[A-Za-z0-9_\\-]{20,255}",
    "hvs\\.[A-Za-z0-9_\\-]{20,255}",
    "[0-9]{8,10}:AA[A-Za-z0-9_\\-]{33}",  # Telegram bots
    "AGE-SECRET-KEY-1[A-Z0-9]{58}",
))  # fmt: skip
"""How keys of well-known services begin (their own documentation). The length is not exact on purpose: a key that was
copied with one character too few still gives it away."""


_API_KEY_BEGINNINGS: Final = (
    "(?:A[KSBC][IC]A[A-Z0-9]{4}|gh[pousr]_|github_pat_|gl[pdrcsf][a-z]{1,3}-|xox[abeoprs]-|xapp-|AIza|ya29\\.|"
    "GOCSPX-|[spr]k_(?:live|test)_"
    "|whsec_|sk-|SG\\.|npm_|hf_|pul-|do[por]_v1_|glc_|ATATT3|ntn_|lin_api|figd_|sbp_|phc_|r8_|gsk_|xai-|tvly-|nvapi-|xkeysib|PMAK-|glsa_|dckr_pat_|[A-Za-z0-9]\\.atlasv1\\.|pypi-|"
    "shp(?:at|ca|pa|ss)_"
    "|sq0(?:atp|csp)-|key-[0-9a-zA-Z]{8}|(?:AC|SK)[a-f0-9]{12}|EAAC|hvs\\.|[0-9]{8}:AA|[0-9]:AA|AGE-SECRET)"
)


def _any_case(*words: str) -> str:
    """A pattern for one of `words` in any case, written without flags."""
    return "|".join(
        "".join(f"[{c.upper()}{c}]" if c.upper() != c else re.escape(c) for c in word).replace("_", "[_\\- ]?")
        for word in words
    )


_NAMES: Final = _any_case(
    "password", "passwd", "passphrase", "passcode", "pwd", "secret", "client_secret", "api_key", "access_key",
    "secret_key", "private_key", "access_token", "auth_token", "refresh_token", "bearer", "token", "credentials",
    "passwort", "kennwort", "contraseña", "contrasena", "clave", "senha", "palavra_passe", "mot_de_passe", "mdp",
    "parola", "wachtwoord", "hasło", "lösenord", "пароль", "密码", "密碼", "口令", "パスワード", "비밀번호",
    "كلمة المرور", "كلمة السر", "şifre", fold("पासवर्ड").text,
    "암호", "暗証番号", "salasana", "adgangskode", "passord", "heslo",
)  # fmt: skip
_BETWEEN: Final = "[\"']?(?: ?[:=：＝] ?| (?:is|was|ist|lautet|es|est|é|è|jest|är|это|:=|=>) |是|为|は)[\"']?"
_VALUE_CHARACTER: Final = "[^ \t\r\n\"'<>,;&()\\[\\]{}]"
_PATH: Final = re.compile("[A-Za-z_]+(?:\\.[A-Za-z_]+)*")
_CODE_PATH: Final = re.compile("(?:self|cls|this)\\..*|(?:[A-Za-z_]+\\.)+(?:[A-Z][a-z]|_|[a-z]+_)[A-Za-z_]*")
_VALUE: Final = f"(?:{_VALUE_CHARACTER}|&(?![A-Za-z0-9_.%\\-]{{1,64}}=))"
"""An ampersand belongs to it unless it separates the fields of an address's query."""
_NAME_AND_BETWEEN: Final = re.compile(f"(?:{_NAMES}){_BETWEEN}")
_IN_WORDS: Final = re.compile("[ 是为は][\"']?$")
_NO_VALUE: Final = re.compile(
    r"(?:true|false|null|none|nil|undefined|required|optional|string|\*+|\.+|x+|"
    r"(?:your|\$|%|<|process\.env|os\.).{0,64})\.?",
    re.IGNORECASE,
)


def trim_secret(candidate: str) -> tuple[int, int] | None:
    """The value alone. Where only words lead to it ("the password is secure"), it must not look like a word."""
    lead = _NAME_AND_BETWEEN.match(candidate)
    if lead is None:
        return None
    value = candidate[lead.end() :].rstrip("([").rstrip(".!?:")
    if len(value) < 4 or _NO_VALUE.fullmatch(value) or _is_code(lead.group(), value, candidate[-1]):
        return None
    plain = value.isalpha() or value.replace("-", "").replace("'", "").isalpha()
    if plain and (_IN_WORDS.search(lead.group()) or lead.group().endswith(" ")):
        return None
    return lead.end(), lead.end() + len(value)


def _is_code(lead: str, value: str, end: str) -> bool:
    """Whether a program goes on where a value would stand: a call, an attribute, a type, another variable."""
    if _PATH.fullmatch(value) is None:
        return False
    return end in "([" or _CODE_PATH.fullmatch(value) is not None or (lead.endswith(" = ") and not value.islower())


def trim_bearer(candidate: str) -> tuple[int, int] | None:
    value = candidate[candidate.rindex(" ") + 1 :]
    return (len(candidate) - len(value), len(candidate)) if any(map(str.isdigit, value)) else None


def trim_jwt(candidate: str) -> tuple[int, int] | None:
    """The header must be JSON that names an algorithm (RFC 7515)."""
    header = candidate.split(".", 1)[0]
    try:
        document = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, binascii.Error):
        return None
    return (0, len(candidate)) if isinstance(document, dict) and ("alg" in document or "typ" in document) else None


def trim_credentials(candidate: str) -> tuple[int, int] | None:
    """User and password between "://" and "@"."""
    return 3, len(candidate) - 1


ROWS: Final[tuple[Recognizer, ...]] = (
    Shaped(
        name="private_key", entity_type="PRIVATE_KEY", pack="core", score=100,
        made_of="secrets", gate="-----BEGIN ", pattern="-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----",
        rest="(?:\\s{0,4}[A-Za-z]{2,16}-[A-Za-z]{2,16}: [^\\n]{0,128}){0,4}[A-Za-z0-9+/=\\s\\\\:,]*"
        "(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----)?",
        found_by="a PEM block through its last line", checked_by="",
    ),
    Shaped(
        name="jwt", entity_type="JWT", pack="core", score=100,
        gate="eyJ[A-Za-z0-9_\\-]{6}", pattern=rf"eyJ{_BASE64URL}{{8,512}}\.{_BASE64URL}{{4,}}(?:\.{_BASE64URL}*)?",
        trim=trim_jwt,
        found_by="header.payload.signature in base64url", checked_by="the header is JSON with an algorithm",
    ),
    Shaped(
        name="url_credentials", entity_type="URL_CREDENTIALS", pack="core", score=100, inside=True,
        gate="://[^ /@]*:[^ /@]*@", pattern="://[^ /:@\t\r\n\"'<>\\[\\]]{1,128}:[^ /@\t\r\n\"'<>\\[\\]]{1,256}@",
        trim=trim_credentials,
        found_by="user:password@ in an address",
    ),
    Shaped(
        name="api_key", entity_type="API_KEY", pack="core", score=100, pattern=f"(?:{_API_KEYS})",
        gate=_API_KEY_BEGINNINGS, made_of="secrets",
        found_by="how keys of well-known services begin", checked_by="length",
    ),
    Shaped(
        name="bearer_token", entity_type="SECRET", pack="core", score=98,
        made_of="secrets", gate="(?:Bearer|bearer|BEARER|Basic) [A-Za-z0-9]",
        pattern="(?:Bearer|bearer|BEARER|Basic) [A-Za-z0-9_\\-.=+/~]{16,}", trim=trim_bearer,
        found_by="an Authorization header",
    ),
    Shaped(
        name="secret_assignment", entity_type="SECRET", pack="core", score=97, inside=True,
        made_of="secrets", gate=f"(?:{_NAMES}){_BETWEEN}", pattern=f"(?:{_NAMES}){_BETWEEN}{_VALUE}{{4,256}}",
        rest=f"{_VALUE}*[(\\[]?", trim=trim_secret,
        found_by="password = value, in words of 14 languages", checked_by="not a word, a variable or a blank",
    ),
)  # fmt: skip
