"""Writes the records of a produce batch one behind the other, in the format of KIP-98 ("Message Format")."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


def fill(list rows not None, Py_ssize_t start, Py_ssize_t head_bytes, Py_ssize_t most_bytes):
    """(records, count): `rows[start:start + count]`, as many as stay below `most_bytes` with a head of `head_bytes`,
    and one at least. A row has `key`, `value` (bytes or None) and `headers`, a list of (text, bytes or None); its
    timestamp is the batch's. Raises `TypeError` for another row."""
    cdef bytearray records = bytearray()
    cdef Py_ssize_t end = 0, room = 0, size, index
    if start < 0 or head_bytes < 0:
        raise ValueError("a place before the beginning")
    for index in range(start, len(rows)):
        row = rows[index]
        key, value, headers = row.key, row.value, row.headers
        if not isinstance(headers, list):
            raise TypeError("headers are no list")
        size = 2 + _varint_size(index - start) + _bytes_size(key) + _bytes_size(value) + _headers_size(<list>headers)
        if head_bytes + end + _varint_size(size) + size >= most_bytes and index > start:
            break
        if end + _varint_size(size) + size > room:
            room = _room(end, _varint_size(size) + size, len(rows) - index, most_bytes)
            if end:
                PyByteArray_Resize(records, room)
            else:  # not filled with zeros
                records = PyByteArray_FromStringAndSize(NULL, room)
        end = _write(records, end, size, index - start, key, value, <list>headers)
    else:
        index = len(rows)
    PyByteArray_Resize(records, end)
    return records, index - start


cdef Py_ssize_t _room(Py_ssize_t used, Py_ssize_t size, Py_ssize_t count, Py_ssize_t most_bytes) noexcept:
    """Bytes for `count` records of which the first one has `size`, and the others most likely as many."""
    cdef Py_ssize_t likely = min(max(2 * used, used + (size + size // 4) * count), most_bytes)
    return max(used + size, likely)


cdef Py_ssize_t _write(
    bytearray records, Py_ssize_t at, Py_ssize_t size, Py_ssize_t offset, key, value, list headers
) except -1:
    """Write one record of `size` bytes at `at`; the place behind it. There has to be room for it."""
    cdef char* end = PyByteArray_AS_STRING(records) + at
    cdef Py_ssize_t name_size
    cdef const char* name
    end = _put_varint(end, size)
    end[0] = 0  # attributes
    end[1] = 0  # milliseconds after the batch's first timestamp
    end = _put_varint(end + 2, offset)
    end = _put_bytes(end, key)
    end = _put_bytes(end, value)
    end = _put_varint(end, len(headers))
    for header in headers:
        name = PyUnicode_AsUTF8AndSize((<tuple>header)[0], &name_size)
        end = _put_varint(end, name_size)
        memcpy(end, name, name_size)
        end = _put_bytes(end + name_size, (<tuple>header)[1])
    return end - PyByteArray_AS_STRING(records)


cdef Py_ssize_t _headers_size(list headers) except -1:
    cdef Py_ssize_t size = _varint_size(len(headers)), name_size
    for header in headers:
        if type(header) is not tuple or len(<tuple>header) != 2:
            raise TypeError("a header is no pair")
        PyUnicode_AsUTF8AndSize((<tuple>header)[0], &name_size)
        size += _varint_size(name_size) + name_size + _bytes_size((<tuple>header)[1])
    return size


cdef Py_ssize_t _bytes_size(data) except -1:
    if data is None:
        return 1
    if not PyBytes_CheckExact(data):
        raise TypeError("neither bytes nor None")
    return _varint_size(PyBytes_GET_SIZE(data)) + PyBytes_GET_SIZE(data)


cdef char* _put_bytes(char* end, data) noexcept:
    if data is None:
        end[0] = 1  # length -1
        return end + 1
    end = _put_varint(end, PyBytes_GET_SIZE(data))
    memcpy(end, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return end + PyBytes_GET_SIZE(data)


cdef inline Py_ssize_t _varint_size(Py_ssize_t number) noexcept:
    """Bytes of a number, none of which is negative here, in zigzag code."""
    cdef uint64_t left = <uint64_t>number << 1
    cdef Py_ssize_t size = 1
    while left >= 0x80:
        left >>= 7
        size += 1
    return size


cdef inline char* _put_varint(char* end, Py_ssize_t number) noexcept:
    cdef uint64_t left = <uint64_t>number << 1
    while left >= 0x80:
        end[0] = <char>(left & 0x7F | 0x80)
        left >>= 7
        end += 1
    end[0] = <char>left
    return end + 1
