"""Reads the records of a fetched batch, one behind the other, in the format of KIP-98 ("Message Format")."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    LONGEST = 63  # shift of the last septet that a number of 64 bits has
    LEAST_HEADER = 2  # bytes


cdef struct Text:
    const unsigned char* data
    Py_ssize_t at
    Py_ssize_t end


def read(
    bytes data not None, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t count, make, str topic not None, int partition,
    int64_t base_offset, int64_t first_ms, bint has_deltas, int64_t least_offset,
):
    """What `make(topic, partition, offset, timestamp, key, value, headers)` gives for the `count` records of
    `data[start:stop]`, without those below `least_offset`. Timestamps are `first_ms`, plus the record's own part if
    `has_deltas`; headers are a tuple of (text, bytes or None), and U+FFFD stands for what is no text.

    Raises `ValueError` where the records are not exactly these bytes.
    """
    cdef Text text
    cdef Py_ssize_t size, end
    cdef int64_t delta_ms, offset
    cdef list records = []
    if not 0 <= start <= stop <= PyBytes_GET_SIZE(data):
        raise ValueError("a place outside of the batch")
    text.data, text.at, text.end = <const unsigned char*>PyBytes_AS_STRING(data), start, stop
    for _ in range(count):
        size = _number(&text)
        if not 0 <= size <= text.end - text.at:
            raise ValueError("a record longer than its batch")
        end = text.at + size
        _number(&text)  # attributes, which have no meaning yet
        delta_ms = _number(&text)
        offset = _sum(base_offset, _number(&text))
        key, value = _nullable(&text), _nullable(&text)
        headers = _headers(&text)
        if text.at != end:
            raise ValueError("a record of another length than it says")
        if offset >= least_offset:
            records.append(
                make(topic, partition, offset, _sum(first_ms, delta_ms) if has_deltas else first_ms, key, value, headers)
            )
    if text.at != text.end:
        raise ValueError("bytes behind the last record")
    return records


cdef tuple _headers(Text* text):
    cdef int64_t count = _number(text), size
    if count == 0:
        return ()
    if not 0 < count <= (text.end - text.at) // LEAST_HEADER:
        raise ValueError("more headers than bytes")
    headers = []
    for _ in range(count):
        size = _number(text)
        if not 0 <= size <= text.end - text.at:
            raise ValueError("a header name longer than its batch")
        name = PyUnicode_DecodeUTF8(<const char*>text.data + text.at, size, "replace")
        text.at += size
        headers.append((name, _nullable(text)))
    return tuple(headers)


cdef object _nullable(Text* text):
    """Bytes behind their length; None where that is negative."""
    cdef int64_t size = _number(text)
    if size < 0:
        return None
    if size > text.end - text.at:
        raise ValueError("a part longer than its batch")
    text.at += size
    return PyBytes_FromStringAndSize(<const char*>text.data + text.at - size, size)


cdef int64_t _number(Text* text) except? -1:
    """The number that begins here: groups of seven bits, the lowest first, in zigzag code."""
    cdef uint64_t number = 0, septet
    cdef int shift = 0
    while True:
        if text.at == text.end:
            raise ValueError("a number that is cut off")
        septet = text.data[text.at]
        text.at += 1
        number |= (septet & 0x7F) << shift
        if septet < 0x80:
            return <int64_t>(number >> 1) ^ -<int64_t>(number & 1)
        shift += 7
        if shift > LONGEST:
            raise ValueError("a number of more than 64 bits")


cdef inline int64_t _sum(int64_t a, int64_t b) noexcept:
    """Of any two numbers: what a stranger wrote may leave their range, and then stands for nothing anyway."""
    return <int64_t>(<uint64_t>a + <uint64_t>b)
