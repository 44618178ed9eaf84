"""How fast one core redacts: `python benchmarks/redaction_speed.py [ENGINE...]` (about 40 s).

Texts of about 230 characters that never repeat; 22 % hold other than ASCII, 45 % hold one to three planted values, of
every type there is. Every find becomes a keyed pseudonym. CPU time of one thread, best of three rounds, because the
machine may be shared. Measured with the compiled kernels, then without: those lines say "python". Nothing is asserted.
"""

from __future__ import annotations

import importlib.util
import os
import random
import resource
import statistics
import string
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence

from stream_maas import native
from stream_maas.privacy import RedactionConfig, Redactor
from stream_maas.privacy.canaries import CANARIES
from stream_maas.privacy.policy import Policy
from stream_maas.records import Request, Tensor

TEXTS = 3_000
TEXT_CHARS = 230
ROUNDS = 3
LONG_CHARS = 2_000
LONG_TEXTS = 1_000
NON_ASCII_RATIO = 0.22
ENGINES = ("re2", "hyperscan", "re") if importlib.util.find_spec("hyperscan") else ("re2", "re")
PLANTED = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 3)

ENGLISH = (
    "the delivery was late again and nobody at the store could say when it would arrive",
    "in 2023 we paid 1,500 for 20 of them and I would not buy here a second time",
    "great value, works as described, my sister ordered two more the same day",
    "battery lasts about 9 hours on a full charge which is less than the 12 they promise",
    "support answered within a day but their advice did not help at all",
    "the colours look better than in the pictures and the fabric feels warm",
    "opened a ticket on 5 May, got a reply on 7 May, still waiting for the refund",
)
OTHERS = (
    "доставка снова опоздала и никто не мог сказать, когда придёт посылка",
    "这家店的服务非常好，菜品味道也很棒，价格合理，下次还会带朋友一起来",
    "la livraison était très en retard et le service clientèle n’a rien fait",
    "die Qualität ist größer als erwartet, würde ich wieder kaufen – gerne",
    "a qualidade não é boa, o produto veio quebrado e já é a 2ª vez",
    "الخدمة ممتازة والتوصيل سريع وسأطلب مرة أخرى بالتأكيد",
)


def natural_text(rng: random.Random) -> str:
    """One text with its planted values."""
    pool = OTHERS if rng.random() < NON_ASCII_RATIO else ENGLISH
    parts: list[str] = []
    while sum(map(len, parts)) < TEXT_CHARS - 80:
        parts.append(rng.choice(pool))
    for _ in range(rng.choice(PLANTED)):
        values = rng.choice(list(CANARIES.values()))
        parts.insert(rng.randrange(len(parts) + 1), f"my contact is {rng.choice(values)} thanks")
    return f"{rng.randrange(100)} " + ". ".join(parts)


def cpu_us(call: Callable[[], object], count: int) -> float:
    """Best CPU time of `call` in microseconds, divided by `count`."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times) / count * 1e6


def pseudonymiser(engine: str) -> Redactor:
    """Full redaction with pseudonyms, as a tenant would have it."""
    policy = Policy.parse("{name: speed, version: 1, rules: [{do: {operator: pseudonym}}]}")
    return Redactor(
        RedactionConfig(gate=engine, pseudonym_key="a secret for this benchmark alone, of no worth"), policy
    )


def measure_latency(redactor: Redactor, rng: random.Random) -> None:
    """Texts of 2 KB one by one: what the slowest of a hundred cost."""
    times = []
    for _ in range(LONG_TEXTS):
        text = ". ".join(natural_text(rng) for _ in range(LONG_CHARS // TEXT_CHARS))[:LONG_CHARS]
        started = time.process_time()
        redactor.redact_text(text)
        times.append((time.process_time() - started) * 1e6)
    times.sort()
    median, p99 = times[LONG_TEXTS // 2], times[LONG_TEXTS * 99 // 100]
    print(f"{label(redactor)} {'natural, 2,000 characters':28} p50 {median:,.0f} us, p99 {p99:,.0f} us")


def measure_texts(redactor: Redactor, name: str, texts: Sequence[str]) -> None:
    us = cpu_us(lambda: [redactor.redact_text(text) for text in texts], len(texts))
    chars = statistics.mean(map(len, texts))
    print(f"{label(redactor)} {name:28} {us:7.1f} us  {1e6 / us:9,.0f} texts/s  ({chars:.0f} characters)")


def label(redactor: Redactor) -> str:
    """What does the work."""
    return f"{redactor.engine:10} {'python ' if native.missing() else 'kernels'}"


def main(engines: Sequence[str]) -> None:
    rng = random.Random(3)
    printable = string.printable
    kinds = {
        "natural": [natural_text(rng) for _ in range(TEXTS)],
        "character soup": ["".join(rng.choices(printable, k=200)) for _ in range(TEXTS)],
        "digit soup": ["".join(rng.choices("0123456789 -./()", k=200)) for _ in range(TEXTS)],
    }
    kinds["natural, nothing planted"] = [text for text in kinds["natural"] if "contact" not in text]
    kinds["natural, something planted"] = [text for text in kinds["natural"] if "contact" in text]
    for engine in engines:
        redactor = pseudonymiser(engine)
        for name, texts in kinds.items():
            measure_texts(redactor, name, texts)
        measure_latency(redactor, rng)
        rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{label(redactor)} {'memory of this process':28} {rss_mib:7.0f} MiB at most so far")
    redactor = Redactor(RedactionConfig(gate=engines[0]))
    request = Request(
        id=str(uuid.UUID(int=rng.getrandbits(128))),
        id_source="body",
        inputs=(Tensor("text", "BYTES", (1,), [f"{ENGLISH[0]}, {ENGLISH[2]}"]),),
        model_name="sentiment-lite",
        tenant="acme",
        purpose="support",
        parameters={"locale": "en", "channel": "web", "app_version": "2.3.1"},
    )
    key = str(uuid.UUID(int=rng.getrandbits(128))).encode()
    us = cpu_us(lambda: [redactor.redact_request(request, key=key) for _ in range(TEXTS)], TEXTS)
    print(f"{label(redactor)} {'common request':28} {us:7.1f} us", flush=True)


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(ENGINES)
    main(chosen)
    if not native.missing():
        without = {**os.environ, "STREAM_MAAS_NATIVE": "off"}
        subprocess.run([sys.executable, __file__, chosen[0]], env=without, check=True)
