"""Writes texts of which only a few places differ: constants, copied as they are, and fields read out of a struct's slots."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject, PyTypeObject
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_GET_LENGTH
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void* PyUnicode_DATA(object text)
    PyTypeObject* Py_TYPE(PyObject* thing)

cdef extern from *:
    """
    #include <structmember.h>
    /* Where objects of a type keep what this descriptor reads; -1 where it is no slot of theirs for an object. */
    static Py_ssize_t slot_offset(PyObject *descriptor, PyTypeObject *type) {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type) || !PyType_IsSubtype(type, PyDescr_TYPE(descriptor)))
            return -1;
        PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    static inline PyObject *slot_of(PyObject *thing, Py_ssize_t offset) {
        return *(PyObject **)((char *)thing + offset);
    }
    """
    Py_ssize_t slot_offset(object descriptor, PyTypeObject* type)
    PyObject* slot_of(PyObject* thing, Py_ssize_t offset) noexcept

cdef enum:
    DIGITS = 20  # of a number of 64 bits, its sign included
    MOST_PARTS = 48

cdef enum Form:
    CONSTANT, GIVEN, BYTES, ASCII, TEXT, COUNT, NUMBER

cdef long long MOST = (1 << 53) - 1  # of an integer that every reader of JSON can keep
cdef dict FORMS = {"given": GIVEN, "bytes": BYTES, "ascii": ASCII, "text": TEXT, "count": COUNT, "number": NUMBER}

cdef struct Hop:  # from an object to what is in one of its slots
    PyObject* name  # NULL: stay where you are
    PyTypeObject* type  # for which the offset was found
    Py_ssize_t offset

cdef struct Part:
    Form form
    bint optional
    Hop[2] way
    Py_ssize_t place  # of what is given
    const char* before
    Py_ssize_t before_bytes
    const char* after
    Py_ssize_t after_bytes

cdef struct Span:
    const char* data
    Py_ssize_t size


cdef class Template:
    """See wire/templates.py."""

    cdef Part* _parts
    cdef Hop* _shared  # two for each value
    cdef Py_ssize_t _count
    cdef list _values, _kept
    cdef object _escaped

    def __cinit__(self, list parts not None, list shared not None, like, escaped):
        """`parts`: bytes, or (path, form, before, after, whether it may be left out); `shared`: paths; `escaped`: what
        stands between the quotes of a text's JSON."""
        if len(parts) > MOST_PARTS:
            raise ValueError("a template of too many parts")
        self._escaped = escaped
        self._kept = []
        self._count = len(parts)
        self._parts = <Part*>PyMem_Calloc(len(parts) + 1, sizeof(Part))
        self._shared = <Hop*>PyMem_Calloc(2 * len(shared) + 1, sizeof(Hop))
        if self._parts is NULL or self._shared is NULL:
            raise MemoryError
        cdef Py_ssize_t index
        for index in range(len(parts)):
            self._add(&self._parts[index], parts[index])
        for index in range(len(shared)):
            self._set_out(&self._shared[2 * index], shared[index])
        self._values = [<object>self._arrive(like, &self._shared[2 * index]) for index in range(len(shared))]

    def __dealloc__(self):
        PyMem_Free(self._parts)
        PyMem_Free(self._shared)

    def write(self, struct, tuple given not None):
        """The text of `struct`, None where the template is not for it."""
        cdef Span[3 * MOST_PARTS] spans
        cdef char[MOST_PARTS][DIGITS] digits
        cdef Py_ssize_t index, count = 0, size_bytes = 0
        cdef PyObject* value
        cdef Part* part
        cdef Span span
        cdef list made = []  # what was made for this text alone
        cdef char* end
        for index in range(len(self._values)):
            value = self._arrive(struct, &self._shared[2 * index])
            if value != <PyObject*>self._values[index] and <object>value != self._values[index]:
                return None
        for index in range(self._count):
            part = &self._parts[index]
            spans[count] = Span(part.before, part.before_bytes)
            if part.form != CONSTANT:
                value = <PyObject*>given[part.place] if part.form == GIVEN else self._arrive(struct, part.way)
                if part.optional and value == <PyObject*>None:
                    continue
                span = self._span(part.form, <object>value, digits[index], made)
                if span.data is NULL:
                    return None
                spans[count + 1] = span
                spans[count + 2] = Span(part.after, part.after_bytes)
                size_bytes += span.size + part.after_bytes
                count += 2
            size_bytes += part.before_bytes
            count += 1
        # Nothing runs from here on, so that what the spans lie in stays as it is.
        text = PyBytes_FromStringAndSize(NULL, size_bytes)
        end = PyBytes_AS_STRING(text)
        for index in range(count):
            memcpy(end, spans[index].data, spans[index].size)
            end += spans[index].size
        return text

    cdef Span _span(self, Form form, value, char* digits, list made) except *:
        """How a value is written; no data where the form cannot hold it."""
        cdef Py_ssize_t size
        if form == GIVEN or form == BYTES:
            if PyBytes_CheckExact(value):
                return Span(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        elif form == COUNT or form == NUMBER:
            if PyLong_CheckExact(value):
                size = _decimal(value, 0 if form == COUNT else -MOST, digits)
                if size:
                    return Span(digits + DIGITS - size, size)
        elif PyUnicode_CheckExact(value):
            if PyUnicode_IS_ASCII(value) and (form == ASCII or _is_plain(value)):
                return Span(<const char*>PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value))
            if form == TEXT:
                escaped = self._escaped(value)
                if not PyBytes_CheckExact(escaped):
                    raise TypeError("escaped text is bytes")
                made.append(escaped)
                return Span(PyBytes_AS_STRING(escaped), PyBytes_GET_SIZE(escaped))
        return Span(NULL, 0)

    cdef PyObject* _arrive(self, struct, Hop* way) except NULL:
        """Where two hops lead, borrowed."""
        cdef PyObject* thing = <PyObject*>struct
        cdef Py_ssize_t index
        for index in range(2):
            if way[index].name is NULL:
                break
            if Py_TYPE(thing) != way[index].type:
                self._learn(&way[index], thing)
            thing = slot_of(thing, way[index].offset)
            if thing is NULL:
                raise AttributeError(<object>way[index].name)
        return thing

    cdef int _learn(self, Hop* hop, PyObject* thing) except -1:
        """Where things of this type keep what the hop leads to, as the interpreter remembers it for its own reading."""
        cdef PyTypeObject* kind = Py_TYPE(thing)
        cdef Py_ssize_t offset = slot_offset(getattr(<object>kind, <object>hop.name), kind)
        if offset < 0:
            raise TypeError("what a template reads are the fields of structs")
        if <object>kind not in self._kept:
            self._kept.append(<object>kind)
        hop.type, hop.offset = kind, offset
        return 0

    cdef int _add(self, Part* part, description) except -1:
        if type(description) is bytes:
            part.before, part.before_bytes = self._constant(description), len(description)
            return 0
        path, form, before, after, optional = description
        part.form, part.optional = FORMS[form], optional
        part.before, part.before_bytes = self._constant(before), len(before)
        part.after, part.after_bytes = self._constant(after), len(after)
        if part.form == GIVEN:
            part.place = int(path)
            return 0
        return self._set_out(part.way, path)

    cdef int _set_out(self, Hop* way, str path) except -1:
        cdef Py_ssize_t index
        names = path.split(".")
        if len(names) > 2:
            raise ValueError("a path of more than two names")
        for index in range(len(names)):
            self._kept.append(names[index])
            way[index].name = <PyObject*>names[index]
        return 0

    cdef const char* _constant(self, bytes constant) except NULL:
        self._kept.append(constant)
        return PyBytes_AS_STRING(constant)


cdef Py_ssize_t _decimal(value, long long least, char* digits) except -1:
    """Write an integer at the end of `digits`: how many characters, 0 for one below `least` or above MOST."""
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint64_t left = -<uint64_t>number if number < 0 else <uint64_t>number
    cdef Py_ssize_t first = DIGITS
    if overflow or not least <= number <= MOST:
        return 0
    while True:
        first -= 1
        digits[first] = <char>(c"0" + left % 10)
        left //= 10
        if not left:
            break
    if number < 0:
        first -= 1
        digits[first] = c"-"
    return DIGITS - first


cdef bint _is_plain(str text) noexcept:
    """Whether JSON writes this ASCII text as it is."""
    cdef const unsigned char* characters = <const unsigned char*>PyUnicode_DATA(text)
    cdef Py_ssize_t index
    for index in range(PyUnicode_GET_LENGTH(text)):
        if characters[index] < 0x20 or characters[index] == c'"' or characters[index] == c"\\":
            return False
    return True
