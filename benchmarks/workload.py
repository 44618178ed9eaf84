"""Keeps what the measured requests look like: seeded, so that every contender and every run gets the same bytes.

Sentences of 10-45 words built from the clauses below (so that word pairs repeat as they do in real text, which a
list of random words would not give), wrapped as Open Inference Protocol JSON with a UUID as id and key and one or two
parameters. One request in twenty holds personal data. All of it is synthetic: example domains, numbers reserved for
fiction, test card numbers.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

SEED = 20_260
PERSONAL_SHARE = 0.05

_SUBJECTS = (
    "the film", "the second half", "this book", "the battery", "the delivery", "the support team", "her performance",
    "the plot", "the soundtrack", "my new phone", "the hotel room", "the waiter", "the update", "the main character",
    "the packaging", "the ending", "the dialogue", "this kettle", "the screen", "the whole cast", "the direction",
    "the manual", "the sequel", "the seller", "the app", "the story", "the camera work", "the food",
)  # fmt: skip
_VERBS = (
    "was", "is", "turned out to be", "felt", "seemed", "looked", "remains", "could not have been more",
    "is anything but",
)  # fmt: skip
_DEGREES = ("", "really ", "surprisingly ", "rather ", "so ", "simply ", "quite ", "a little ", "absolutely ")
_QUALITIES = (
    "wonderful", "terrible", "boring", "great", "slow", "funny", "disappointing", "beautiful", "cheap", "solid",
    "confusing", "charming", "predictable", "brilliant", "awful", "moving", "broken", "comfortable", "rude", "helpful",
    "overpriced", "gripping", "forgettable", "clever", "dull", "lovely", "useless", "reliable", "loud", "fresh",
)  # fmt: skip
_TAILS = (
    "and I would buy it again", "but nobody told us why", "and we watched it twice", "although it cost a lot",
    "which is not what I expected", "and my kids loved every minute", "so I sent it back the next day",
    "even after three weeks of daily use", "and that's all there is to say", "but the first ten minutes don't work",
    "and it arrived two days early", "because the script never finds its rhythm", "and nothing else comes close",
    "yet I can't recommend it to anybody", "and it still makes me smile", "while the competition does it better",
)  # fmt: skip
_PERSONAL = (
    "write to {word}.{word}@example.org", "my card is 4111 1111 1111 1111", "call me at +44 20 7946 0{number}",
    "pay it to DE89 3704 0044 0532 0130 00", "reach me under {word}{number}@example.com",
)  # fmt: skip
_WORDS = ("maria", "ivan", "chen", "olu", "sofia", "jonas", "amara", "luc")
_TENANTS = ("north", "south", "east", "west")
_PURPOSES = ("support", "quality", "moderation")


@dataclass(frozen=True, slots=True)
class Request:
    """One record to send."""

    id: str
    key: bytes
    value: bytes
    personal: bool
    """Whether personal data was planted in its text."""


def requests(count: int, *, seed: int = SEED) -> Sequence[Request]:
    """`count` requests; the first ones are the same for every count."""
    rng = random.Random(seed)
    return [_request(rng) for _ in range(count)]


def _request(rng: random.Random) -> Request:
    personal = rng.random() < PERSONAL_SHARE
    text = _text(rng, rng.randint(10, 45), personal=personal)
    parameters: dict[str, str] = {"tenant": rng.choice(_TENANTS)}
    if rng.random() < 0.5:
        parameters["purpose"] = rng.choice(_PURPOSES)
    name = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    document = {
        "id": name,
        "parameters": parameters,
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}],
    }
    return Request(name, name.encode(), orjson.dumps(document), personal)


def _text(rng: random.Random, words: int, *, personal: bool) -> str:
    """Clauses until `words` is reached, cut there; personal data stands behind the cut."""
    spoken: list[str] = []
    while len(spoken) < words:
        clause = (
            f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_DEGREES)}{rng.choice(_QUALITIES)} "
            f"{rng.choice(_TAILS)}"
        ).split()
        clause[0] = clause[0].capitalize()
        clause[-1] += rng.choice((".", ".", ".", "!", ";"))
        spoken += clause
    text = " ".join(spoken[:words])
    if personal:
        template = rng.choice(_PERSONAL)
        text += ", " + template.format(word=rng.choice(_WORDS), number=rng.randint(100, 999)) + "."
    return text
