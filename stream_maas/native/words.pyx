"""Tells whether a text can hold a name at all: a filter in front of privacy/names.py, which reads what it lets through.

It answers yes too often, never too seldom: words are known by their hashes alone.
"""

cimport cython
from cpython.unicode cimport Py_UNICODE_ISSPACE

cdef enum:
    CODES = 0x2180  # no character beyond takes part in a name, nor becomes one that does in lower case
    CAPITAL = 1
    LETTER = 2
    BETWEEN = 4
    SLOTS = 1 << 19  # bits, two of which each word sets: of 25,000 words, one in a hundred others looks like one of them
    BYTES = 1 << 16
    REACH = 30  # how far a phrase may stand before a name

cdef unsigned long long SEED = 14695981039346656037u  # FNV-1a, 64 bits
cdef unsigned long long PRIME = 1099511628211u


cdef class NameWords:
    """Words that a name can begin with, and phrases that announce one. Filled once, then only read.

    `alone`: names that need nothing beside them. `with_more`: names that need another word. `particles`: small words
    inside of names. `phrases`: in lower case, words with one blank between them. The others are sets of characters.
    """

    cdef unsigned char _kinds[CODES]
    cdef unsigned short _lower[CODES]
    cdef unsigned char _alone[BYTES]
    cdef unsigned char _with_more[BYTES]
    cdef unsigned char _particles[BYTES]
    cdef unsigned char _words[BYTES]
    cdef unsigned char _last_words[BYTES]
    cdef unsigned char _last_pairs[BYTES]

    def __cinit__(self, *, str capitals, str letters, str between, alone, with_more, particles, phrases):
        cdef int code
        cdef str small, word
        for code in range(CODES):
            small = chr(code).lower()
            self._lower[code] = ord(small) if len(small) == 1 and ord(small) < CODES else code
        self._lower[0x3C2] = 0x3C3  # a sigma at the end of a word
        self._mark(capitals, CAPITAL)
        self._mark(letters, LETTER)
        self._mark(between, BETWEEN)
        for word in alone:
            self._add(self._alone, word)
        for word in with_more:
            self._add(self._with_more, word)
        for word in particles:
            self._add(self._particles, word)
        for phrase in phrases:
            rest, _, word = phrase.rpartition(" ")
            if rest:
                self._put(self._last_words, self._hash_of(SEED, word, 0, len(word)))
                word = f"{rest.rpartition(' ')[2]} {word}"
                self._put(self._last_pairs, self._hash_of(SEED, word, 0, len(word)))
            else:
                self._put(self._words, self._hash_of(SEED, word, 0, len(word)))

    cdef int _mark(self, str characters, int kind) except -1:
        cdef Py_UCS4 character
        for character in characters:
            if character >= CODES:
                raise ValueError("a character lies beyond the table")
            self._kinds[character] |= kind
        return 0

    cdef int _add(self, unsigned char *table, str word) except -1:
        cdef Py_ssize_t end = 0
        cdef unsigned long long hashed = self._hash(word, 0, &end)
        if end == 0:
            return 0  # begins with an apostrophe, which `_may_begin` takes for enough
        self._put(table, hashed)
        return 0

    cdef inline void _put(self, unsigned char *table, unsigned long long hashed):
        table[hashed % SLOTS >> 3] |= 1 << (hashed & 7)
        table[(hashed >> 32) % SLOTS >> 3] |= 1 << (hashed >> 32 & 7)

    cdef inline bint _has(self, const unsigned char *table, unsigned long long hashed):
        return (table[hashed % SLOTS >> 3] >> (hashed & 7) & 1) and (
            table[(hashed >> 32) % SLOTS >> 3] >> (hashed >> 32 & 7) & 1
        )

    cdef inline unsigned int _small(self, Py_UCS4 character):
        return self._lower[character] if character < CODES else <unsigned int>character

    cdef inline int _kind(self, Py_UCS4 character):
        return self._kinds[character] if character < CODES else 0

    @cython.boundscheck(False)  # `at` is looked at against the length at every step
    cdef unsigned long long _hash(self, str text, Py_ssize_t start, Py_ssize_t *end):
        """Of the letters from `start` on, in whichever case; `end`: where they end."""
        cdef unsigned long long hashed = SEED
        cdef Py_ssize_t at = start, size = len(text)
        while at < size and self._kind(text[at]) & LETTER:
            hashed = (hashed ^ self._small(text[at])) * PRIME
            at += 1
        end[0] = at
        return hashed ^ (hashed >> 29)

    def may_occur_in(self, str text):
        """Whether `text`, which is folded, may hold a name in capitals."""
        cdef Py_ssize_t at = 0
        cdef Py_UCS4 character
        cdef int before = 0, kind
        for character in text:
            kind = self._kind(character)
            if kind & CAPITAL and not before & LETTER and self._may_begin(text, at):
                return True
            before = kind
            at += 1
        return False

    @cython.boundscheck(False)  # indices are looked at against the length where they are made
    cdef bint _may_begin(self, str text, Py_ssize_t start):
        """Whether a name may begin with the capital at `start`."""
        cdef Py_ssize_t end = 0, next_end = 0
        cdef unsigned long long hashed = self._hash(text, start, &end)
        if self._has(self._alone, hashed) or self._may_follow_phrase(text, start):
            return True
        if not self._has(self._with_more, hashed):
            return False
        if end + 1 >= len(text):
            return False
        if text[end] != c" ":
            return text[end] in u"'\u2019-"
        if self._kind(text[end + 1]) & CAPITAL or text[end + 1] in u"'\u2019":
            return True
        hashed = self._hash(text, end + 1, &next_end)
        return next_end > end + 1 and self._has(self._particles, hashed)

    @cython.boundscheck(False)  # as above
    cdef bint _may_follow_phrase(self, str text, Py_ssize_t start):
        """Whether the word before may be the last one of a phrase."""
        cdef Py_ssize_t begin, end = start
        while end > 0 and self._kind(text[end - 1]) & BETWEEN:
            end -= 1
        if end == 0 or end == start:
            return False
        begin = end - 1
        while begin > 0 and text[begin - 1] != c" " and text[begin - 1] != c"\n":
            if start - begin > REACH:
                return True  # longer than a phrase reaches: only a part of it is looked at there
            begin -= 1
        if start - begin > REACH:
            return True
        cdef unsigned long long word = self._hash_of(SEED, text, begin, end)
        return self._has(self._words, word) or (
            self._has(self._last_words, word) and self._may_be_pair(text, start, begin, end)
        )

    @cython.boundscheck(False)  # as above
    cdef bint _may_be_pair(self, str text, Py_ssize_t start, Py_ssize_t begin, Py_ssize_t end):
        """Whether the word at [begin, end) and the one before it may end a phrase."""
        cdef Py_ssize_t before_end = begin, before = 0
        cdef unsigned long long hashed
        while before_end > 0 and Py_UNICODE_ISSPACE(text[before_end - 1]):
            before_end -= 1
        before = before_end
        while before > 0 and not Py_UNICODE_ISSPACE(text[before - 1]):
            if start - before > REACH:
                return True  # as above
            before -= 1
        if start - before > REACH:
            return True
        hashed = self._hash_of(SEED, text, before, before_end)
        hashed = (hashed ^ <unsigned int>c" ") * PRIME
        return before < before_end and self._has(self._last_pairs, self._hash_of(hashed, text, begin, end))

    @cython.boundscheck(False)  # handed in by who has looked
    cdef unsigned long long _hash_of(self, unsigned long long hashed, str text, Py_ssize_t begin, Py_ssize_t end):
        """Of what `hashed` stands for, and the characters in [begin, end), in whichever case."""
        cdef Py_ssize_t at
        for at in range(begin, end):
            hashed = (hashed ^ self._small(text[at])) * PRIME
        return hashed
