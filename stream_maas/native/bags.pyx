"""Finds the terms of a text: single words and pairs of neighbours, each once, in two tables of open addressing."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport qsort

cdef extern from "Python.h":
    bint Py_UNICODE_ISALNUM(Py_UCS4 character)
    int PyUnicode_KIND(object text)
    void* PyUnicode_DATA(object text)
    Py_UCS4 PyUnicode_READ(int kind, const void* data, Py_ssize_t index)

cdef Py_ssize_t FEW = 128  # so many are sorted by insertion: texts have some forty terms
cdef uint64_t BASIS = 0xCBF29CE484222325  # FNV-1a (draft-eastlake-fnv), by code points
cdef uint64_t PRIME = 0x100000001B3

cdef Py_UCS4[128] LOWER  # 0: no part of a word
cdef Py_UCS4 _code
for _code in range(128):
    LOWER[_code] = ord(chr(_code).lower()) if chr(_code).isalnum() or _code == c"_" else 0

cdef struct Word:
    uint32_t hash
    uint32_t number  # 0: the slot is empty

cdef struct Pair:
    uint32_t first  # 0: the slot is empty
    uint32_t second
    int32_t term

cdef struct Scan:  # a text and a place in it
    const void* data
    int kind
    Py_ssize_t length


cdef class Terms:
    """A vocabulary: which words, or pairs of neighbours, are which term. See inference/features.py."""

    cdef Py_UCS4* _letters
    cdef Word* _words
    cdef Pair* _pairs
    cdef int32_t* _singles
    cdef uint32_t* _ends  # of each word in the pool of letters
    cdef uint64_t _word_mask, _pair_mask

    def __cinit__(self, list words, list singles, list pairs):
        """`words`: number n stands at n - 1; `singles`: the term of each word or -1; `pairs`: (first, second, term)."""
        cdef Py_ssize_t letters = sum(map(len, words))
        if len(singles) != len(words) or letters >= 1 << 30 or len(pairs) >= 1 << 30:
            raise ValueError("one term or -1 for each word")
        self._word_mask = _slots(len(words)) - 1
        self._pair_mask = _slots(len(pairs)) - 1
        self._letters = <Py_UCS4*>_zeros(letters + 1, sizeof(Py_UCS4))
        self._words = <Word*>_zeros(self._word_mask + 1, sizeof(Word))
        self._pairs = <Pair*>_zeros(self._pair_mask + 1, sizeof(Pair))
        self._singles = <int32_t*>_zeros(len(words) + 1, sizeof(int32_t))
        self._ends = <uint32_t*>_zeros(len(words) + 1, sizeof(uint32_t))
        cdef uint32_t number = 0
        for word, single in zip(words, singles):
            number += 1
            self._singles[number] = single
            self._add_word(word, number)
        for first, second, term in pairs:
            if not (0 < first <= len(words) and 0 < second <= len(words)):
                raise ValueError("a pair of words that are none")
            self._add_pair(first, second, term)

    def __dealloc__(self):
        PyMem_Free(self._letters)
        PyMem_Free(self._words)
        PyMem_Free(self._pairs)
        PyMem_Free(self._singles)
        PyMem_Free(self._ends)

    def find(self, str text):
        """(number of words, the different terms as int32 in ascending order) of a text that was normalised, ASCII
        capitals excepted."""
        cdef Scan scan = Scan(PyUnicode_DATA(text), PyUnicode_KIND(text), len(text))
        # Words have a separator between them, so there are at most half as many as characters, and twice as many terms.
        cdef Py_ssize_t room = scan.length + 2, filled = 0, words = 0, position, start = 0
        cdef uint64_t hashed = BASIS
        cdef uint32_t number, before = 0
        cdef Py_UCS4 letter
        cdef int32_t* terms = <int32_t*>PyMem_Malloc(room * sizeof(int32_t))
        if terms is NULL:
            raise MemoryError
        try:
            for position in range(scan.length + 1):
                letter = _letter(PyUnicode_READ(scan.kind, scan.data, position)) if position < scan.length else 0
                if letter:
                    hashed = (hashed ^ <uint32_t>letter) * PRIME
                    continue
                if position > start:
                    number = self._number(scan, start, position, hashed)
                    filled = self._note(before, number, terms, filled, room)
                    words, before, hashed = words + 1, number, BASIS
                start = position + 1
            filled = _sort(terms, filled)
            return words, PyBytes_FromStringAndSize(<char*>terms, filled * sizeof(int32_t))
        finally:
            PyMem_Free(terms)

    cdef Py_ssize_t _note(
        self, uint32_t before, uint32_t number, int32_t* terms, Py_ssize_t filled, Py_ssize_t room
    ) except -1:
        """Write down the terms that a word makes, alone and with the one before it."""
        cdef int32_t term
        if number == 0:
            return filled
        if filled + 2 > room:
            raise IndexError("more terms than characters")
        term = self._singles[number]
        if term >= 0:
            terms[filled] = term
            filled += 1
        if before:
            term = self._pair(before, number)
            if term >= 0:
                terms[filled] = term
                filled += 1
        return filled

    cdef uint32_t _number(self, Scan scan, Py_ssize_t start, Py_ssize_t end, uint64_t hashed) noexcept:
        """The number of the word that stands from `start` to `end`, 0 if it occurs in no term."""
        cdef uint64_t slot = _mixed(hashed) & self._word_mask
        cdef uint32_t number, first
        cdef Py_ssize_t place
        while self._words[slot].number:
            number = self._words[slot].number
            first = self._ends[number - 1]
            if self._words[slot].hash == <uint32_t>hashed and self._ends[number] - first == end - start:
                place = 0
                while place < end - start and self._letters[first + place] == _letter(
                    PyUnicode_READ(scan.kind, scan.data, start + place)
                ):
                    place += 1
                if place == end - start:
                    return number
            slot = (slot + 1) & self._word_mask
        return 0

    cdef int32_t _pair(self, uint32_t first, uint32_t second) noexcept:
        cdef uint64_t slot = _paired(first, second) & self._pair_mask
        while self._pairs[slot].first:
            if self._pairs[slot].first == first and self._pairs[slot].second == second:
                return self._pairs[slot].term
            slot = (slot + 1) & self._pair_mask
        return -1

    cdef int _add_word(self, str word, uint32_t number) except -1:
        cdef uint64_t hashed = BASIS, slot
        cdef uint32_t end = self._ends[number - 1]
        cdef Py_UCS4 character
        for character in word:
            if not _letter(character):
                raise ValueError("a word with what is no letter")
            hashed = (hashed ^ <uint32_t>character) * PRIME
            self._letters[end] = character
            end += 1
        self._ends[number] = end
        slot = _mixed(hashed) & self._word_mask
        while self._words[slot].number:
            slot = (slot + 1) & self._word_mask
        self._words[slot] = Word(<uint32_t>hashed, number)
        return 0

    cdef int _add_pair(self, uint32_t first, uint32_t second, int32_t term) except -1:
        cdef uint64_t slot = _paired(first, second) & self._pair_mask
        while self._pairs[slot].first:
            slot = (slot + 1) & self._pair_mask
        self._pairs[slot] = Pair(first, second, term)
        return 0


cdef inline Py_UCS4 _letter(Py_UCS4 character) noexcept:
    """The character as it stands in a word, 0 if it stands in none: Python's `\\w`, ASCII in lower case."""
    if character < 128:
        return LOWER[<uint32_t>character]
    return character if Py_UNICODE_ISALNUM(character) else 0


