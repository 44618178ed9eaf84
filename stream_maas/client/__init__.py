"""The SDK: a request sent and its answer awaited over Kafka, as one call.

async with Client("127.0.0.1:9092") as client:
    prediction = await client.predict("sentiment-lite", "What a lovely film.")
"""

from stream_maas.client.answers import AnswerTimeoutError, Call, Prediction, RejectedError, Result, tensors
from stream_maas.client.matching import Pending
from stream_maas.client.session import Client
from stream_maas.client.sync import SyncClient

__all__ = [
    "AnswerTimeoutError",
    "Call",
    "Client",
    "Pending",
    "Prediction",
    "RejectedError",
    "Result",
    "SyncClient",
    "tensors",
]
