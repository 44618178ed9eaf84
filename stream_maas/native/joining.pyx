"""Joins pieces of a text, numbers among them, into bytes: each piece is copied once, and nothing is made in between."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_GET_LENGTH
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void* PyUnicode_DATA(object text)

cdef enum:
    DIGITS = 20  # of a number of 64 bits, its sign included


def joined(tuple pieces not None):
    """The pieces one behind the other: bytes, ASCII text, integers of 64 bits (in decimal). See wire/pieces.py."""
    cdef Py_ssize_t size_bytes = 0
    cdef object piece
    cdef char* end
    for piece in pieces:
        size_bytes += _size_bytes(piece)
    # Nothing runs in between that could change a piece, so the second pass fills exactly what the first one found.
    joined = PyBytes_FromStringAndSize(NULL, size_bytes)
    end = PyBytes_AS_STRING(joined)
    for piece in pieces:
        if PyBytes_CheckExact(piece):
            memcpy(end, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
            end += PyBytes_GET_SIZE(piece)
        elif PyUnicode_CheckExact(piece):
            memcpy(end, PyUnicode_DATA(piece), PyUnicode_GET_LENGTH(piece))
            end += PyUnicode_GET_LENGTH(piece)
        else:
            end = _write(end, piece)
    return joined


cdef Py_ssize_t _size_bytes(object piece) except -1:
    if PyBytes_CheckExact(piece):
        return PyBytes_GET_SIZE(piece)
    if PyLong_CheckExact(piece):
        return _width(piece)
    if not PyUnicode_CheckExact(piece):
        raise TypeError("a piece is neither bytes nor text nor an integer")
    if not PyUnicode_IS_ASCII(piece):
        raise ValueError("a piece of text is not ASCII")
    return PyUnicode_GET_LENGTH(piece)


cdef Py_ssize_t _width(long long number) except -1:
    """Characters of a number."""
    cdef uint64_t left = _magnitude(number)
    cdef Py_ssize_t width = 2 if number < 0 else 1
    while left >= 10:
        left //= 10
        width += 1
    return width


cdef char* _write(char* end, long long number) except NULL:
    """Write a number at `end`; the new end."""
    cdef char[DIGITS] digits
    cdef uint64_t left = _magnitude(number)
    cdef int first = DIGITS
    while True:
        first -= 1
        digits[first] = <char>(c"0" + left % 10)
        left //= 10
        if not left:
            break
    if number < 0:
        first -= 1
        digits[first] = c"-"
    memcpy(end, &digits[first], DIGITS - first)
    return end + DIGITS - first


cdef inline uint64_t _magnitude(long long number) noexcept:
    return -<uint64_t>number if number < 0 else <uint64_t>number


def quoted(str text not None):
    """A JSON string, None where any of its characters has to be written in another way than as it is."""
    cdef Py_ssize_t index, length = PyUnicode_GET_LENGTH(text)
    cdef const unsigned char* characters
    cdef char* end
    if not PyUnicode_IS_ASCII(text):
        return None
    characters = <const unsigned char*>PyUnicode_DATA(text)
    for index in range(length):
        if characters[index] < 0x20 or characters[index] == c'"' or characters[index] == c"\\":
            return None
    quoted = PyBytes_FromStringAndSize(NULL, length + 2)
    end = PyBytes_AS_STRING(quoted)
    end[0] = end[length + 1] = c'"'
    memcpy(end + 1, characters, length)
    return quoted
