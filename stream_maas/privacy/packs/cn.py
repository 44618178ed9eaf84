"""Identifiers of China (PIPL)."""

from __future__ import annotations

from typing import Final

from stream_maas.privacy import checksums, national_world
from stream_maas.privacy.announced import gate, locator
from stream_maas.privacy.rows import LONG_CAPITALS, Code, Located, Number, Recognizer, Shaped

_PROVINCE: Final = "(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])"
_MONTH_DAY: Final = "(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_NETWORKS: Final = ("微信", "微信号", "微信號", "wechat id", "微信id", "抖音号", "微博", "qq号")
_USCC: Final = "0-9A-HJ-NP-RTUWXY"


def _trim_uscc(candidate: str) -> tuple[int, int] | None:
    value = candidate.upper()
    return (0, 18) if len(value) == 18 and any(map(str.isdigit, value)) and national_world.cn_uscc(value) else None


ROWS: Final[tuple[Recognizer, ...]] = (
    Number(
        name="cn_resident_id", entity_type="CN_ID", pack="cn", score=96,
        layouts=("18", "6~8~4", "6~4~4~4", "3~3~4~4~4", "6 8 3 1"),
        form=rf"[1-9][0-9]{{5}}(?:1[89]|20)[0-9]{{2}}{_MONTH_DAY}[0-9]{{3}}[0-9Xx]",
        verify=checksums.resident_id, strong=True, found_by="18 characters; retired and foreign area codes too",
        checked_by="ISO 7064 MOD 11-2, date",
    ),
    Number(
        name="cn_resident_id_15", entity_type="CN_ID", pack="cn", score=70,
        layouts=("15", "6~6~3"), form=rf"{_PROVINCE}[0-9]{{6}}{_MONTH_DAY}[0-9]{{3}}",
        verify=checksums.resident_id_15, found_by="the form before 1999", checked_by="province, date",
    ),
    Number(
        name="cn_resident_id_15_announced", entity_type="CN_ID", pack="cn", score=97,
        layouts=("15", "6~6~3"), form=rf"{_PROVINCE}[0-9]{{6}}{_MONTH_DAY}[0-9]{{3}}",
        cues=("身份证", "身份证号", "身份证号码", "身份證", "resident id", "resident identity card", "chinese id"),
        verify=checksums.resident_id_15, found_by="the form before 1999", checked_by="province, date",
    ),
    Shaped(
        name="cn_uscc", entity_type="CN_USCC", pack="cn", score=94, gate=LONG_CAPITALS,
        pattern=f"[1-9ANY][1-59][0-9]{{6}}[{_USCC}]{{10}}", trim=_trim_uscc,
        found_by="unified social credit code, 18 characters", checked_by="GB 32100 MOD 31-3",
    ),
    Code(
        name="cn_passport", entity_type="PASSPORT", pack="cn", score=76, pictures=("A99999999", "AA9999999"),
        form="(?:[EGDSPHK][0-9]{8}|[EDSP][A-HJ-NP-Z][0-9]{7})", any_case=True,
        cues=("护照", "护照号", "护照号码", "護照", "passport", "passport number", "passport no", "chinese passport",
        "passports"),
        found_by="E, G ... and 8 digits",
    ),
    Code(
        name="cn_permit", entity_type="TRAVEL_PERMIT", pack="cn", score=76,
        pictures=("A99999999", "A9999999999", "A99999999A", "A999999(9)", "AA9999999"),
        form="[HMCTKLW][0-9A-Z]{7,10}", any_case=True,
        cues=("通行证", "通行证号", "回乡证", "台胞证", "港澳通行证", "通行證", "来往内地通行证", "hk permit",
        "travel permit", "居留证"),
        found_by="H, M, C, T and 8 to 10 digits",
    ),
    Number(
        name="cn_permit_digits", entity_type="TRAVEL_PERMIT", pack="cn", score=70, layouts=("8", "10"),
        cues=("台胞证", "通行证", "台湾居民来往大陆通行证"), found_by="8 or 10 digits",
    ),
    Shaped(
        name="cn_plate", entity_type="LICENCE_PLATE", pack="cn", score=87, made_of="letters",
        pattern="[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领][A-HJ-NP-Z][.\u2022 ]?"
        "(?:[0-9DF][A-HJ-NP-Z0-9][0-9]{4}|[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳]|[0-9]{5}[DF])",
        found_by="province, letter, 5 or (new energy) 6 characters",
    ),
    Located(
        name="cn_account_names", entity_type="USERNAME", pack="cn", score=55, gate=gate(_NETWORKS),
        made_of="secrets", locate=locator(_NETWORKS, "[A-Za-z][A-Za-z0-9_\\-]{5,19}", 0),
        found_by="WeChat and others, behind a word for it",
    ),
    Number(
        name="cn_qq", entity_type="USERNAME", pack="cn", score=54, layouts=("7", "8", "9", "10", "11"),
        form="[1-9][0-9]{6,10}",
        cues=("qq", "qq号", "qq号码", "扣扣", "加qq"), found_by="7 to 11 digits",
    ),
)  # fmt: skip
