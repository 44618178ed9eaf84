"""Walks several automata over a text at once: one look at each character, eight tables that do not wait for another.

What the automata are is told in privacy/automata.py, which makes a state when it is asked for it, and walks them the
slow way.
"""

cimport cython
from libc.stdlib cimport calloc, free

cdef enum:
    LANES = 8
    PLANE = 0x10000  # characters that automata tell apart
    BEGIN = PLANE
    END = PLANE + 1
    BEYOND = PLANE + 2
    INDICES = PLANE + 3
    ACCEPTING = 0  # states that every automaton has
    FIRST = 1
    SIZE = 1 << 20  # numbers in all rows together, 4 MiB; hostile text alone needs as many

cdef unsigned int UNMADE = 1u << 31  # stands for a state whose row was not asked for yet


cdef class Scanner:
    """Up to eight automata. Keeps nothing of a text but the states that it led to; may be used from several threads:
    they take turns, and whatever leaves this file for Python leaves the tables whole.

    Invariant: every number in `_rows` below `_used` is the beginning of a row of its automaton, or marked as UNMADE. A
    row is as wide as the automaton has classes, and every class in `_classes` is below that width, so a walk never
    leaves the tables.
    """

    cdef unsigned int *_rows
    cdef unsigned int _used
    cdef unsigned char *_classes  # LANES numbers for each character
    cdef unsigned int _begun[LANES]  # the rows behind the beginning of a text
    cdef unsigned int _accepting[LANES]
    cdef unsigned int _widths[LANES]
    cdef Py_ssize_t _fewest_digits[LANES]
    cdef int _count
    cdef list _automata
    cdef list _made  # of each lane: state -> where its row begins

    def __cinit__(self, automata, fewest_digits):
        """Raises ValueError for more automata than there are lanes, or one that breaks its word."""
        cdef int lane
        cdef Py_ssize_t index
        cdef const unsigned char[::1] alphabet
        self._count = len(automata)
        if self._count > LANES or len(fewest_digits) != self._count:
            raise ValueError("more automata than lanes")
        self._rows = <unsigned int *>calloc(SIZE, sizeof(unsigned int))
        self._classes = <unsigned char *>calloc(INDICES, LANES)
        if self._rows is NULL or self._classes is NULL:
            raise MemoryError()
        self._automata = list(automata)
        self._made = [{} for _ in range(LANES)]
        self._used = 1  # row 0 leads an unused lane, in which all is of class 0, to itself
        for lane in range(self._count):
            alphabet = automata[lane].alphabet
            self._widths[lane] = automata[lane].width
            if alphabet.shape[0] != INDICES or max(alphabet) >= self._widths[lane]:
                raise ValueError("an alphabet is wider than its automaton")
            for index in range(INDICES):
                self._classes[index * LANES + lane] = alphabet[index]
            self._fewest_digits[lane] = fewest_digits[lane]
            self._accepting[lane] = self._used
            self._accepting[lane] = self._row_of(lane, ACCEPTING)
            self._begun[lane] = self._step(lane, self._row_of(lane, FIRST), BEGIN)

    def __dealloc__(self):
        free(self._rows)
        free(self._classes)

    cdef unsigned int _row_of(self, int lane, unsigned int state) except *:
        """Where the row of `state` begins; it is made if it was not. Without room for it, everything is accepted."""
        made = self._made[lane].get(state)
        if made is not None:
            return made
        row = self._automata[lane].row(state)
        made = self._made[lane].get(state)  # another thread may have been here meanwhile; from here on none can
        if made is not None:
            return made
        cdef unsigned int begin = self._used, width = self._widths[lane], at, target
        if <unsigned long>begin + width > SIZE:
            return self._accepting[lane]
        if len(row) != width:
            raise ValueError("a row is not as wide as its automaton")
        cdef unsigned int numbers[256]
        for at in range(width):
            target = row[at]
            numbers[at] = self._accepting[lane] if target == ACCEPTING else UNMADE | target
        for at in range(width):
            self._rows[begin + at] = numbers[at]
        self._used = begin + width
        self._made[lane][state] = begin
        return begin

    cdef unsigned int _step(self, int lane, unsigned int row, unsigned int index) except *:
        """The row that a character leads to from `row`."""
        cdef unsigned int at = row + self._classes[index * LANES + lane]
        if self._rows[at] & UNMADE:
            self._rows[at] = self._row_of(lane, self._rows[at] ^ UNMADE)
        return self._rows[at]

    cpdef int accepted(self, str text) except -1:
        """A bit for each automaton that accepts `text`, if it has as many ASCII digits as is asked for with it."""
        cdef const unsigned int *rows = self._rows
        cdef const unsigned char *of
        cdef unsigned int r[LANES]
        cdef unsigned int r0 = self._begun[0], r1 = self._begun[1], r2 = self._begun[2], r3 = self._begun[3]
        cdef unsigned int r4 = self._begun[4], r5 = self._begun[5], r6 = self._begun[6], r7 = self._begun[7]
        cdef unsigned int n0, n1, n2, n3, n4, n5, n6, n7
        cdef unsigned int index
        cdef Py_UCS4 character
        cdef Py_ssize_t digits = 0
        for character in text:
            index = BEYOND if character >= PLANE else <unsigned int>character
            digits += 48 <= index <= 57
            of = self._classes + index * LANES
            n0 = rows[r0 + of[0]]
            n1 = rows[r1 + of[1]]
            n2 = rows[r2 + of[2]]
            n3 = rows[r3 + of[3]]
            n4 = rows[r4 + of[4]]
            n5 = rows[r5 + of[5]]
            n6 = rows[r6 + of[6]]
            n7 = rows[r7 + of[7]]
            if (n0 | n1 | n2 | n3 | n4 | n5 | n6 | n7) & UNMADE:
                n0 = self._step(0, r0, index)
                n1 = self._step(1, r1, index)
                n2 = self._step(2, r2, index)
                n3 = self._step(3, r3, index)
                n4 = self._step(4, r4, index)
                n5 = self._step(5, r5, index)
                n6 = self._step(6, r6, index)
                n7 = self._step(7, r7, index)
            r0 = n0
            r1 = n1
            r2 = n2
            r3 = n3
            r4 = n4
            r5 = n5
            r6 = n6
            r7 = n7
        r[:] = [r0, r1, r2, r3, r4, r5, r6, r7]
        cdef int lane, bits = 0
        for lane in range(self._count):
            if digits >= self._fewest_digits[lane] and self._step(lane, r[lane], END) == self._accepting[lane]:
                bits |= 1 << lane
        return bits


@cython.final
cdef class Gate:
    """Asks the engine about those parts that a scanner says may match: `_re2_gate` in privacy/gate.py.

    `loose`: bit of a part, and indices of patterns that are taken for matching where the part may. `engine`: bit of a
    part, how the engine is asked about it, and the index of its first pattern.
    """

    cdef Scanner _scanner
    cdef list _loose, _engine
    cdef int _of_engine

    def __init__(self, Scanner scanner not None, loose, engine):
        self._scanner = scanner
        self._loose = [(bit, list(indices)) for bit, indices in loose]
        self._engine = list(engine)
        self._of_engine = 0
        for bit, _, _ in self._engine:
            self._of_engine |= bit

    def asked(self, str text not None):
        """Indices of the patterns that may match somewhere in `text`."""
        cdef int bits = self._scanner.accepted(text), bit
        cdef Py_ssize_t first, index
        cdef list found = []
        cdef bytes encoded
        if bits:
            for bit, indices in self._loose:
                if bits & bit:
                    found += indices
            if bits & self._of_engine:
                encoded = text.encode("utf-8", "replace")
                for bit, match, first in self._engine:
                    if bits & bit:
                        for index in match(encoded) or ():
                            found.append(index + first)
        return found
