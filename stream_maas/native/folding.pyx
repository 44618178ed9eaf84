"""Folds a text whose characters stay as many as they are, and tells which texts are none of these.

What folds to what is told in privacy/fold.py, which does the rest.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND


cdef extern from "Python.h":
    int PyUnicode_4BYTE_KIND
    str PyUnicode_FromKindAndData(int kind, const void *characters, Py_ssize_t count)


cdef class Folding:
    """Characters that fold, as a table of bits, and what they fold to."""

    cdef unsigned char _bits[0x22000]  # 0x110000 code points, eight in each; no text holds one beyond
    cdef unsigned char _is_narrow[0x100]  # the same for the characters that most texts are made of
    cdef dict _folded
    cdef object _make, _fold_invisible

    def __cinit__(self, dict folded, make, fold_invisible):
        """`folded`: character -> the one it folds to, "" for one that cannot be seen. `make`: of a text and None what
        is given back; `fold_invisible`: folds a text that holds what cannot be seen."""
        cdef Py_UCS4 character
        self._folded, self._make, self._fold_invisible = folded, make, fold_invisible
        for character in "".join(folded):
            self._bits[<unsigned int>character >> 3] |= 1 << (<unsigned int>character & 7)
            if character < 0x100:
                self._is_narrow[character] = 1

    cdef inline bint _folds(self, Py_UCS4 character):
        return self._bits[<unsigned int>character >> 3] >> (<unsigned int>character & 7) & 1

    cdef bint _occur_in(self, str text):
        cdef Py_UCS4 character
        cdef Py_ssize_t at
        cdef const unsigned char *narrow
        if PyUnicode_KIND(text) == 1:
            narrow = <const unsigned char *>PyUnicode_DATA(text)
            for at in range(len(text)):  # no further than the text, and every byte has its place in the table
                if self._is_narrow[narrow[at]]:
                    return True
            return False
        for character in text:
            if self._folds(character):
                return True
        return False

    def fold(self, str text not None):
        """`text` as recognizers read it. See `fold` in privacy/fold.py."""
        cdef str folded = self._visible(text)
        return self._make((folded, None)) if folded is not None else self._fold_invisible(text)

    cdef str _visible(self, str text):
        """`text` folded, the same object where nothing in it folds; None where it holds what cannot be seen."""
        if not self._occur_in(text):
            return text
        cdef Py_ssize_t at = 0
        cdef Py_UCS4 character
        cdef str folded
        cdef Py_UCS4 *characters = <Py_UCS4 *>PyMem_Malloc(len(text) * sizeof(Py_UCS4))
        if characters is NULL:
            raise MemoryError()
        try:
            for character in text:
                if self._folds(character):
                    folded = self._folded[character]
                    if not folded:
                        return None
                    character = folded[0]
                characters[at] = character
                at += 1
            return PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, characters, at)
        finally:
            PyMem_Free(characters)
