"""Writes what stands for the finds of a text, and counts them: the loop of `Treatment` in privacy/treatment.py."""

cimport cython
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE

cdef enum:
    MAC_BYTES = 32  # of SHA-256
    FEW_CHARS = 64  # of a value for which no memory is asked


cdef inline object field(object span, Py_ssize_t at):
    """A field of a named tuple."""
    if not PyTuple_Check(span) or PyTuple_GET_SIZE(span) <= at:
        raise TypeError("not a find")
    return <object>PyTuple_GET_ITEM(span, at)


@cython.final
cdef class Pseudonyms:
    """How pseudonyms are made: see `pseudonym_in_python` in privacy/operators.py.

    `letters`: one for each hexadecimal figure. `chars`: an even number of figures that are written. `forms`: entity
    types whose values have a canonical form of their own; that of any other value is its `code`. `canonical`: tells
    the form of what is neither.
    """

    cdef unsigned char _letters[16]
    cdef int _bytes
    cdef object _forms, _canonical

    def __init__(self, str letters not None, int chars, forms, canonical):
        cdef bytes figures = letters.encode("ascii")
        cdef int at
        if len(figures) != 16 or not 0 < chars <= 2 * MAC_BYTES:
            raise ValueError("not sixteen letters, or no such number of figures")
        for at in range(16):
            self._letters[at] = figures[at]
        self._bytes = chars // 2
        self._forms, self._canonical = forms, canonical

    def write(self, str entity_type not None, str value not None, writing, calling_code=""):
        """The pseudonym of a value."""
        cdef object key = writing.key
        if key is None:
            key = writing.key = writing.ask_key()
        return self.by_key(entity_type, value, key, calling_code)

    cdef str by_key(self, str entity_type, str value, key, calling_code):
        cdef str form = None
        cdef bytes mac
        cdef unsigned char spelled[2 * MAC_BYTES]
        cdef int at
        if entity_type not in self._forms:
            form = code(value)
        if form is None:
            form = self._canonical(entity_type, value, calling_code)
        mac = key.mac(f"{entity_type}\0{form}".encode("utf-8", "surrogatepass"))
        for at in range(self._bytes):
            spelled[2 * at] = self._letters[<unsigned char>mac[at] >> 4]
            spelled[2 * at + 1] = self._letters[<unsigned char>mac[at] & 15]
        return f"{entity_type}_{key.kid}_{spelled[:2 * self._bytes].decode('ascii')}"


cpdef str code(str text):
    """The letters and digits of `text`, in upper case; None where it holds more than printable ASCII."""
    cdef unsigned char few[FEW_CHARS]
    cdef unsigned char *kept = few
    cdef bytearray many
    cdef Py_ssize_t count = 0
    cdef Py_UCS4 character
    if len(text) > FEW_CHARS:
        many = bytearray(len(text))
        kept = many
    for character in text:
        if not 0x20 <= character < 0x7F:
            return None
        if c'0' <= character <= c'9' or c'A' <= character <= c'Z':
            kept[count] = <unsigned char>character
            count += 1
        elif c'a' <= character <= c'z':
            kept[count] = <unsigned char>(<unsigned int>character - 32)
            count += 1
    return kept[:count].decode("ascii")


