"""Searches a text round by round: asks the gate, then the finders that it names, lets what stands stand, and masks it.

What is seldom, such as many finds that overlap, is asked of the Python in privacy/detect.py, which tells the rules.
"""

cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE

cdef enum:
    PLAIN = 1  # what privacy/looks.py says of a finder
    OPEN_ENDED = 2
    FEW = 16  # finds of which each may be compared with each


cdef inline object field(object span, Py_ssize_t at):
    """A field of a named tuple."""
    if not PyTuple_Check(span) or PyTuple_GET_SIZE(span) <= at:
        raise TypeError("not a find")
    return <object>PyTuple_GET_ITEM(span, at)


@cython.final
cdef class Search:
    """See `Detector.search` in privacy/detect.py, and the functions of that file that are handed in."""

    cdef object _gate, _left, _nothing, _names
    cdef list _finders, _always
    cdef const unsigned char[::1] _kinds  # of each finder
    cdef object _number_rows
    cdef str _known_recognizer, _phone
    cdef object _beside_placeholders, _without_parts, _resolve, _with_extensions, _before_masking, _in_original
    cdef dict _masks  # entity type -> what stands for it; filled as types come
    cdef object _placeholder
    cdef int _most_rounds
    cdef Py_ssize_t _fewest_digits

    def __init__(self, gate, finders, always, kinds, rows, left, seldom, placeholder, limits):
        self._gate, self._finders, self._always, self._kinds = gate, list(finders), list(always), bytes(kinds)
        if len(self._kinds) != len(self._finders):
            raise ValueError("a finder of no kind")
        self._number_rows, self._known_recognizer, self._phone = rows
        self._left, self._nothing, self._names = left
        (
            self._beside_placeholders, self._without_parts, self._resolve,
            self._with_extensions, self._before_masking, self._in_original,
        ) = seldom
        self._placeholder, self._masks = placeholder, {}
        self._most_rounds, self._fewest_digits = limits

    def search(self, folded, hint, known not None):
        """(finds in offsets of the original, the folded text with them masked)."""
        cdef str whole = field(folded, 0), rest = whole, text
        cdef list found = None, candidates, spans
        cdef bint are_plain
        cdef int _
        for _ in range(self._most_rounds):
            are_plain = not known
            candidates = self._candidates(rest, hint, known, &are_plain)
            spans = self._standing(rest, candidates, known) if PyList_GET_SIZE(candidates) else candidates
            if PyList_GET_SIZE(spans) == 0:
                return (spans if found is None else self._in_original(found, folded)), rest
            text = rest
            found = spans if found is None else sorted(found + self._before_masking(spans, found))
            rest = self._cut(whole, found)
            if are_plain and not self._is_left(self._left(text, candidates, spans, rest), rest):
                return (found if field(folded, 1) is None else self._in_original(found, folded)), rest
        raise RuntimeError("text is not redacted after the last round")

    cdef list _candidates(self, str text, hint, known, bint *are_plain):
        """Everything that some row would take. `are_plain` becomes false if a second look has to follow."""
        cdef list candidates = [], indices = self._gate(text)
        cdef Py_ssize_t at, index, count, finders = PyList_GET_SIZE(self._finders)
        for at in range(PyList_GET_SIZE(indices)):
            index = indices[at]
            if not 0 <= index < finders:
                raise IndexError("a pattern that no finder asked for")
            count = PyList_GET_SIZE(candidates)
            candidates += (<object>PyList_GET_ITEM(self._finders, index))(text, hint, known)
            if not self._kinds[index] & PLAIN:
                if PyList_GET_SIZE(candidates) > count or self._kinds[index] & OPEN_ENDED:
                    are_plain[0] = False
        for find in self._always:
            candidates += find(text, hint, known)
        return candidates

    cdef bint _is_left(self, what, str rest) except -1:
        if what is self._nothing:
            return False
        if what is self._names:
            for find in self._always:
                for _ in find(rest, None, {}):
                    return True
            return False
        return True

    cdef list _standing(self, str text, list candidates, known):
        """Those of `candidates` that stand. Numbers among them are known from now on."""
        cdef list spans
        cdef bint may_have_extension = False
        if "]" in text:
            candidates = self._beside_placeholders(text, candidates)
        if known:
            for span in candidates:
                if field(span, 3) == self._known_recognizer:
                    candidates = self._without_parts(candidates)
                    break
        if are_apart(candidates):
            spans = candidates
        else:
            spans = resolved(candidates) if PyList_GET_SIZE(candidates) <= FEW else self._resolve(candidates)
        for span in spans:
            if field(span, 3) in self._number_rows:
                self._learn(known, text, field(span, 0), field(span, 1), field(span, 2))
            may_have_extension = may_have_extension or field(span, 2) == self._phone
        return self._with_extensions(text, spans) if may_have_extension else spans

    cdef _learn(self, known, str text, Py_ssize_t start, Py_ssize_t end, entity_type):
        """See `learn` in privacy/detect.py."""
        cdef bytearray digits = bytearray()
        cdef str number
        cdef Py_ssize_t at
        for at in range(max(0, start), min(end, len(text))):
            if c'0' <= text[at] <= c'9':
                digits.append(<unsigned char>text[at])
        if len(digits) >= self._fewest_digits:
            number = digits.decode("ascii")
            known[number] = entity_type
            if digits[0] == c'0':
                number = number.lstrip("0")
                if len(number) >= self._fewest_digits:
                    known[number] = entity_type

    cdef str _cut(self, str text, list spans):
        """`text` with each of `spans`, disjoint and in order, as its placeholder."""
        cdef list pieces = []
        cdef Py_ssize_t position = 0, start
        for span in spans:
            start = field(span, 0)
            pieces.append(text[position:start])
            kind = field(span, 2)
            mask = self._masks.get(kind)
            if mask is None:
                mask = self._masks[kind] = self._placeholder(kind)
            pieces.append(mask)
            position = field(span, 1)
        pieces.append(text[position:])
        return "".join(pieces)


