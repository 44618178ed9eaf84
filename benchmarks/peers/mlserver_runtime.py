"""Contender (d), inside MLServer: a runtime around ONNX Runtime, because MLServer has none of its own.

MLServer's adaptive batcher hands over many requests as one; the answer is cut apart by it again.
"""

from __future__ import annotations

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.peers.handmade import HandmadeModel


class HandmadeRuntime(MLModel):
    """One text per row in, label and probabilities out."""

    async def load(self) -> bool:
        self._handmade = HandmadeModel(self._settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """`data` of one request, or of as many as the batcher put together."""
        texts = [text if isinstance(text, str) else text.decode() for text in payload.inputs[0].data]
        pairs = self._handmade.predict(texts)
        labels = ["positive" if pair[1] > pair[0] else "negative" for pair in pairs]
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            id=payload.id,
            outputs=[
                ResponseOutput(name="label", shape=[len(pairs), 1], datatype="BYTES", data=labels),
                ResponseOutput(
                    name="probabilities",
                    shape=[len(pairs), 2],
                    datatype="FP32",
                    data=[p for pair in pairs for p in pair],
                ),
            ],
        )
