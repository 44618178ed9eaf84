"""Many texts without async, as in a notebook: in order, with a progress bar, failures where they happened."""

from stream_maas import SyncClient, errors

TEXTS = [
    "The food was cold and the waiter was rude.",
    "Sturdy, simple and easy to clean; the best kettle we have owned.",
    "Write to ada@example.org, the support there is wonderful.",
]

with SyncClient() as client:
    predictions = client.predict_many("sentiment-lite", TEXTS, progress=True, tenant="docs")
    for text, prediction in zip(TEXTS, predictions, strict=True):
        print(f"{prediction.label:<9} {prediction.score:.2f} {dict(prediction.redactions)} {text}")

    try:
        client.predict("no-such-model", "Hello.")
    except errors.UnknownModelError as error:
        print("rejected:", error.code, "retryable" if error.retryable else "final")
