"""Known personal values, plain and disguised, that every engine must find before it may serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_maas.errors import ServiceError
from stream_maas.privacy.transform import placeholder

CANARIES: Final[dict[str, tuple[str, ...]]] = {
    "EMAIL": ("canary.bird+tag@example.com", "canary@xn--bcher-kva.example", "канарейка@пример.рф"),
    "PHONE": ("+1 415-555-0132", "(415) 555-0132", "+49 30 1234567", "138 1234 5678", "(11) 98765-4321"),
    "CARD": ("4111 1111 1111 1111", "378282246310005", "6205500000000000004"),
    "IBAN": ("DE89 3704 0044 0532 0130 00", "MT84MALT011000012345MTLCAST001S"),
    "IP": ("203.0.113.77", "2001:db8::8a2e:370:7334"),
    "MAC_ADDRESS": ("D0-50-99-84-A2-A0",),
    "CRYPTO_WALLET": ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "0x52908400098527886E0F7030069857D2E4169EE7"),
    "GPS": ("52.520066, 13.404954",),
    "IMEI": ("35-209900-176148-1",),
    "API_KEY": ("AKIAIOSFODNN7EXAMPLE",),
    "SSN": ("078-05-1120", "219-09-9999"),
    "US_ITIN": ("912-90-3456",),
    "US_MBI": ("1EG4-TE5-MK73",),
    "CPF": ("111.444.777-35", "11144477735"),
    "CNPJ": ("08.807.432/0001-10", "12.ABC.345/01DE-35"),
    "PIS": ("000.13180.65-7",),
    "CN_ID": ("11010519491231002X", "44040119580101000x", "130503670401001"),
    "CN_USCC": ("91340602MA2UJYD90G",),
    "LICENCE_PLATE": ("粤B12345",),
    "UK_NINO": ("AB 12 34 56 C",),
    "DRIVER_LICENCE": ("MORGA657054SM9IJ",),
    "ES_DNI": ("54362315-K",),
    "ES_NIE": ("X1111111G",),
    "FR_NIR": ("2 95 10 99 126 111 93",),
    "IT_CODICE_FISCALE": ("RSSMRA85T10A562S",),
    "DE_TAX_ID": ("36 574 261 809",),
    "DE_SOCIAL_SECURITY": ("15070649C103",),
    "PL_PESEL": ("44051401359",),
    "BE_NATIONAL_NUMBER": ("85.07.30-033.28",),
    "RO_CNP": ("1630615123457",),
    "BG_EGN": ("7523169263",),
    "CZ_RODNE_CISLO": ("710319/2745",),
    "SI_EMSO": ("0101006500006",),
    "GR_AMKA": ("01013099997",),
    "SE_PERSONNUMMER": ("811228-9874",),
    "FI_HETU": ("131052-308T",),
    "DK_CPR": ("211062-5629",),
    "NO_FODSELSNUMMER": ("10048744732",),
    "IS_KENNITALA": ("120174-3399",),
    "BALTIC_ID": ("35512240278",),
    "CH_AHV": ("756.9217.0769.85",),
    "IE_PPS": ("1234567FA",),
    "VAT_ID": ("DE136695976", "ATU13585627", "CHE-100.155.212"),
    "MX_CURP": ("BOXW310820HNERXN09",),
    "MX_RFC": ("GODE561231GR8",),
    "AR_CUIT": ("20-05536168-2",),
    "CL_RUT": ("12.531.909-2",),
    "IN_AADHAAR": ("2341 2341 2346",),
    "IN_PAN": ("ABMPA3211G",),
    "IN_GSTIN": ("27AAPFU0939F1ZV",),
    "KR_RRN": ("971013-9019902",),
    "SG_NRIC": ("S1234567D",),
    "TH_TNIN": ("1-1101-00152-64-1",),
    "ZA_ID": ("5306060050180",),
    "AU_ABN": ("51 824 753 556",),
}
"""Entity type -> published test values that are found without a word that announces them; none belongs to anybody."""

ANNOUNCED: Final[dict[str, tuple[str, str]]] = {
    "PERSON": ("my name is {}", "Canary Birdsong"),
    "ADDRESS": ("{}", "12 Canary Street"),
    "PRIVATE_KEY": ("{}", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEcanary\n-----END EC PRIVATE KEY-----"),
    "JWT": ("{}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.dozjgNryP4J3jVmNHl0w5N"),
    "URL_CREDENTIALS": ("postgres://{}@db/prod", "canary:t1ger"),
    "SECRET": ("password: {}", "c4nary-b1rd"),
    "PASSPORT": ("passport number {}", "533380006"),
    "DATE_OF_BIRTH": ("born on {}", "12/05/1987"),
    "USERNAME": ("my Instagram is {}", "@canary_bird"),
    "BIC": ("SWIFT {}", "DEUTDEFF500"),
    "BANK_ACCOUNT": ("account number {}", "945456787654"),
    "NATIONAL_ID": ("national ID number: {}", "AB1234567"),
    "POSTAL_CODE": ("CEP {}", "01310-100"),
    "TRAVEL_PERMIT": ("通行证 {}", "C12345678"),
    "ABA_ROUTING": ("routing number {}", "111000025"),
    "US_NPI": ("NPI {}", "1245319599"),
    "US_EIN": ("EIN {}", "04-2103594"),
    "CNH": ("CNH {}", "09770304734"),
    "VOTER_ID": ("título de eleitor {}", "217633460930"),
    "RG": ("RG {}", "24.678.131-4"),
    "UK_NHS": ("NHS number {}", "943 476 5870"),
    "UK_UTR": ("UTR {}", "1234567895"),
    "NL_BSN": ("BSN {}", "111222333"),
    "PT_NIF": ("NIF {}", "501964843"),
    "HR_OIB": ("OIB {}", "33392005961"),
    "LV_PERSONAS_KODS": ("personas kods {}", "161175-19997"),
    "AT_SVNR": ("SVNR {}", "1237 010180"),
    "DE_ID_CARD": ("Personalausweis {}", "T220001293"),
    "CA_SIN": ("SIN {}", "123-456-782"),
    "AR_DNI": ("DNI {}", "20.123.456"),
    "JP_MY_NUMBER": ("マイナンバー {}", "621498320257"),
    "TR_KIMLIK": ("TC Kimlik {}", "10048987300"),
    "AU_TFN": ("TFN {}", "112474082"),
    "AU_ACN": ("ACN {}", "000 750 005"),
    "AU_MEDICARE": ("Medicare {}", "2123 45670 1"),
    "IL_ID": ("תעודת זהות {}", "039337423"),
}
"""Entity type -> what stands around a value, and the value."""

_FULLWIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_ARABIC_DIGITS: Final = {ord("0") + digit: 0x0660 + digit for digit in range(10)}
DISGUISES: Final[dict[str, Callable[[str], str]]] = {
    "plain": lambda value: value,
    "fullwidth": lambda value: value.translate(_FULLWIDTH),
    "arabic-indic digits": lambda value: value.translate(_ARABIC_DIGITS),
    "zero-width space": lambda value: "\u200b".join(value),
    "soft hyphen": lambda value: value[:5] + "\u00ad" + value[5:],
    "combining mark": lambda value: value[:3] + "\u0301" + value[3:],
    "no-break space": lambda value: value.replace(" ", "\u00a0"),
    "no-break hyphen": lambda value: value.replace("-", "\u2011"),
}
"""Name -> plain value to the same value as a reader still recognises it."""
_BESIDE_HAN: Final = "资料{}资料"
"""Text without spaces, in which Unicode word boundaries would hide the value."""


def check(redact: Callable[[str], str]) -> None:
    """Raises ServiceError, naming entity type and disguise, at the first canary that `redact` lets through."""
    for entity_type, values in CANARIES.items():
        found = placeholder(entity_type)
        for value in values:
            for name, disguise in DISGUISES.items():
                if redact(disguise(value)) != found:
                    raise ServiceError(f"redactor self-test: {entity_type} is not found ({name})")
            if redact(_BESIDE_HAN.format(value)) != _BESIDE_HAN.format(found):
                raise ServiceError(f"redactor self-test: {entity_type} is not found (beside Han)")
    for entity_type, (around, value) in ANNOUNCED.items():
        if redact(around.format(value)) != around.format(placeholder(entity_type)):
            raise ServiceError(f"redactor self-test: {entity_type} is not found (announced)")
