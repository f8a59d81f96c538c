"""CSV that a spreadsheet shows and never computes."""

import csv
from collections.abc import Iterable, Iterator

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


class _Echo:
    """Gives each written line back, for the writer wants a file."""

    def write(self, line: str) -> str:
        return line


def csv_lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Each row as one line, as it is asked for."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield str(writer.writerow([safe_cell(cell) for cell in row]))


def safe_cell(value: object) -> str:
    """Text that starts like a formula gets an apostrophe, which spreadsheets do not show."""
    text = "" if value is None else str(value).replace("\0", "")
    return f"'{text}" if text.startswith(FORMULA_STARTS) or str(value)[:1] == "\0" else text
