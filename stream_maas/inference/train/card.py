"""The model card of sentiment-lite: its text, filled with what was measured."""

from __future__ import annotations

from typing import Any

_CARD = """\
# Model card: sentiment-lite 1.0.0

Says whether an English text sounds positive or negative, with a probability and, on request, the words that
decided. A linear model over {terms:,} words and pairs of neighbouring words; a text takes a few microseconds.

## Use
Trends over many short texts (reviews, comments, messages), and the first or the fallback tier in front of a
larger model. The licence of the weights is Apache-2.0.

It must not be used for
- decisions about a person (hiring, credit, insurance, moderation sanctions, care),
- inferring health, emotion or opinion of an identified person,
- languages other than English.

## Data
The four text sets and the lexicon of C.J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for
Sentiment Analysis of Social Media Text", ICWSM 2014, as they come with the source distribution of vaderSentiment
3.3.2 (MIT licence, copyright 2016 C.J. Hutto): movie reviews, tweets, Amazon reviews and New York Times
editorials in English, each sentence rated by 15 to 99 people. The texts belong to third parties and are not part
of this bundle.

Label: the sign of the mean rating; texts rated exactly 0 are left out. {training:,} texts to train,
{held_out:,} held out by a hash of their id. The more decided the raters, the more a text weighs in training.

Left out of the vocabulary: terms of fewer than 3 texts, terms with digits, and words that are mostly capitalised
inside sentences. So names of people, places, peoples and parties carry no weight, and none is published here.

## Held-out results
| domain | accuracy | AUC | always the more frequent label |
|---|---|---|---|
{domains}

| slice (all domains) | accuracy | texts |
|---|---|---|
{slices}

Expected calibration error (10 bins): {calibration_error}. Largest difference between a served probability and
scikit-learn's: {difference}.

## Limits
- It counts words: irony, comparison and negation beyond the neighbouring word are lost on it.
- Tweets look better than they should: the lexicon was made by the authors of the tweet set.
- Other domains than these four have other shares of positive texts; check the threshold on your own data.
- Lower-case words for groups of people (sex, religion, health) are not left out. Their weights come from how
  reviewers, tweeters and editors write, and were not tested for fairness.
- A text without a known word gets the training prior; nothing in the answer says so but `contributions`.
- Placeholders left by redaction, such as [EMAIL], are ignored.

## Properties of the served model
The probability of a text is the same bits alone and in any batch. `contributions` add up: the log-odds of
"positive" are bias + the named terms + rest. Terms are taken from the vocabulary, never from the text.
"""


def model_card(metrics: dict[str, Any]) -> str:
    """Markdown. `metrics` as made by `sentiment_lite.measure`, plus `texts` and the difference once known."""
    majority = {name: f"{share:.3f}" for name, share in metrics["majority_class"].items()}
    domains = "\n".join(
        f"| {name} | {accuracy:.3f} | {metrics['auc'][name]:.3f} | {majority.get(name, '')} |"
        for name, accuracy in metrics["accuracy"].items()
    )
    slices = "\n".join(
        f"| {name} | {slice_['accuracy']:.3f} | {slice_['texts']:,} |" for name, slice_ in metrics["slices"].items()
    )
    return _CARD.format(
        **metrics["texts"],
        domains=domains,
        slices=slices,
        calibration_error=metrics["calibration_error"],
        difference=metrics.get("max_difference_to_scikit_learn", "not measured yet"),
    )