@cython.final
cdef class Writer:
    """`write` is `Treatment._written`, but tells nobody of its finds; what it needs of that file is handed in."""

    cdef object _is_token, _fold, _remember, _put_on_trial
    cdef str _model, _keep

    def __init__(self, is_token, fold, remember, put_on_trial, str model not None, str keep not None):
        self._is_token, self._fold, self._remember, self._put_on_trial = is_token, fold, remember, put_on_trial
        self._model, self._keep = model, keep

    def write(self, treatment, str text not None, list spans not None, hint):
        """`text` with its finds treated; the same object if nothing changed. `treatment`: what is counted."""
        cdef object state = treatment.state, engine = treatment.engine, writing = treatment.writing
        cdef dict actions = state.actions
        cdef object announced = engine.announced, calling_codes = engine.calling_codes
        cdef object action, operator, name
        cdef str value, written, entity_type, recognizer
        cdef list pieces = []
        cdef Py_ssize_t start, end, position = 0, length = len(text)
        cdef bint is_changed = False, is_kept
        for span in spans:
            start, end, entity_type, recognizer = field(span, 0), field(span, 1), field(span, 2), field(span, 3)
            if not 0 <= start < end <= length:
                raise ValueError("a find outside of its text")
            value = text[start:end]
            if (value[0] == c'[' or "_" in value or "/" in value) and self._is_token(value):
                continue
            action = actions.get(entity_type)
            if action is None:
                action = state.action(entity_type)
            operator = action.operator
            name = operator.name
            written = action.fixed
            if written is None:
                written = operator.write(entity_type, value, writing, calling_codes.get(recognizer, ""))
            if not operator.settled:
                treatment.unsettled = True
            if recognizer in announced or recognizer == self._model or hint == entity_type:
                self._remember(treatment, value, entity_type)
            is_kept = written == value
            if not is_kept or name == self._keep:
                self._count(treatment, entity_type, name, is_kept)
                if action.shadow:
                    self._put_on_trial(treatment, entity_type)
                if not value.isascii() and not treatment.folded:
                    treatment.folded = field(self._fold(value), 0) != value
            is_changed = is_changed or not is_kept
            pieces.append(text[position:start])
            pieces.append(written)
            position = end
        if not is_changed:
            return text
        pieces.append(text[position:])
        return "".join(pieces)

    cdef _count(self, treatment, str entity_type, name, bint is_kept):
        """See `Treatment._count`."""
        cdef dict counts
        if is_kept:
            treatment.kept += 1
            return
        add(treatment.counts, entity_type)
        add(treatment.operators, name)
        counts = treatment.places.get(treatment.place)
        if counts is None:
            counts = treatment.places[treatment.place] = {}
        add(counts, entity_type)


cdef inline add(dict counts, key):
    counts[key] = counts.get(key, 0) + 1


@cython.final
cdef class Settled:
    """Writes what stands for the finds of one text by itself, where they teach nothing about other texts and nothing
    that is written will be looked at again: what `Treatment` in privacy/treatment.py does for such a text, at once."""

    cdef object _state, _announced, _calling_codes, _is_token, _fold, _make_writing, _key_of, _pseudonym
    cdef dict _actions
    cdef Pseudonyms _pseudonyms
    cdef str _model

    def __init__(self, state, announced, calling_codes, is_token, fold, writing, str model not None):
        self._state, self._announced, self._calling_codes = state, announced, calling_codes
        self._is_token, self._fold, self._model = is_token, fold, model
        self._make_writing, self._key_of, self._pseudonym, self._pseudonyms = writing
        self._actions = state.actions

    def written(self, str text not None, list spans not None, tenant):
        """(`text` with its finds treated, entity type -> finds, operator -> finds, whether one was in disguise); None
        where a treatment has to see to it."""
        cdef object action, operator, writing = None, key = None
        cdef str value, written, entity_type, recognizer
        cdef list pieces = []
        cdef dict counts = {}, operators = {}
        cdef Py_ssize_t start, end, position = 0, length = len(text)
        cdef bint is_folded = False
        for span in spans:
            start, end, entity_type, recognizer = field(span, 0), field(span, 1), field(span, 2), field(span, 3)
            if not position <= start < end <= length:
                raise ValueError("a find outside of its text, or out of order")
            value = text[start:end]
            action = self._actions.get(entity_type)
            if action is None:
                action = self._state.action(entity_type)
            operator = action.operator
            if recognizer in self._announced or recognizer == self._model or action.shadow or not operator.settled:
                return None
            if (value[0] == c'[' or "_" in value or "/" in value) and self._is_token(value):
                continue
            written = action.fixed
            if written is None and type(operator) is self._pseudonym:
                if key is None:
                    key = self._key_of(tenant)
                written = self._pseudonyms.by_key(entity_type, value, key, self._calling_codes.get(recognizer, ""))
            elif written is None:
                if writing is None:
                    writing = self._make_writing(tenant)
                written = operator.write(entity_type, value, writing, self._calling_codes.get(recognizer, ""))
            if written == value:
                return None
            add(counts, entity_type)
            add(operators, operator.name)
            if not is_folded and not value.isascii():
                is_folded = field(self._fold(value), 0) != value
            pieces.append(text[position:start])
            pieces.append(written)
            position = end
        if not counts:
            return None
        pieces.append(text[position:])
        return "".join(pieces), counts, operators, is_folded
