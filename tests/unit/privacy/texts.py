"""Strategies: texts of the kind that redaction has trouble with."""

from __future__ import annotations

from hypothesis import strategies as st

from stream_maas.privacy.canaries import CANARIES, DISGUISES

VALUES = [(entity_type, value) for entity_type, values in CANARIES.items() for value in values]
DIGITS = "0123456789"

numbers = st.lists(st.text(DIGITS, min_size=1, max_size=8), min_size=1, max_size=6).flatmap(
    lambda groups: st.sampled_from([" ", "-", ".", "/", ") ", " (", "_", ""]).map(
        lambda separator: separator.join(groups)
    )
)
canaries = st.sampled_from(VALUES).map(lambda pair: pair[1])
disguised = st.builds(lambda disguise, value: disguise(value), st.sampled_from(list(DISGUISES.values())), canaries)
fragments = st.one_of(
    canaries,
    disguised,
    numbers,
    st.sampled_from(
        [
            "call me at",
            "phone",
            "SSN",
            "invoice",
            "tel",
            "电话",
            "说",
            "and",
            "or",
            ",",
            ";",
            ".",
            "\n",
            "[PHONE]",
            "[EMAIL]",
        ]
    ),
    st.sampled_from(
        ["+", "(", ")", "@", "@x.com", "%40", "DE", "x", "X", "é", "\u200b", "\u00ad", "\u0301", "١", "４", "\ud800"]
    ),
    st.text(max_size=4),
)
texts = st.lists(fragments, max_size=12).flatmap(
    lambda parts: st.sampled_from(["", " ", " ", ", "]).map(lambda joint: joint.join(parts))
)
