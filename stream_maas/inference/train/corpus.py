"""Where the training texts come from, what is wrong with them, and how they are split.

Source: the vaderSentiment 3.3.2 source distribution (MIT), which holds the four human-rated sets and the lexicon
of C.J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text"
(ICWSM 2014). The texts belong to third parties: they are downloaded for training and never passed on.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from stream_maas.errors import ServiceError
from stream_maas.inference.train.packages import SENTIMENT_TEXTS, Shelf

_ROOT = "vaderSentiment-3.3.2"
_ARCHIVE = f"{_ROOT}/additional_resources/hutto_ICWSM_2014.tar.gz"
_LEXICON = f"{_ROOT}/vaderSentiment/vader_lexicon.txt"
DOMAINS = {
    "movie": ("movieReviewSnippets", 10_605),
    "tweets": ("tweets", 4_200),
    "amazon": ("amazonReviewSnippets", 3_708),
    "nyt": ("nytEditorialSnippets", 5_190),
}
"""Domain -> file name stem and number of rated texts."""
_LOWER_CASED_DOMAINS = frozenset({"amazon"})
"""The source has no capitals there, so a name cannot be told from a word."""
_REMOVED_BY_AUTHORS = re.compile(r"@anonymous\b|http://url_removed\S*")
_LEXICON_WORD = re.compile(r"[a-z]{2,}")
_WORD = re.compile(r"\w+")
_SENTENCE_START = re.compile(r"[.!?:;\"'()\[\]–—-]")
TEST_SHARE = 5
"""One text in so many is held out."""


@dataclass(frozen=True, slots=True)
class Example:
    """One rated text. `rating`: mean of 15 to 99 human ratings, -4 to +4, never 0."""

    domain: str
    id: str
    rating: float
    text: str

    @property
    def held_out(self) -> bool:
        """True for the test texts: chosen by a hash of domain and id, so that no shuffle can move one."""
        digest = hashlib.sha256(f"{self.domain}/{self.id}".encode()).digest()
        return int.from_bytes(digest[:4]) % TEST_SHARE == 0


@dataclass(frozen=True, slots=True)
class Corpus:
    """`lexicon`: word -> mean valence, -4 to +4, as rated by ten people."""

    examples: tuple[Example, ...]
    lexicon: dict[str, float]


def load_corpus(shelf: Shelf) -> Corpus:
    """Read the rated texts and the lexicon. Raises `ServiceError` when the pinned package cannot be had."""
    corpus = read_corpus(shelf.read(SENTIMENT_TEXTS))
    for domain, (_, count) in DOMAINS.items():
        found = sum(example.domain == domain for example in corpus.examples)
        # A few ratings are exactly 0 and left out (37, 4, 98 and 244 texts).
        if not count * 0.95 <= found <= count:
            raise ServiceError(f"{SENTIMENT_TEXTS.filename}: {found} texts in {domain}, expected about {count}")
    return corpus


def read_corpus(content: bytes) -> Corpus:
    """Parse the bytes of the source distribution (a tar with a tar in it), in memory."""
    with tarfile.open(fileobj=io.BytesIO(content)) as outer:
        lexicon = _read(outer, _LEXICON).decode("utf-8")
        archive = _read(outer, _ARCHIVE)
    examples: list[Example] = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as inner:
        for domain, (stem, _) in DOMAINS.items():
            # The ground truth file, not the one with single ratings: for 199 tweets their means differ.
            table = _read(inner, f"hutto_ICWSM_2014/{stem}_GroundTruth.txt").decode("utf-8-sig")
            examples += _examples(domain, table)
    return Corpus(tuple(examples), _lexicon(lexicon))


def proper_names(examples: Iterable[Example]) -> frozenset[str]:
    """Words (lower case) that are capitalised more often than not inside sentences.

    Names of people, places, peoples, parties: a name must carry no weight, and has no place in a published
    vocabulary.
    """
    capital: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for example in examples:
        if example.domain in _LOWER_CASED_DOMAINS:
            continue
        end = 0
        for match in _WORD.finditer(example.text):
            word, gap = match.group(), example.text[end : match.start()]
            starts_sentence = match.start() == 0 or _SENTENCE_START.search(gap)
            end = match.end()
            if len(word) < 2 or starts_sentence:
                continue
            if word.islower():
                small[word] += 1
            elif word[0].isupper() and word[1:].islower():
                capital[word.lower()] += 1
    return frozenset(word for word in capital if capital[word] > small[word])


def _examples(domain: str, table: str) -> list[Example]:
    """Tab-separated id, rating, text. Texts whose raters came out at exactly 0 have no side and are left out."""
    examples = []
    for line in table.split("\r\n"):
        if not line.strip():
            continue
        number, rating, text = line.split("\t", 2)
        if float(rating) != 0:
            text = _REMOVED_BY_AUTHORS.sub(" ", html.unescape(text))
            examples.append(Example(domain, number, float(rating), text))
    return examples


def _lexicon(table: str) -> dict[str, float]:
    """Plain words only: emoticons and numbers are no words to the tokenizer."""
    entries = (line.split("\t")[:2] for line in table.splitlines() if line.strip())
    return {word: float(valence) for word, valence in entries if _LEXICON_WORD.fullmatch(word)}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        member = archive.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise ServiceError(f"{SENTIMENT_TEXTS.requirement}: {name} is missing from the archive")
    return member.read()
