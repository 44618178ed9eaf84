"""Finds where identifiers of letters and digits may stand, by their pictures: the walk of privacy/codes.py, at once for
all pictures, from every beginning of a word."""

cimport cython

cdef enum:
    ASCII = 128
    OTHER = 63  # "?": what the picture shows of a character that is not ASCII
    MOST_NODES = 0xFFFF


cdef class Pictures:
    """A trie of pictures: `A` for a letter, `9` for a digit, other ASCII as it is. Filled once, then only read.

    Invariant: every number in `_next` is below the number of nodes, and every class below the number of classes.
    """

    cdef unsigned char _classes[ASCII]  # 0 for what stands in no picture
    cdef unsigned char _is_alphanumeric[ASCII]
    cdef unsigned short[:, ::1] _next  # node and class -> node; 0, the root, for none
    cdef Py_ssize_t _longest_lead  # before the first digit
    cdef int[::1] _ends  # node -> the picture that ends there, -1 for none

    def __cinit__(self, pictures):
        """Raises ValueError for a picture without a digit, and for more than can be numbered."""
        cdef str picture, sign
        cdef int code, node, made = 1
        cdef dict numbers = {}
        for picture in pictures:
            for sign in picture:
                if not sign.isascii():
                    raise ValueError("a picture shows more than ASCII")
                numbers.setdefault(sign, len(numbers) + 1)
        for code in range(ASCII):
            sign = chr(code)
            self._is_alphanumeric[code] = sign.isalnum()
            self._classes[code] = numbers.get("A" if sign.isalpha() else "9" if sign.isdigit() else sign, 0)
        nodes, width = 1 + sum(map(len, pictures)), 1 + len(numbers)
        if nodes > MOST_NODES:
            raise ValueError("too many pictures")
        self._next = memoryview(bytearray(2 * nodes * width)).cast("H", (nodes, width))
        self._ends = memoryview(bytearray(4 * nodes)).cast("i")
        self._ends[:] = -1
        self._longest_lead = max([picture.index("9") for picture in pictures], default=0)
        for index, picture in enumerate(pictures):
            node = 0
            for sign in picture:
                code = numbers[sign]
                if self._next[node, code] == 0:
                    self._next[node, code] = made
                    made += 1
                node = self._next[node, code]
            self._ends[node] = index

    @cython.boundscheck(False)  # see the invariant; every place in the text is compared with its length
    def find(self, str text):
        """Begin, end, and number of the picture, wherever one stands with no ASCII letter or digit around it."""
        cdef Py_ssize_t start, at, digit = 0, size = len(text)
        cdef bint is_inside = False  # of a word
        cdef bint was_inside
        cdef Py_UCS4 character
        cdef unsigned short node
        cdef list found = []
        for start in range(size):
            was_inside = is_inside
            character = text[start]
            is_inside = character < ASCII and self._is_alphanumeric[character]
            if was_inside:
                continue
            while digit < size and (digit < start or not 48 <= text[digit] <= 57):
                digit += 1
            if digit == size:
                break  # every picture has a digit, and not far from where it begins
            if digit - start > self._longest_lead:
                continue
            node = 0
            at = start
            while True:
                node = self._next[node, self._classes[character if character < ASCII else OTHER]]
                if node == 0:
                    break
                at += 1
                character = text[at] if at < size else 0
                if self._ends[node] >= 0 and not (character < ASCII and self._is_alphanumeric[character]):
                    found.append((start, at, self._ends[node]))
                if at >= size:
                    break
        return found
