"""Computes what most identifiers are verified by: weighted sums, the Luhn formula, days of the calendar."""


cdef inline int value_of(Py_UCS4 character) except -1:
    """A digit's value; anything else in ASCII counts as its code, as in privacy/checksums.py."""
    if character > 127:
        raise ValueError("a check digit is ASCII")
    return <int>character - 48 if c'0' <= character <= c'9' else <int>character


def weighted(str digits not None, weights):
    """See `weighted` in privacy/checksums.py."""
    cdef long total = 0
    cdef long weight
    cdef Py_ssize_t at = 0, count = len(digits)
    for weight in weights:
        if at == count:
            break
        total += value_of(digits[at]) * weight
        at += 1
    return total


def luhn(str digits not None):
    """See `luhn` in privacy/checksums.py."""
    cdef Py_ssize_t at, count = len(digits)
    cdef int total = 0, value
    cdef Py_UCS4 character
    for at in range(count):
        character = digits[at]
        if not c'0' <= character <= c'9':
            return False
        value = <int>character - 48
        if (count - at) % 2 == 0:
            value = 2 * value - (9 if value > 4 else 0)
        total += value
    return count > 0 and total % 10 == 0


def cpf(str digits not None):
    """See `cpf` in privacy/checksums.py."""
    cdef int value[11]
    cdef int at, first = 0, second = 0
    cdef bint are_equal = True
    cdef Py_UCS4 character
    if len(digits) != 11:
        return False
    for at in range(11):
        character = digits[at]
        if not c'0' <= character <= c'9':
            return False
        value[at] = <int>character - 48
        are_equal = are_equal and value[at] == value[0]
        if at < 9:
            first += value[at] * (10 - at)
        if at < 10:
            second += value[at] * (11 - at)
    return not are_equal and first * 10 % 11 % 10 == value[9] and second * 10 % 11 % 10 == value[10]


cdef bint is_day(long year, long month, long day):
    cdef long last
    if not 1 <= month <= 12 or day < 1:
        return False
    if month == 2:
        last = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    else:
        last = 30 if month in (4, 6, 9, 11) else 31
    return day <= last


def is_date(long year, long month, long day):
    """See `is_date` in privacy/checksums.py."""
    return is_day(year, month, day)


def is_short_date(long year, long month, long day):
    """See `is_short_date` in privacy/checksums.py."""
    return is_day(1900 + year, month, day) or is_day(2000 + year, month, day)
