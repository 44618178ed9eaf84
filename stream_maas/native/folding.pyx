"""Tells whether a text holds any character that a fold changes: a bit for each character that does."""


cdef class FoldableCharacters:
    """The characters that fold, as a table of bits. See privacy/fold.py, which it spares the search."""

    cdef unsigned char _bits[0x22000]  # 0x110000 code points, eight in each; no text holds one beyond

    def __cinit__(self, str characters):
        cdef Py_UCS4 character
        for character in characters:
            self._bits[<unsigned int>character >> 3] |= 1 << (<unsigned int>character & 7)

    def occur_in(self, str text):
        """Whether any of the characters stands in `text`."""
        cdef Py_UCS4 character
        for character in text:
            if self._bits[<unsigned int>character >> 3] >> (<unsigned int>character & 7) & 1:
                return True
        return False