cdef inline uint64_t _mixed(uint64_t hashed) noexcept:
    """MurmurHash3's finaliser: every bit moves every other."""
    hashed = (hashed ^ hashed >> 33) * <uint64_t>0xFF51AFD7ED558CCD
    hashed = (hashed ^ hashed >> 33) * <uint64_t>0xC4CEB9FE1A85EC53
    return hashed ^ hashed >> 33


cdef inline uint64_t _paired(uint32_t first, uint32_t second) noexcept:
    return _mixed(<uint64_t>first << 32 | second)


cdef uint64_t _slots(Py_ssize_t count):
    """A power of two of which a quarter to a half is filled."""
    cdef uint64_t slots = 16
    while slots < 2 * <uint64_t>count:
        slots *= 2
    return slots


cdef void* _zeros(size_t count, size_t size_bytes) except NULL:
    cdef void* memory = PyMem_Calloc(count, size_bytes)
    if memory is NULL:
        raise MemoryError
    return memory


cdef Py_ssize_t _sort(int32_t* terms, Py_ssize_t count) noexcept:
    """Ascending, each once; how many are left."""
    cdef Py_ssize_t index, place, left = 0
    cdef int32_t term
    if count > FEW:
        qsort(terms, count, sizeof(int32_t), _compare)
    else:
        for index in range(1, count):
            term, place = terms[index], index
            while place > 0 and terms[place - 1] > term:
                terms[place] = terms[place - 1]
                place -= 1
            terms[place] = term
    for index in range(count):
        if left == 0 or terms[left - 1] != terms[index]:
            terms[left] = terms[index]
            left += 1
    return left


cdef int _compare(const void* left, const void* right) noexcept nogil:
    cdef int32_t first = (<const int32_t*>left)[0], second = (<const int32_t*>right)[0]
    return (first > second) - (first < second)
