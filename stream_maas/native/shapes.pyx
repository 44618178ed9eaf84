"""Looks for what has a shape of its own: the finders of privacy/shapes.py, whose patterns and rules are handed in."""

cimport cython
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND, PyUnicode_READ

cdef enum:
    PLANE = 0x10000  # characters that a match can begin with
    PLANE_BYTES = 0x2000  # a bit for each


cdef inline bint is_alphanumeric(Py_UCS4 character):
    """ASCII alone."""
    return c'0' <= character <= c'9' or c'a' <= character <= c'z' or c'A' <= character <= c'Z'


@cython.final
cdef class Located:
    """Finds what a function locates: `_located_finder`."""

    cdef object _locate, _entity_type, _name, _score, _span

    def __init__(self, locate, entity_type, name, score, span):
        self._locate, self._entity_type, self._name, self._score, self._span = locate, entity_type, name, score, span

    def find(self, str text not None, hint, known):
        """Candidates, overlapping or not."""
        cdef list found = []
        for start, end in self._locate(text):
            found.append(self._span((start, end, self._entity_type, self._name, self._score)))
        return found


@cython.final
cdef class Shaped:
    """Finds what a pattern matches: `_shaped_finder`.

    `beginnings`: characters below PLANE of which each match begins with one, where no ASCII letter or digit stands
    before it; None where `search` says where the next match is.
    """

    cdef unsigned char _begins[PLANE_BYTES]
    cdef bint _has_beginnings
    cdef object _search, _match, _rest, _key, _cues, _trim, _span
    cdef object _entity_type, _name, _score

    def __init__(self, str beginnings, search, match, rest, key, cues, trim, row, span):
        cdef Py_UCS4 character
        self._has_beginnings = beginnings is not None
        for character in beginnings or "":
            if character >= PLANE:
                raise ValueError("a match can begin with more characters than there is room for")
            self._begins[<unsigned int>character >> 3] |= 1 << (<unsigned int>character & 7)
        self._search, self._match, self._rest, self._key, self._cues, self._trim = search, match, rest, key, cues, trim
        self._entity_type, self._name, self._score = row
        self._span = span

    def find(self, str text not None, hint, known):
        """Candidates, overlapping or not. `hint`: entity type whose rows need no announcing word."""
        cdef list found = []
        cdef Py_ssize_t start, end, last_end = 0
        cdef bint is_announced = self._key is None or hint == self._entity_type
        cdef object match
        cdef tuple accepted
        if not is_announced and not has_letter(text):
            return found  # nothing can announce anything
        match = self._next(text, 0)
        while match is not None:
            start, end = match.span()
            if self._rest is not None and (rest := self._rest(text, end)) is not None:
                end = rest.end()
            accepted = self._trim(text[start:end])
            if accepted is not None:
                end = start + <Py_ssize_t>accepted[1]
                if self._stands_alone(text, start + <Py_ssize_t>accepted[0], end, last_end):
                    start += <Py_ssize_t>accepted[0]
                    if is_announced or self._key in self._cues.before(text, start) or (
                        self._key in self._cues.after(text, end)
                    ):
                        found.append(self._span((start, end, self._entity_type, self._name, self._score)))
                    last_end = end
                    match = self._match(text, end)
                    if match is None:
                        match = self._next(text, end)
                    continue
            match = self._next(text, start + 1)
        return found

    cdef inline bint _may_begin(self, Py_UCS4 character):
        return (
            character < PLANE
            and self._begins[<unsigned int>character >> 3] >> (<unsigned int>character & 7) & 1
        )

    cdef object _next(self, str text, Py_ssize_t at):
        """The next match from `at` on."""
        cdef Py_ssize_t length = len(text)
        cdef int kind = PyUnicode_KIND(text)
        cdef const void *data = PyUnicode_DATA(text)
        cdef bint is_inside
        cdef Py_UCS4 character
        if not self._has_beginnings:
            return self._search(text, at)
        is_inside = 0 < at <= length and is_alphanumeric(PyUnicode_READ(kind, <void *>data, at - 1))
        while at < length:
            character = PyUnicode_READ(kind, <void *>data, at)
            if not is_inside and self._may_begin(character):
                match = self._match(text, at)
                if match is not None:
                    return match
            is_inside = is_alphanumeric(character)
            at += 1
        return None

    cdef bint _stands_alone(self, str text, Py_ssize_t start, Py_ssize_t end, Py_ssize_t last_end) except -1:
        """See `_stands_alone` in privacy/shapes.py."""
        if start > 0 and start != last_end and is_alphanumeric(text[start - 1]):
            return False
        return end >= len(text) or not is_alphanumeric(text[end])


cdef bint has_letter(str text):
    """Whether `[^\\W\\d_]` matches somewhere."""
    cdef Py_UCS4 character
    for character in text:
        if character < 128:
            if c'a' <= character <= c'z' or c'A' <= character <= c'Z':
                return True
        elif character.isalnum() and not character.isdecimal():
            return True
    return False
