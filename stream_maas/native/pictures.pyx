"""Finds where identifiers of letters and digits may stand, by their pictures: the walk of privacy/codes.py, at once for
all pictures, from every beginning of a word. What stands there is read by the rules of its picture."""

cimport cython
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND, PyUnicode_READ

cdef enum:
    ASCII = 128
    OTHER = 63  # "?": what the picture shows of a character that is not ASCII
    MOST_NODES = 0xFFFF
    MOST_CHARS = 64  # of a picture


cdef class Pictures:
    """A trie of pictures: `A` for a letter, `9` for a digit, other ASCII as it is. Filled once, then only read.

    Invariant: every number in `_next` is below the number of nodes, and every class below the number of classes.
    """

    cdef unsigned char _classes[ASCII]  # 0 for what stands in no picture
    cdef unsigned char _is_alphanumeric[ASCII]
    cdef unsigned short[:, ::1] _next  # node and class -> node; 0, the root, for none
    cdef Py_ssize_t _longest_lead  # before the first digit
    cdef int[::1] _ends  # node -> the picture that ends there, -1 for none

    def __cinit__(self, pictures, *_):
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
        if text is None:
            raise TypeError("no text")
        cdef int kind = PyUnicode_KIND(text)
        cdef void *data = PyUnicode_DATA(text)
        for start in range(size):
            was_inside = is_inside
            character = PyUnicode_READ(kind, data, start)
            is_inside = character < ASCII and self._is_alphanumeric[character]
            if was_inside:
                continue
            digit = max(digit, start)
            while digit < size and not 48 <= PyUnicode_READ(kind, data, digit) <= 57:
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
                character = PyUnicode_READ(kind, data, at) if at < size else 0
                if self._ends[node] >= 0 and not (character < ASCII and self._is_alphanumeric[character]):
                    found.append((start, at, self._ends[node]))
                if at >= size:
                    break
        return found


@cython.final
cdef class _Rule:
    """A rule of a picture. See `_Rule` in privacy/codes.py."""

    cdef bint any_case
    cdef object has_form, cue, not_after, verify
    cdef str entity_type, name
    cdef int score

    def __init__(self, any_case, has_form, cue, not_after, verify, entity_type, name, score):
        self.any_case, self.has_form, self.cue, self.not_after = any_case, has_form, cue, not_after
        self.verify, self.entity_type, self.name, self.score = verify, entity_type, name, score


cdef class Codes(Pictures):
    """Finds candidates: `CodeFinder.find` in privacy/codes.py, whose rules and neighbours are handed in."""

    cdef list _rules  # number of the picture -> its rules
    cdef object _cues, _is_inside_uuid, _span

    def __init__(self, pictures, rules, cues, is_inside_uuid, span):
        if len(rules) != len(pictures) or max(map(len, pictures), default=0) > MOST_CHARS:
            raise ValueError("pictures without rules, or longer than there is room for")
        self._rules = [tuple([_Rule(*rule) for rule in of_picture]) for of_picture in rules]
        self._cues, self._is_inside_uuid, self._span = cues, is_inside_uuid, span

    def codes(self, str text not None, str hint, known):
        """Candidates, overlapping or not. `hint`: entity type whose rows need no announcing word."""
        cdef list found = []
        cdef Py_ssize_t start, end
        cdef int number
        for start, end, number in self.find(text):
            code = self._in_stretch(text, start, end, <tuple>self._rules[number], hint)
            if code is not None:
                found.append(code)
        return found

    cdef object _in_stretch(self, str text, Py_ssize_t start, Py_ssize_t end, tuple rules, str hint):
        """The code that [start, end) is, if it is one by the rules of its picture."""
        cdef unsigned char letters[MOST_CHARS]
        cdef Py_ssize_t at
        cdef int count = 0
        cdef bint is_upper = True
        cdef Py_UCS4 character
        cdef str value = None
        cdef object announced = None
        cdef _Rule rule
        for at in range(start, end):  # no longer than the longest picture
            character = text[at]
            if character < ASCII and self._is_alphanumeric[character]:
                if c'a' <= character <= c'z':
                    is_upper = False
                    character = <Py_UCS4>(<unsigned int>character - 32)
                letters[count] = <unsigned char>character
                count += 1
        for rule in rules:
            if not (is_upper or rule.any_case):
                continue
            if value is None:
                value = letters[:count].decode("ascii")
            if not rule.has_form(value):
                continue
            if rule.not_after is not None and start and rule.not_after(text[start - 1]):
                continue
            if rule.cue is not None and hint != rule.entity_type:
                if announced is None:
                    announced = self._cues.before(text, start) | self._cues.after(text, end)
                if rule.cue not in announced:
                    continue
            if rule.verify is not None and not rule.verify(value):
                continue
            if self._is_inside_uuid(text, start, end):
                return None
            return self._span((start, end, rule.entity_type, rule.name, rule.score))
        return None
