"""Reading a list of wished grants: CSV as people save and paste it. Pure."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import StringIO

from config.errors import InvalidInput

MOST_LINES = 10_000
MOST_BYTES = 5_000_000
LONGEST_CELL = 2_000
COLUMNS = ("consumer", "plan", "feature", "limit", "config", "ends", "reason")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class UnreadableFile(InvalidInput):
    """Nothing can be made of the file as a whole."""

    code = "unreadable_file"


@dataclass(frozen=True, slots=True)
class AskedLine:
    """One line by the names of its columns; `problem` is what makes it unreadable."""

    number: int
    cells: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def read_lines(data: bytes) -> list[AskedLine]:
    """The lines below the heading. Raises UnreadableFile, which says what to change."""
    if len(data) > MOST_BYTES:
        raise UnreadableFile(f"The file is larger than {MOST_BYTES // 1_000_000} MB: divide it.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnreadableFile("The file is UTF-16: save it as CSV in UTF-8.")
    # A byte that is not UTF-8 makes its own line bad, not the file.
    text = data.decode("utf-8-sig", errors="surrogateescape")
    delimiter = _delimiter(text)
    rows = _rows(text, delimiter)
    if not rows:
        raise UnreadableFile("There is nothing in it: the first line names the columns.")
    names = _names(rows[0][1])
    if len(rows) - 1 > MOST_LINES:
        raise UnreadableFile(f"{len(rows) - 1:,} lines: at most {MOST_LINES:,} at once, divide it.")
    if len(rows) == 1:
        raise UnreadableFile("There are no lines below the heading.")
    return [_line(number, cells, names) for number, cells in rows[1:]]


def safe_cell(value: object) -> str:
    """Text that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _delimiter(text: str) -> str:
    heading = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=heading.count)


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Rows with something in them, each with the number of its last line in the file."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as problem:
        raise UnreadableFile(
            f"Line {reader.line_num}: {problem}. Are its quotes closed?"
        ) from problem
    return rows


def _names(heading: Iterable[str]) -> list[str]:
    names = [name.lower().strip() for name in heading]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        shown = ", ".join(_readable(name) or "(empty)" for name in unknown[:5])
        raise UnreadableFile(
            f"The first line has columns that are not known: {shown}. Use {', '.join(COLUMNS)}."
        )
    if len(set(names)) != len(names):
        raise UnreadableFile("A column is named twice in the first line.")
    if "consumer" not in names or not {"plan", "feature"} & set(names):
        raise UnreadableFile("The first line needs the column consumer, and plan or feature.")
    return names


def _line(number: int, cells: list[str], names: list[str]) -> AskedLine:
    shown = [_readable(cell)[:LONGEST_CELL] for cell in cells]
    asked = {**dict.fromkeys(COLUMNS, ""), **dict(zip(names, shown, strict=False))}
    return AskedLine(number, asked, _problem(cells, names))


def _problem(cells: list[str], names: list[str]) -> str:
    if any(cell != _readable(cell) for cell in cells):
        return "It has characters that are not UTF-8: save the file as CSV in UTF-8."
    if len(cells) > len(names):
        return f"It has {len(cells)} cells, the heading {len(names)}."
    if any(len(cell) > LONGEST_CELL for cell in cells):
        return f"A cell has more than {LONGEST_CELL:,} characters."
    return ""


def _readable(cell: str) -> str:
    """Without what no table can hold: bytes that are no text, and NUL."""
    return cell.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
