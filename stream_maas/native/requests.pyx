"""Turns the decoded body of a request into the fields of a `Request`, counting the strings of its JSON text."""

from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_GET_LENGTH

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void* PyUnicode_DATA(object text)

cdef enum:
    ID, ID_SOURCE, INPUTS, MODEL_NAME, MODEL_VERSION, OUTPUTS  # the first fields of a request
    TENSOR_STRINGS = 6  # four keys and two values
    BODY_PARTS = 6
    TENSOR_PARTS = 5


cdef class Fields:
    """See `fields_in_python` in wire/request_fields.py, which says what these are and does what is not plain."""

    cdef object _parts, _unset, _make_tensor, _check_tensors, _label_strings, _read_outputs, _text
    cdef dict _understood
    cdef list _defaults
    cdef Py_ssize_t _parameters_place, _most_chars

    def __init__(
        self, *, parts, unset, make_tensor, check_tensors, label_strings, read_outputs, text, dict understood not None,
        list defaults not None, Py_ssize_t parameters_place, Py_ssize_t most_chars,
    ):
        if not OUTPUTS < parameters_place < len(defaults):
            raise ValueError("no place for the parameters")
        self._parts, self._unset, self._make_tensor = parts, unset, make_tensor
        self._check_tensors, self._label_strings, self._read_outputs = check_tensors, label_strings, read_outputs
        self._text, self._understood, self._defaults = text, understood, defaults
        self._parameters_place, self._most_chars = parameters_place, most_chars

    def of(self, body):
        """(fields, strings)."""
        cdef tuple parts = self._parts(body)
        cdef list fields = self._defaults[:]
        cdef Py_ssize_t strings = 1
        if len(parts) != BODY_PARTS:
            raise TypeError("a body of other members")
        strings += self._put_tensors(fields, parts[0])
        if parts[1] is not self._unset:
            strings += self._label(parts[1], "id")
            fields[ID], fields[ID_SOURCE] = parts[1], "body"
        if parts[2] is not self._unset:
            strings += self._label(parts[2], "model_name")
            fields[MODEL_NAME] = parts[2]
        if parts[3] is not self._unset:
            strings += self._label(parts[3], "model_version")
            fields[MODEL_VERSION] = parts[3]
        kept = {}
        fields[self._parameters_place] = kept
        if parts[4] is not self._unset:
            strings += self._put_parameters(fields, kept, parts[4])
        if parts[5] is not self._unset:
            fields[OUTPUTS], more = self._read_outputs(parts[5])
            strings += more
        return fields, strings

    cdef Py_ssize_t _put_tensors(self, list fields, list inputs) except -1:
        cdef Py_ssize_t strings = 0
        cdef bint are_plain = True
        cdef tuple parts
        cdef list tensors = []
        for tensor in inputs:
            parts = self._parts(tensor)
            if len(parts) != TENSOR_PARTS:
                raise TypeError("a tensor of other members")
            name, shape, datatype, data, parameters = parts
            if parameters is self._unset:
                are_plain = are_plain and datatype == "BYTES" and _are_texts(data)
                tensors.append(self._make_tensor(name, datatype, shape, data))
                strings += TENSOR_STRINGS + len(<list>data)
            else:
                are_plain = False
                tensors.append(self._make_tensor(name, datatype, shape, data, parameters))
        fields[INPUTS] = tuple(tensors)
        return strings if are_plain and len(tensors) == 1 else self._check_tensors(inputs, "inputs")

    cdef Py_ssize_t _put_parameters(self, list fields, dict kept, dict parameters) except -1:
        cdef Py_ssize_t strings = 1 + len(parameters)
        cdef Py_ssize_t place
        for name, value in parameters.items():
            if PyUnicode_CheckExact(value):
                strings += 1
            known = self._understood.get(name)
            if known is None:
                kept[name] = value
                continue
            check = (<tuple>known)[1]
            place = (<tuple>known)[0]
            if check is not self._text or not self._is_plain(value):
                value = check(value, name)
            fields[place] = value
        return strings

    cdef Py_ssize_t _label(self, text, str place) except -1:
        return 2 if self._is_plain(text) else self._label_strings(text, place)

    cdef bint _is_plain(self, text):
        """Whether it is ASCII without a control character, and neither empty nor too long."""
        cdef const unsigned char* characters
        cdef Py_ssize_t index
        if not PyUnicode_CheckExact(text) or not PyUnicode_IS_ASCII(text):
            return False
        if not 0 < PyUnicode_GET_LENGTH(text) <= self._most_chars:
            return False
        characters = <const unsigned char*>PyUnicode_DATA(text)
        for index in range(PyUnicode_GET_LENGTH(text)):
            if characters[index] < 0x20 or characters[index] == 0x7F:
                return False
        return True


cdef bint _are_texts(data):
    for item in <list?>data:
        if not PyUnicode_CheckExact(item):
            return False
    return True
