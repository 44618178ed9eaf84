"""Reads runs of digits group by group against one trie of all layouts, and asks the rules of each window that fits."""

cimport cython
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND, PyUnicode_READ

cdef enum:
    MOST_DIGITS = 20  # of a layout, and so the most groups that it has
    TOO_WIDE = 21  # any width that no layout has
    MOST_GAP_CHARS = 3
    GAPS = 512  # a gap is a number of up to three octal figures, one for each of its characters
    RECENT = 8
    NEAR_CHARS = 64
    FEW_KNOWN = 16
    IS_FRACTION = 1  # flags of a gap
    IS_TIE = 2
    IS_BLANK = 4
    IS_EVEN = 8
    CLOSES = 16
    LISTED = 0  # why a window is asked about: its own layout, or as the whole of its run
    ANY = 1
    EVEN = 2
    WAYS = 12  # for each of these: a fraction or not, free or not

cdef struct Characters:  # of a text that is kept alive meanwhile
    int kind
    void *data
    Py_ssize_t count

cdef struct Group:
    Py_ssize_t index
    Py_ssize_t start
    Py_ssize_t end
    int gap  # before it
    int width_before  # digits of the group before it
    int width

cdef struct Window:
    Py_ssize_t last
    Py_ssize_t end
    int word
    bint is_fraction
    bint stands_free

cdef struct Walk:
    Window windows[MOST_DIGITS]
    int count
    int whole  # the word that the whole run is, -1 for none


cdef inline Py_UCS4 char_at(const Characters *text, Py_ssize_t offset):
    """The character there; 0, which is neither letter nor digit nor gap, outside of the text."""
    return PyUnicode_READ(text.kind, text.data, offset) if 0 <= offset < text.count else 0


cdef inline bint is_digit(Py_UCS4 character):
    return c'0' <= character <= c'9'


cdef inline bint is_letter(Py_UCS4 character):
    return c'a' <= character <= c'z' or c'A' <= character <= c'Z'


cdef inline bint may_be_in_uuid(Py_UCS4 character):
    return is_digit(character) or c'a' <= character <= c'f' or c'A' <= character <= c'F' or character == c'-'


@cython.final
cdef class _Rule:
    """A rule of the table. See `_Rule` in privacy/numbers.py."""

    cdef object has_form
    cdef bint takes_any_digits, strong
    cdef object has_script, verify, cue
    cdef str entity_type, name
    cdef int score

    def __init__(self, has_form, takes_any_digits, strong, has_script, verify, cue, entity_type, name, score):
        self.has_form, self.takes_any_digits, self.strong = has_form, takes_any_digits, strong
        self.has_script, self.verify, self.cue = has_script, verify, cue
        self.entity_type, self.name, self.score = entity_type, name, score


@cython.final
cdef class _Rules:
    """The rules for one grouping that stands in one way."""

    cdef tuple unannounced, announced
    cdef int top_announced

    def __init__(self, tuple unannounced, tuple announced):
        self.unannounced, self.announced = unannounced, announced
        self.top_announced = (<_Rule>announced[0]).score if announced else 0


@cython.final
cdef class _Run:
    """One run, [start, end) of the text, and what is known of it by now. `before`, `after`: None if not asked yet."""

    cdef str text, hint
    cdef Characters characters
    cdef Py_ssize_t start, end
    cdef dict ends
    cdef object before, after
    cdef int may_follow  # -1: not asked yet
    cdef Py_ssize_t taken[2 * RECENT]
    cdef int taken_count
    cdef list found

    cdef bint is_free(self, Py_ssize_t first, Py_ssize_t last):
        """Whether none of the last finds overlaps groups `first` to `last`."""
        cdef int at
        for at in range(min(self.taken_count, RECENT)):  # at < RECENT
            if first <= self.taken[2 * at + 1] and self.taken[2 * at] <= last:
                return False
        return True

    cdef void take(self, Py_ssize_t first, Py_ssize_t last):
        cdef int at = self.taken_count % RECENT
        self.taken[2 * at], self.taken[2 * at + 1] = first, last
        self.taken_count += 1


