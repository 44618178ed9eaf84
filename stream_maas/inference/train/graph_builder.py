"""How ONNX graphs are put together here: constants by name, nodes by operator, and sums that have no order.

A sum of floats depends on the order of its terms, and ONNX Runtime picks the order by the shape of the batch. So where
a row's numbers are added up for its result, they are rounded to whole units of 2^-k first: integer sums are exact in
any order, a row gets the same bits alone, in a batch, and padded to any length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MICROSOFT, MACHINE_LEARNING = "com.microsoft", "ai.onnx.ml"
_VERSIONS = {MICROSOFT: 1, MACHINE_LEARNING: 3}
DTYPES = {"FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE, "INT32": TensorProto.INT32,
          "INT64": TensorProto.INT64, "BYTES": TensorProto.STRING}  # fmt: skip
_LOGISTIC_BLOCK = 16
"""Floats of the widest register. The logistic function may treat the end of an array unlike its middle."""


class GraphBuilder:
    """Nodes in the order they are added. Names of tensors are made here and mean nothing."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._domains = {""}

    def constant(self, value: NDArray[Any], name: str = "") -> str:
        """A fixed tensor; returns its name."""
        name = name or f"constant_{len(self._constants)}"
        # Not ascontiguousarray: it makes a scalar one-dimensional.
        self._constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """A constant INT64 [len(values)]."""
        return self.constant(np.array(values, dtype=np.int64))

    def integer(self, value: int) -> str:
        """A constant INT64 scalar."""
        return self.constant(np.array(value, dtype=np.int64))

    def real(self, value: float, dtype: Any = np.float32) -> str:
        """A constant float scalar."""
        return self.constant(np.array(value, dtype=dtype))

    def add(self, operator: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """One node with one output; returns the output's name."""
        (output,) = self.add_many(operator, *inputs, names=[name], domain=domain, **attributes)
        return output

    def add_many(
        self, operator: str, *inputs: str, names: Sequence[str], domain: str = "", **attributes: Any
    ) -> list[str]:
        """One node with an output for each of `names`; an empty name is made up."""
        number = len(self._nodes)
        outputs = [name or f"{operator}_{number}_{index}" for index, name in enumerate(names)]
        self._domains.add(domain)
        node = helper.make_node(operator, list(inputs), outputs, name=f"{operator}_{number}", domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return outputs

    def adopt(self, nodes: Sequence[Any], constants: Sequence[Any]) -> None:
        """Take nodes and constants made elsewhere, names and all."""
        self._nodes.extend(nodes)
        self._domains.update(node.domain for node in nodes)
        self._constants.update({constant.name: constant for constant in constants})

    def cast(self, tensor: str, datatype: str, *, name: str = "") -> str:
        """To an Open Inference Protocol datatype."""
        return self.add("Cast", tensor, name=name, to=DTYPES[datatype])

    def exact_sum(self, tensor: str, axis: int, fraction_bits: int) -> str:
        """FP32 or FP64 -> FP64, summed over `axis`, each term first rounded to units of 2^-fraction_bits.

        Exact in any order while terms x 2^fraction_bits add up to less than 2^53.
        """
        real = self.cast(tensor, "FP64")
        units = self.add("Round", self.add("Mul", real, self.real(2.0**fraction_bits, np.float64)))
        total = self.add("ReduceSum", self.cast(units, "INT64"), self.integers(axis), keepdims=0)
        return self.add("Mul", self.cast(total, "FP64"), self.real(2.0**-fraction_bits, np.float64))

    def two_probabilities(self, log_odds: str, name: str) -> str:
        """FP64 [b] -> FP32 [b, 2], the second column 1 / (1 + exp(-log_odds)), alike for every b."""
        column = self.add("Unsqueeze", self.cast(log_odds, "FP32"), self.integers(1))
        size = self.add("Concat", self.add("Shape", log_odds), self.integers(_LOGISTIC_BLOCK), axis=0)
        block = self.add("Sigmoid", self.add("Expand", column, size))
        positive = self.add("Slice", block, self.integers(0), self.integers(1), self.integers(1))
        return self.add("Concat", self.add("Sub", self.real(1.0), positive), positive, name=name, axis=1)

    def serialise(
        self,
        name: str,
        inputs: Mapping[str, tuple[str, Sequence[str | int]]],
        outputs: Mapping[str, tuple[str, Sequence[str | int]]],
        metadata: Mapping[str, str],
        *,
        opset: int,
        ir_version: int,
    ) -> bytes:
        """The checked model. `inputs`, `outputs`: name -> (Open Inference Protocol datatype, shape)."""

        def infos(specs: Mapping[str, tuple[str, Sequence[str | int]]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, DTYPES[datatype], list(shape))
                for name, (datatype, shape) in specs.items()
            ]

        graph = helper.make_graph(self._nodes, name, infos(inputs), infos(outputs), list(self._constants.values()))
        opsets = [helper.make_opsetid(domain, _VERSIONS.get(domain, opset)) for domain in sorted(self._domains)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="stream_maas")
        model.ir_version = ir_version
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
