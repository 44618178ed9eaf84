"""The protocol versions that kip447.py adds to aiokafka 0.14, field by field as Kafka's message definitions have them.

TxnOffsetCommit v3 and OffsetFetch v7 (KIP-447) are flexible (KIP-482): compact strings and arrays, tagged fields.
Heartbeat v3 (KIP-345) is not. tests/contract/test_private_api.py holds their bytes.
"""

from __future__ import annotations

from typing import Any, TypeVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

_Utf8 = CompactString("utf-8")
_Text = String("utf-8")
_TAGS = ("tags", TaggedFields)
T = TypeVar("T", bound=RequestStruct)


class _InOrder(Request[T]):  # type: ignore[misc]
    """Builder of a request: its fields in the order of the only version's SCHEMA."""

    API_KEY = -1  # each has its own; aiokafka wants one of every class

    def __init__(self, *fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[T]) -> T:
        built: T = request_struct_class(*self._fields)
        return built


class TxnOffsetCommitResponse_v3(Response):  # type: ignore[misc]  # noqa: N801 - named as aiokafka names them
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "errors",
            CompactArray(
                ("topic", _Utf8),
                ("partition_errors", CompactArray(("partition", Int32), ("error_code", Int16), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class TxnOffsetCommitRequest_v3(RequestStruct):  # type: ignore[misc]  # noqa: N801
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TxnOffsetCommitResponse_v3
    SCHEMA = Schema(
        ("transactional_id", _Utf8),
        ("group_id", _Utf8),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", _Utf8),
        ("group_instance_id", _Utf8),
        (
            "topics",
            CompactArray(
                ("topic", _Utf8),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _Utf8),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class FencedTxnOffsetCommitRequest(_InOrder[TxnOffsetCommitRequest_v3]):
    API_KEY = 28


class OffsetFetchResponse_v7(Response):  # type: ignore[misc]  # noqa: N801
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _Utf8),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _Utf8),
                        ("error_code", Int16),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("error_code", Int16),
        _TAGS,
    )


class OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc]  # noqa: N801
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group", _Utf8),
        ("topics", CompactArray(("topic", _Utf8), ("partitions", CompactArray(Int32)), _TAGS)),
        ("require_stable", Boolean),
        _TAGS,
    )


class StableOffsetFetchRequest(_InOrder[OffsetFetchRequest_v7]):
    API_KEY = 9


class HeartbeatResponse_v3(Response):  # type: ignore[misc]  # noqa: N801
    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class HeartbeatRequest_v3(RequestStruct):  # type: ignore[misc]  # noqa: N801
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = HeartbeatResponse_v3
    SCHEMA = Schema(
        ("group_id", _Text),
        ("generation_id", Int32),
        ("member_id", _Text),
        ("group_instance_id", _Text),
    )


class StaticHeartbeatRequest(_InOrder[HeartbeatRequest_v3]):
    API_KEY = 12
