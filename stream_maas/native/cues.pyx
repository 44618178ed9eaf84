"""Finds the words that announce a number in the ASCII characters before it: whole words, in singular or plural."""

cimport cython

cdef enum:
    WINDOW_CHARS = 64


cdef inline bint is_letter(unsigned char character):
    return c'a' <= character <= c'z'


cdef inline bint is_alphanumeric(unsigned char character):
    return is_letter(character) or c'0' <= character <= c'9'


cdef inline bint is_space(unsigned char character):
    """What `\\s` of the standard library's engine matches in ASCII."""
    return character == c' ' or 9 <= character <= 13 or 28 <= character <= 31


@cython.final
cdef class Words:
    """A trie of phrases. A node's branches are tried in the order in which the pattern in privacy/cues.py has them."""

    cdef const int[::1] _first  # by node: its first branch; one more at the end
    cdef const int[::1] _targets  # by branch: the node that it leads to
    cdef const unsigned char[::1] _labels  # by branch
    cdef const unsigned char[::1] _ends  # by node: whether a phrase ends there
    cdef int _gap_chars
    cdef object _keys_of, _beside_mask, _in_other_scripts, _no_keys

    def __init__(self, trie, int gap_chars, int window_chars, keys_of, beside_mask, in_other_scripts, no_keys):
        if window_chars != WINDOW_CHARS:
            raise ValueError("another window than the kernel has room for")
        self._first, self._targets, self._labels, self._ends = trie.first, trie.targets, trie.labels, trie.ends
        self._gap_chars = gap_chars
        self._keys_of, self._beside_mask = keys_of, beside_mask
        self._in_other_scripts, self._no_keys = in_other_scripts, no_keys

    def before(self, str text not None, Py_ssize_t start):
        """Keys of the cues that stand shortly before offset `start` of `text`. See `CueIndex.before`."""
        cdef unsigned char letter
        cdef unsigned char window[WINDOW_CHARS]
        cdef Py_ssize_t at = start, limit = max(0, start - WINDOW_CHARS), first, end, phrase_end, size
        cdef Py_UCS4 character = 0
        cdef bint is_ascii = True, has_letter = False
        cdef object found = self._no_keys
        if start < 2:
            return found
        while at > limit:
            character = text[at - 1]
            if c'0' <= character <= c'9' or character == c'@' or character == c'[' or character == c']':
                break
            at -= 1
            is_ascii = is_ascii and character < 128
            letter = <unsigned char>character + 32 * (c'A' <= character <= c'Z')
            has_letter = has_letter or is_letter(letter)
            window[at - limit] = letter  # at - limit < start - limit <= WINDOW_CHARS
        if at > limit and character == c']':
            found = self._beside_mask(text[limit:start], at - limit)
        if not is_ascii:
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

    cdef Py_ssize_t _phrase(self, int node, const unsigned char *window, Py_ssize_t at, Py_ssize_t end) except -2:
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
            elif at < end and window[at] == self._labels[branch]:
                found = self._phrase(self._targets[branch], window, at + 1, end)
            if found >= 0:
                return found
        if not self._ends[node]:
            return -1
        next_at = at + (at < end and window[at] == c's')
        return -1 if next_at < end and is_letter(window[next_at]) else at

    cdef bint _is_near(self, const unsigned char *window, Py_ssize_t at, Py_ssize_t end):
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
            if window[at] == c'.' and at + 1 < last_word and is_space(window[at + 1]):
                return False
            at += 1
        return True