@cython.final
cdef class Scanner:
    """The tables, and what to ask for what is seldom asked. See `Tables` in privacy/number_tables.py."""

    cdef const short[::1] _next
    cdef const short[::1] _words
    cdef const int[::1] _ways
    cdef list _rules
    cdef int _symbols, _fewest_digits, _bracket
    cdef unsigned char _code_of[128]
    cdef int _gap_symbols[GAPS]
    cdef int _gap_chars[GAPS]
    cdef int _gap_flags[GAPS]
    cdef str _currencies
    cdef tuple _follows
    cdef object _cues, _joins, _glued_extension, _is_inside_uuid, _known_windows, _span

    def __init__(self, tables, cues, joins, glued_extension, is_inside_uuid, known_windows, span):
        cdef int at
        for at in range(128):
            self._code_of[at] = 0
        for at, character in enumerate(tables.gap_characters, 1):
            if at > 7 or character > "\x7f":
                raise ValueError("gap characters")
            self._code_of[<int>ord(character)] = at
        for at in range(GAPS):
            self._gap_symbols[at], self._gap_chars[at], self._gap_flags[at] = tables.gaps[at]
        self._next, self._words, self._ways = tables.next, tables.words, tables.ways
        self._symbols, self._bracket, self._fewest_digits = tables.symbols, tables.bracket, tables.fewest_digits
        rules = [_Rule(*rule) for rule in tables.rules]
        self._rules = [
            _Rules(tuple([rules[index] for index in unannounced]), tuple([rules[index] for index in announced]))
            if unannounced or announced else None
            for unannounced, announced in tables.sets
        ]
        self._currencies, self._follows = tables.currencies, tables.follows
        self._cues, self._joins, self._glued_extension = cues, joins, glued_extension
        self._is_inside_uuid, self._known_windows, self._span = is_inside_uuid, known_windows, span

    def find(self, str text not None, str hint, known):
        """Candidates as (start, end, entity type, recognizer, score), overlapping or not."""
        cdef list found = []
        cdef dict ends = {}
        cdef Py_ssize_t length = len(text), at = 0, start, end, gap_chars, digits
        cdef Characters characters
        cdef Py_UCS4 character
        characters.kind, characters.data, characters.count = PyUnicode_KIND(text), PyUnicode_DATA(text), length
        while at < length:
            if not is_digit(char_at(&characters, at)):
                at += 1
                continue
            start = at
            digits = gap_chars = 0
            while at < length and gap_chars <= MOST_GAP_CHARS:
                character = char_at(&characters, at)
                if is_digit(character):
                    digits += 1
                    gap_chars = 0
                elif self._code(character):
                    gap_chars += 1
                else:
                    break
                at += 1
            end = at - gap_chars
            if digits >= self._fewest_digits:
                self._read(text, &characters, start, end, hint, ends, found)
                if known and self._may_be_known(&characters, start, end, known):
                    found += self._known_windows(text, start, end, known)
            at = end
        return found

    cdef inline int _code(self, Py_UCS4 character):
        """What stands for a character of gaps, 1 to 7; 0 for any other."""
        return self._code_of[<int>character] if character < 128 else 0

    cdef bint _may_be_known(self, const Characters *text, Py_ssize_t start, Py_ssize_t end, known):
        """Whether any of a few numbers stands among the digits of a run."""
        cdef bytearray digits
        cdef Py_ssize_t at
        cdef str number, written
        if len(known) > FEW_KNOWN:
            return True
        digits = bytearray()
        for at in range(start, end):
            if is_digit(char_at(text, at)):
                digits.append(<unsigned char>char_at(text, at))
        written = digits.decode("ascii")
        for number in known:
            if number in written:
                return True
        return False

    cdef _read(
        self, str text, const Characters *characters, Py_ssize_t start, Py_ssize_t end, str hint, dict ends, list found
    ):
        """The finds in the run [start, end), to which a bracket before it and an X behind it may belong."""
        cdef _Run run = _Run.__new__(_Run)
        cdef Group group
        cdef Walk walk
        cdef int whole = -1, whole_in_brackets = -1, first_width = 0, separator = 0
        cdef Py_ssize_t digits = 0, shape_chars = 0
        cdef bint opens = char_at(characters, start - 1) == c'(', closes = False, is_even = True
        if _is_x_due(characters, start, end):
            end += 1
        run.characters = characters[0]
        run.text, run.start, run.end, run.hint, run.ends, run.found = text, start - opens, end, hint, ends, found
        run.may_follow = -1
        group.index = group.gap = group.width = 0
        group.start = start
        while True:
            group.end = self._end_of_group(characters, group.start, end)
            group.width_before = group.width
            group.width = min(group.end - group.start, TOO_WIDE)
            digits += group.end - group.start
            if group.index == 0:
                first_width = group.width
            else:
                shape_chars += self._gap_chars[group.gap]
                if group.index == 1:
                    separator = self._gap_symbols[group.gap]
                    is_even = self._gap_flags[group.gap] & IS_EVEN
                elif self._gap_symbols[group.gap] != separator or group.width_before != first_width:
                    is_even = False
            if group.start > run.start and char_at(characters, group.start - 1) == c'(':
                self._walk(characters, end, group, True, &walk)
                self._ask_each(run, group, group.start - 1, &walk)
                if group.index == 0:
                    whole_in_brackets = walk.whole
            self._walk(characters, end, group, False, &walk)
            self._ask_each(run, group, group.start, &walk)
            if group.index == 0:
                whole = walk.whole
            if group.end >= end:
                break
            group.index += 1
            group.gap = self._gap_at(characters, group.end, end)
            group.start = group.end + _chars_of(group.gap)
            closes = closes or self._gap_flags[group.gap] & CLOSES
        shape_chars += group.index + 1 + opens
        if shape_chars > 1 and digits <= MOST_DIGITS and shape_chars < 2 * MOST_DIGITS:
            is_even = is_even and group.index
            opens = opens and closes
            self._ask(
                run, 0, group.index, start - opens, end,
                self._rules_for(whole_in_brackets if opens else whole, EVEN if is_even else ANY, False, True),
            )

    cdef Py_ssize_t _end_of_group(self, const Characters *text, Py_ssize_t at, Py_ssize_t end):
        while at < end and not self._code(char_at(text, at)):
            at += 1
        return at

    cdef int _gap_at(self, const Characters *text, Py_ssize_t at, Py_ssize_t end):
        """The gap that begins at `at`: below GAPS, since it has three characters at most."""
        cdef int gap = 0, code
        while at < end:
            code = self._code(char_at(text, at))
            if not code or gap >= GAPS // 8:
                break
            gap = 8 * gap + code
            at += 1
        return gap

    cdef _walk(self, const Characters *text, Py_ssize_t end, Group first, bint is_bracketed, Walk *walk):
        """The words of the trie that the run, which ends at `end`, goes on with from group `first`, shortest first."""
        cdef int node = self._next[self._bracket] if is_bracketed else 0
        cdef int gap, gap_before = first.gap, inner_gap = 0, width = first.width, next_width
        cdef Py_ssize_t at = first.end, next_start, group = first.index
        cdef Window *window
        walk.count = 0
        walk.whole = -1
        # No word has more digits, so the walk is short, and there are no more windows than there is room for.
        while node >= 0 and width < TOO_WIDE and group - first.index < MOST_DIGITS:
            node = self._next[node * self._symbols + width]
            if node < 0:
                break
            gap = self._gap_at(text, at, end)
            next_start = at + _chars_of(gap)
            next_width = 0
            while next_start + next_width < end and next_width < TOO_WIDE:
                if self._code(char_at(text, next_start + next_width)):
                    break
                next_width += 1
            if self._words[node] >= 0:
                window = &walk.windows[walk.count]  # count <= group - first.index < MOST_DIGITS
                walk.count += 1
                window.last, window.end, window.word = group, at, self._words[node]
                if group == first.index:
                    window.is_fraction = self._gap_flags[gap_before] & IS_FRACTION
                    window.stands_free = not (self._gap_flags[gap_before] | self._gap_flags[gap]) & IS_TIE
                else:
                    window.is_fraction = False
                    window.stands_free = not (
                        (first.index and not is_bracketed and self._continues(first, text, end))
                        or (at < end and gap == inner_gap and self._goes_on(gap, width, next_width))
                    )
            if at >= end:
                walk.whole = self._words[node]
                break
            node = self._next[node * self._symbols + self._gap_symbols[gap]]
            inner_gap, width, at = gap, next_width, next_start + next_width
            group += 1

    cdef bint _continues(self, Group group, const Characters *text, Py_ssize_t end):
        """Whether the gap before a group, which is not the run's first, looks like the gap behind it."""
        return group.gap == self._gap_at(text, group.end, end) and self._goes_on(
            group.gap, group.width_before, group.width
        )

    cdef inline bint _goes_on(self, int gap, int width, int next_width):
        return not self._gap_flags[gap] & IS_BLANK or width == next_width

    cdef inline _Rules _rules_for(self, int word, int kind, bint is_fraction, bint stands_free):
        """None if there are none."""
        return self._rules[self._ways[(word + 1) * WAYS + kind * 4 + is_fraction * 2 + stands_free]]

    cdef _ask_each(self, _Run run, Group first, Py_ssize_t start, Walk *walk):
        """About the windows of a walk, the longest first."""
        cdef Window *window
        cdef int at
        for at in range(walk.count - 1, -1, -1):
            window = &walk.windows[at]
            self._ask(
                run, first.index, window.last, start, window.end,
                self._rules_for(window.word, LISTED, window.is_fraction, window.stands_free),
            )

    cdef _ask(self, _Run run, Py_ssize_t first, Py_ssize_t last, Py_ssize_t start, Py_ssize_t end, _Rules rules):
        """Whether one of `rules` accepts groups `first` to `last`, which stand at [start, end)."""
        cdef _Rule rule, better
        cdef tuple announced
        if rules is None:
            return
        rule = self._accepting(run, start, end, first == last, rules.unannounced)
        if rules.top_announced > (rule.score if rule is not None else 0) and (first == 0 or self._may_announce(run)):
            announced = self._announced(run, first, last, start, end, rules.announced)
            better = self._accepting(run, start, end, first == last, announced)
            if better is not None and (rule is None or better.score > rule.score):
                rule = better
        if rule is not None:
            run.take(first, last)
            run.ends[rule.entity_type] = end
            run.found.append(self._span((start, end, rule.entity_type, rule.name, rule.score)))

    cdef bint _may_follow(self, _Run run):
        if run.may_follow < 0:
            run.may_follow = run.text.startswith(self._follows, run.end)
        return run.may_follow

    cdef bint _may_announce(self, _Run run):
        """Whether anything but the words before the run can announce a window of it."""
        return bool(run.ends) or bool(run.hint) or self._may_follow(run)

    cdef tuple _announced(
        self, _Run run, Py_ssize_t first, Py_ssize_t last, Py_ssize_t start, Py_ssize_t end, tuple rules
    ):
        """Those of `rules` that have their word, or the field's name instead. See `_Words` in privacy/numbers.py."""
        cdef list announced = []
        cdef list following
        cdef object keys
        cdef _Rule rule
        if run.is_free(first, last):
            keys = self._keys(run, first == 0, end == run.end)
            following = self._following(run, start)
        else:
            keys, following = (), []
        if keys or following or run.hint:
            for rule in rules:
                if rule.cue in keys or rule.entity_type in following or (run.hint and rule.entity_type == run.hint):
                    announced.append(rule)
        return tuple(announced)

    cdef object _keys(self, _Run run, bint is_first, bint is_last):
        """Keys of the cues before the run for its first group, and behind it for its last one."""
        cdef object keys = ()
        if is_first:
            if run.before is None:
                run.before = self._cues.before(run.text, run.start)
            keys = run.before
        if is_last and self._may_follow(run):
            if run.after is None:
                run.after = self._cues.after(run.text, run.end)
            keys = keys | run.after if is_first else run.after
        return keys

    cdef list _following(self, _Run run, Py_ssize_t start):
        """Types of which a find before `start` announces the next item of a list."""
        if not run.ends:
            return []
        if char_at(&run.characters, start) != c'(' and char_at(&run.characters, start - 1) == c'(':
            start -= 1
        return [kind for kind, end in run.ends.items() if self._joins(run.text, end, start)]

    cdef _Rule _accepting(self, _Run run, Py_ssize_t start, Py_ssize_t end, bint is_single, tuple rules):
        """The first of `rules` that holds for the digits in [start, end) and what touches them."""
        cdef const Characters *text = &run.characters
        cdef _Rule rule
        cdef str digits
        cdef bint is_plain
        cdef int is_alone = -1
        if not rules:
            return None
        digits = self._digits(text, start, end)
        is_plain = is_digit(char_at(text, end - 1))
        for rule in rules:
            if not (is_plain and rule.takes_any_digits) and not rule.has_form(digits):
                continue
            if rule.strong:
                if _is_glued_to_code(text, start, end):
                    continue
            else:
                if is_alone < 0:
                    is_alone = not self._is_touched(run.text, text, start, end, is_single)
                if not is_alone:
                    continue
            if rule.has_script is not None:
                if not rule.has_script(run.text, max(0, start - NEAR_CHARS), end + NEAR_CHARS):
                    continue
            if rule.verify is not None and not rule.verify(digits):
                continue
            # A window has fewer characters than a UUID, so that one around it goes on at one of its ends.
            if may_be_in_uuid(char_at(text, start - 1)) or may_be_in_uuid(char_at(text, end)):
                if self._is_inside_uuid(run.text, start, end):
                    return None
            return rule
        return None

    cdef str _digits(self, const Characters *text, Py_ssize_t start, Py_ssize_t end):
        """The digits, and a check character, of a window."""
        cdef unsigned char digits[MOST_DIGITS]
        cdef Py_ssize_t at
        cdef int count = 0
        for at in range(start, end):
            if not self._code(char_at(text, at)):
                if count == MOST_DIGITS:
                    raise ValueError("a window wider than any layout")
                digits[count] = <unsigned char>char_at(text, at)
                count += 1
        return digits[:count].decode("ascii")

    cdef bint _is_touched(
        self, str text, const Characters *characters, Py_ssize_t start, Py_ssize_t end, bint is_single
    ):
        """See `is_touched` in privacy/runs.py."""
        cdef Py_UCS4 before = char_at(characters, start - 1), behind = char_at(characters, end)
        if is_letter(before) or before in self._currencies:
            return True
        if not is_single or not (is_letter(behind) or is_digit(behind)):
            return False
        return not self._glued_extension(text, end)


cdef inline int _chars_of(int gap):
    return (gap > 0) + (gap >= 8) + (gap >= 64)


cdef bint _is_x_due(const Characters *text, Py_ssize_t start, Py_ssize_t end):
    """Whether the check character X stands at `end` and belongs to the run: see `_is_x_due` in privacy/runs.py."""
    cdef Py_ssize_t at = end
    cdef Py_UCS4 character = char_at(text, end), behind = char_at(text, end + 1)
    if (character != c'X' and character != c'x') or is_letter(behind) or is_digit(behind):
        return False
    while at > start and is_digit(char_at(text, at - 1)):
        at -= 1
    return end - at == 17 or end - at == 3


cdef bint _is_glued_to_code(const Characters *text, Py_ssize_t start, Py_ssize_t end):
    """See `is_glued_to_code` in privacy/runs.py."""
    cdef Py_ssize_t before = start, after = end
    while is_letter(char_at(text, before - 1)):
        before -= 1
    while is_letter(char_at(text, after)):
        after += 1
    if before < start and after > end:
        return True
    return (before < start and is_digit(char_at(text, before - 1))) or (after > end and is_digit(char_at(text, after)))
