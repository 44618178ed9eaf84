"""Tells what a second look at a text could bring up, from what stands around its finds and from the digits left."""

cimport cython
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND, PyUnicode_READ

cdef inline bint is_digit(Py_UCS4 character):
    return c'0' <= character <= c'9'


@cython.final
cdef class Looks:
    """See privacy/looks.py: `left`, and the patterns that this reads by hand."""

    cdef str _gap_characters, _marks, _joints
    cdef tuple _words
    cdef int _most_gap_chars, _fewest_digits, _item_chars, _last_word_chars
    cdef object _all_lie_in, _nothing, _names, _anything

    def __init__(self, run, marks, joints, words, reach_chars, all_lie_in, results):
        self._gap_characters, self._most_gap_chars, self._fewest_digits = run
        self._marks, self._joints, self._words = marks, joints, words
        self._item_chars, self._last_word_chars = reach_chars
        self._all_lie_in = all_lie_in
        self._nothing, self._names, self._anything = results

    def left(self, str text not None, candidates, spans, str rest not None):
        """What can be found in `rest`, which is `text` with `spans` masked."""
        cdef Py_ssize_t start, end, length = len(text)
        cdef bint are_names_left = False
        if "]" in text or (len(candidates) > len(spans) and not self._all_lie_in(candidates, spans)):
            return self._anything
        for span in spans:
            start, end = span[0], span[1]
            if not 0 <= start < end <= length:
                raise ValueError("a find outside of its text")
            if (start and text[start - 1] != c' ') or not self._stands_apart(text, end):
                return self._anything
            if not self._announces_nothing(text, end):
                return self._anything
            are_names_left = (
                are_names_left
                or not _has_digit_or_at(text, max(start, end - self._last_word_chars), end)
                or (text[start].isupper() and _follows_capital(text, start, self._last_word_chars))
            )
        if self._has_run(rest):
            return self._anything
        return self._names if are_names_left else self._nothing

    cdef bint _stands_apart(self, str text, Py_ssize_t at):
        """One of the marks at most, then a blank or the end."""
        if at < len(text) and text[at] in self._marks:
            at += 1
        return at >= len(text) or text[at] == c' ' or (at + 1 == len(text) and text[at] == c'\n')

    cdef bint _announces_nothing(self, str text, Py_ssize_t at):
        """No digit or at sign stands shortly behind what stands between two items of a list."""
        cdef Py_ssize_t length = len(text), word_end
        cdef str word
        while at < length and (text[at].isspace() or text[at] in self._joints):
            at += 1
        for word in self._words:
            word_end = at + len(word)
            if at < length and text[at] == word[0] and text[at:word_end] == word:
                at = word_end
                while at < length and text[at].isspace():
                    at += 1
                break
        word_end = min(at + self._item_chars, length)
        while at < word_end:
            if is_digit(text[at]) or text[at] == c'@':
                return False
            at += 1
        return True

    cdef bint _has_run(self, str text):
        """Whether RUN matches somewhere."""
        cdef Py_ssize_t at
        cdef int digits = 0, gap_chars = 0, kind = PyUnicode_KIND(text)
        cdef void *data = PyUnicode_DATA(text)
        cdef Py_UCS4 character
        for at in range(len(text)):
            character = PyUnicode_READ(kind, data, at)
            if is_digit(character):
                digits += 1
                if digits == self._fewest_digits:
                    return True
                gap_chars = 0
            elif digits:
                gap_chars += 1
                if gap_chars > self._most_gap_chars or character not in self._gap_characters:
                    digits = 0
        return False


cdef bint _has_digit_or_at(str text, Py_ssize_t start, Py_ssize_t end):
    """In the last word of [start, end)."""
    while end > start and text[end - 1] != c' ':
        end -= 1
        if is_digit(text[end]) or text[end] == c'@':
            return True
    return False


cdef bint _follows_capital(str text, Py_ssize_t at, Py_ssize_t chars):
    """Whether the word before `at` begins with anything but a small letter, as far as `chars` reach."""
    cdef Py_ssize_t limit = max(0, at - chars)
    while at > limit and text[at - 1].isspace():
        at -= 1
    if at == limit:
        return False
    while at > limit and not text[at - 1].isspace():
        at -= 1
    return not text[at].islower()
