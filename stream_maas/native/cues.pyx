"""Finds the words that announce a number among the characters before it: whole words, in singular or plural."""

cimport cython

cdef enum:
    WINDOW_CHARS = 64
    MOST_RANGES = 8


cdef inline bint is_letter(Py_UCS4 character):
    """What `[^\\W\\d_]` of the standard library's engine matches, but for capitals in ASCII."""
    if character < 128:
        return c'a' <= character <= c'z'
    return character.isalnum() and not character.isdecimal()


cdef inline bint is_alphanumeric(Py_UCS4 character):
    if character < 128:
        return c'a' <= character <= c'z' or c'0' <= character <= c'9'
    return character.isalnum()


@cython.final
cdef class Words:
    """A trie of phrases. A node's branches are tried in the order in which the pattern in privacy/cues.py has them."""

    cdef const int[::1] _first  # by node: its first branch; one more at the end
    cdef const int[::1] _targets  # by branch: the node that it leads to
    cdef const unsigned int[::1] _labels  # by branch
    cdef const unsigned char[::1] _ends  # by node: whether a phrase ends there
    cdef unsigned int _unspaced[2 * MOST_RANGES]
    cdef int _ranges, _gap_chars
    cdef object _keys_of, _beside_mask, _in_other_scripts, _no_keys

    def __init__(
        self, trie, unspaced, int gap_chars, int window_chars, keys_of, beside_mask, in_other_scripts, no_keys
    ):
        if window_chars != WINDOW_CHARS or len(unspaced) > MOST_RANGES:
            raise ValueError("more than the kernel has room for")
        self._first, self._targets, self._labels, self._ends = trie.first, trie.targets, trie.labels, trie.ends
        self._ranges, self._gap_chars = len(unspaced), gap_chars
        for index, (low, high) in enumerate(unspaced):
            self._unspaced[2 * <int>index], self._unspaced[2 * <int>index + 1] = low, high
        self._keys_of, self._beside_mask = keys_of, beside_mask
        self._in_other_scripts, self._no_keys = in_other_scripts, no_keys

    def before(self, str text not None, Py_ssize_t start):
        """Keys of the cues that stand shortly before offset `start` of `text`. See `CueIndex.before`."""
        cdef Py_UCS4 window[WINDOW_CHARS]
        cdef Py_ssize_t at = start, limit = max(0, start - WINDOW_CHARS), first, end, phrase_end, size
        cdef Py_UCS4 character = 0
        cdef bint is_spaced = True, has_letter = False
        cdef object found = self._no_keys
        if start < 2:
            return found
        while at > limit:
            character = text[at - 1]
            if c'0' <= character <= c'9' or character == c'@' or character == c'[' or character == c']':
                break
            at -= 1
            if c'A' <= character <= c'Z':
                character = <Py_UCS4>(<unsigned int>character + 32)
            elif character >= 128 and not self._is_plain(character):
                is_spaced = False
            has_letter = has_letter or is_letter(character)
            window[at - limit] = character  # at - limit < start - limit <= WINDOW_CHARS
        if at > limit and character == c']':
            found = self._beside_mask(text[limit:start], at - limit)
        if not is_spaced:
            return found | self._in_other_scripts(text[at:start].lower())
        if not has_letter:
            return found
        end = start - limit
        at -= limit
        first = at
        while at < end:
            if is_letter(window[at]) and (at == first or not is_letter(window[at - 1])):
                phrase_end = self._phrase(0, window, at, end)
                if phrase_end >= 0:
                    size = phrase_end - at
                    phrase_end += phrase_end < end and window[phrase_end] == c's'
                    if self._is_near(window, phrase_end, end):
                        found = found | self._keys_of(text[limit + at : limit + at + size].lower())
                    at = phrase_end
                    continue
            at += 1
        return found

    cdef bint _is_plain(self, Py_UCS4 character):
        """Whether a character is one in lower case too, and of no script that is written without spaces."""
        cdef int at
        for at in range(self._ranges):  # at < MOST_RANGES
            if self._unspaced[2 * at] <= <unsigned int>character <= self._unspaced[2 * at + 1]:
                return False
        return character.lower() == character

    cdef Py_ssize_t _phrase(self, int node, const Py_UCS4 *window, Py_ssize_t at, Py_ssize_t end) except -2:
        """Where the phrase ends that stands at `at` < `end` <= WINDOW_CHARS, -1 if there is none. Each step takes a
        character, so this is WINDOW_CHARS deep at most."""
        cdef int branch
        cdef Py_ssize_t found, next_at
        for branch in range(self._first[node], self._first[node + 1]):
            found = -1
            if self._labels[branch] == c' ':
                next_at = at + (at < end and window[at] == c's')
                found = next_at
                while next_at < end and next_at - found < 3 and not is_alphanumeric(window[next_at]):
                    next_at += 1
                # What follows is a letter, so all of the characters between two words belong to one gap.
                found = self._phrase(self._targets[branch], window, next_at, end) if next_at > found else -1
            elif at < end and <unsigned int>window[at] == self._labels[branch]:
                found = self._phrase(self._targets[branch], window, at + 1, end)
            if found >= 0:
                return found
        if not self._ends[node]:
            return -1
        next_at = at + (at < end and window[at] == c's')
        return -1 if next_at < end and is_letter(window[next_at]) else at

    cdef bint _is_near(self, const Py_UCS4 *window, Py_ssize_t at, Py_ssize_t end):
        """Whether a phrase that ends at `at` announces what stands at `end`: see `_is_near` in privacy/cues.py."""
        cdef Py_ssize_t last_word = end
        if end - at > self._gap_chars:
            return False
        while last_word > at and not is_letter(window[last_word - 1]):
            last_word -= 1
        if last_word == at:
            return True
        while last_word > at and is_letter(window[last_word - 1]):
            last_word -= 1
        while at < last_word:
            if window[at] == c',' or window[at] == c';' or window[at] == c'!' or window[at] == c'?':
                return False
            if window[at] == c'.' and at + 1 < last_word and window[at + 1].isspace():
                return False
            at += 1
        return True
