"""ONNX Runtime: how a graph is opened and called, and that what it says of a call goes nowhere.

Reasons for the settings (measured; docs/models.md has the figures):
- one thread inside a call: batches of one session scale over callers, threads inside a call only spin;
- severity FATAL: ONNX Runtime prints failing index values, which come from the client, on standard error;
- no memory pattern: it caches one plan per input shape, and here nearly every batch has another shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stream_maas.errors import BundleError
from stream_maas.inference.config import RuntimeConfig

Array = NDArray[Any]

PROVIDER = "CPUExecutionProvider"
_FATAL = 4
_PREAMBLE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?\s*")
_CPP_PLACE = re.compile(r"^/\S+:\d+ .*?\)\s(?=[A-Z])")
_REASON_CHARS = 300
_DATATYPE_BY_TYPE = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
"""Open Inference Protocol datatype -> the array type ONNX Runtime takes for it."""


class RunError(Exception):
    """The graph failed. Carries no text: ONNX Runtime quotes input values in its own."""


class Cancellation:
    """Ends one call from another thread: the call raises `RunError` between two operators, the session stays usable."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self.options.terminate = True


class GraphTensor(NamedTuple):
    """An input or output as the graph declares it. Symbolic sizes are -1."""

    datatype: str | None
    """None: nothing that a request could carry."""
    shape: tuple[int, ...]
    onnx_type: str = ""
    """ONNX Runtime's own word, for example `tensor(bfloat16)` or `seq(tensor(float))`."""

    @property
    def strangeness(self) -> str:
        """Why `datatype` is None, and what to do about it: the end of a sentence about this tensor."""
        if self.onnx_type.startswith("tensor("):
            return f"is a {self.onnx_type}, which the protocol does not have; put a Cast to another type in the graph"
        kind = f"is a {self.onnx_type}" if self.onnx_type else "is no tensor"
        return f"{kind}, and records carry tensors only: export it as a tensor (scikit-learn: zipmap=False)"


class Session:
    """One opened graph, safe to call from several threads at once (ONNX Runtime's own guarantee)."""

    def __init__(self, path: Path, config: RuntimeConfig) -> None:
        """Open `path`. Raises `BundleError` if ONNX Runtime refuses it."""
        try:
            # By path, not by bytes: reading then happens without the interpreter lock, so a load stalls no one.
            self._session = ort.InferenceSession(str(path), _options(config), providers=[PROVIDER])
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise BundleError(f"{path}: ONNX Runtime refuses the graph ({_reason(error)})") from error
        self.inputs = {node.name: _graph_tensor(node) for node in self._session.get_inputs()}
        self.outputs = {node.name: _graph_tensor(node) for node in self._session.get_outputs()}
        meta = self._session.get_modelmeta()
        self.metadata: Mapping[str, str] = dict(meta.custom_metadata_map)
        self.producer: str = meta.producer_name
        self.description: str = meta.description.strip()

    def run(
        self, fetches: Sequence[str], feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> list[Array]:
        """The outputs named in `fetches`, in that order. Raises `RunError` when the call fails for any reason."""
        options = cancellation.options if cancellation is not None else None
        with suppress(Exception):  # as above. Raised outside the handler, so that no traceback drags the text along
            arrays: list[Array] = self._session.run(list(fetches), dict(feeds), options)
            return arrays
        raise RunError


def runtime_info(config: RuntimeConfig) -> dict[str, str | int]:
    """What a replay has to know of the engine; goes into audit events."""
    return {
        "onnxruntime": str(ort.__version__),
        "provider": PROVIDER,
        "intra_op_threads": config.intra_op_threads,
        "optimisation": "all",
    }


def _options(config: RuntimeConfig) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = max(1, config.intra_op_threads)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_mem_pattern = False
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _graph_tensor(node: Any) -> GraphTensor:
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape or ())
    return GraphTensor(_DATATYPE_BY_TYPE.get(node.type), shape, node.type)


def _reason(error: Exception) -> str:
    """What ONNX Runtime has against a graph, on one line. No record has been near it: this is the operator's own."""
    text = _CPP_PLACE.sub("", " ".join(_PREAMBLE.sub("", str(error)).split()))
    return text[:_REASON_CHARS].rstrip(". ") or type(error).__name__