cdef bint are_apart(list spans) except -1:
    """Whether they are in the order of the text, and none begins where another one was not over."""
    cdef Py_ssize_t reached = 0, before = -1, start
    for span in spans:
        start = field(span, 0)
        if start < reached or start <= before:
            return False
        before = start
        reached = field(span, 1)
    return True


cdef list resolved(list candidates):
    """Up to FEW finds: see `resolve` in privacy/spans.py."""
    cdef list ordered = sorted(candidates), standing = []
    cdef Py_ssize_t starts[FEW]
    cdef Py_ssize_t ends[FEW]
    cdef long scores[FEW]
    cdef bint is_out[FEW]  # what stands, or overlaps what does
    cdef bint stands[FEW]
    cdef Py_ssize_t at, best, count = PyList_GET_SIZE(ordered)
    if count > FEW:
        raise ValueError("not a few finds")
    if are_apart(ordered):
        return ordered
    for at in range(count):
        span = ordered[at]
        starts[at], ends[at], scores[at] = field(span, 0), field(span, 1), field(span, 4)
        is_out[at] = stands[at] = False
    while True:
        best = -1
        for at in range(count):
            if is_out[at]:
                continue
            if best < 0 or scores[at] > scores[best]:
                best = at
            elif scores[at] == scores[best]:
                if ends[at] - starts[at] > ends[best] - starts[best]:
                    best = at
                elif ends[at] - starts[at] == ends[best] - starts[best] and starts[at] == starts[best]:
                    if field(ordered[at], 3) < field(ordered[best], 3):
                        best = at
        if best < 0:
            break
        stands[best] = True
        for at in range(count):
            is_out[at] = is_out[at] or (starts[at] < ends[best] and starts[best] < ends[at]) or at == best
    for at in range(count):
        if stands[at]:
            standing.append(ordered[at])
    return standing
