"""The sentences of the demo, and which personal data was planted in them.

Written for this project. Every personal value is synthetic: documentation examples, numbers reserved for fiction,
and well-known test numbers whose check digits are right (so that a recognizer that checks them must find them).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    """One request of the demo. `planted`: the exact strings that no output topic may contain."""

    text: str
    planted: tuple[str, ...] = ()


PLAIN = (
    "The second half of the film is a small miracle of timing and restraint.",
    "I fell asleep twice and woke up each time in the same pointless car chase.",
    "Delivery took three weeks and the box arrived crushed and open.",
    "These headphones are comfortable, light and sound better than the ones that cost twice as much.",
    "A tired script, wooden acting and a plot with more holes than a fishing net.",
    "My daughter laughed so hard that we watched it again the next evening.",
    "The battery dies after two hours and support has not answered a single message.",
    "An honest, beautifully acted portrait of two brothers who cannot say what they mean.",
    "Worst hotel of the trip: loud, dirty and somehow still overpriced.",
    "The recipe was easy to follow and the bread came out wonderful.",
    "Nothing in this sequel is as funny as the first five minutes of the original.",
    "Setup was painless and it has worked without a hitch for a year.",
    "The jokes are stale, the songs are forgettable and it never seems to end.",
    "She gives the best performance of her career in a film that deserves it.",
    "The zip broke on the first day, and the shop refused to take the jacket back.",
    "What a delight: clever, warm and exactly as long as it needs to be.",
    "The update made the app slower and removed the only feature I used.",
    "Great value, fast shipping, and the seller answered every question kindly.",
    "A dull and lifeless remake that understands nothing of what it copies.",
    "The staff went out of their way to help us, and we will certainly return.",
    "It leaks. It leaked when it was new, and it leaks after two repairs.",
    "Gorgeous pictures and a moving score cannot save a story this empty.",
    "I would recommend this book to anybody who loves a slow, thoughtful mystery.",
    "The screen scratched within a week although it never left its case.",
    "A gripping thriller that respects its audience from the first scene to the last.",
    "The food was cold, the waiter was rude and the bill was wrong.",
    "Sturdy, simple and easy to clean; the best kettle we have owned.",
    "Two hours of my life that I will never get back.",
    "The finale is breathtaking and earns every one of its tears.",
    "Cheap plastic, an awful smell, and a manual that makes no sense at all.",
)

PLANTED = (
    Sentence(
        "Terrible support: I wrote to them from maria.lindqvist@example.org four times and never got a reply.",
        ("maria.lindqvist@example.org",),
    ),
    Sentence("Wonderful service, please call me at +44 20 7946 0958 to book again.", ("+44 20 7946 0958",)),
    Sentence(
        "They charged my card 4111 1111 1111 1111 twice and refuse to give the money back.",
        ("4111 1111 1111 1111", "4111111111111111"),
    ),
    Sentence(
        "The refund to DE89 3704 0044 0532 0130 00 arrived the very next day, excellent.",
        ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
    ),
    Sentence(
        "What a disaster, they printed my social security number 536-90-4399 on the envelope.",
        ("536-90-4399", "536904399"),
    ),
    Sentence(
        "Fast and friendly, my CPF 529.982.247-25 was accepted without any trouble.",
        ("529.982.247-25", "52998224725"),
    ),
    Sentence("The clerk copied my id 11010519491231002X by hand, slow but polite.", ("11010519491231002X",)),
    Sentence(
        "Awful checkout: it showed the e-mail jonas.brandt@example.com and the card 5500 0000 0000 0004 of a stranger.",
        ("jonas.brandt@example.com", "5500 0000 0000 0004", "5500000000000004"),
    ),
    Sentence(
        "I love this shop; they even called back on +1 415 555 0132 to ask whether everything was fine.",
        ("+1 415 555 0132",),
    ),
    Sentence(
        "GB82 WEST 1234 5698 7654 32 was debited without notice, I am furious.",
        ("GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432"),
    ),
)

SENTENCES: tuple[Sentence, ...] = tuple(Sentence(text) for text in PLAIN) + PLANTED
