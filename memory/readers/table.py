"""Tables of edits: CSV (any usual dialect, with a header) and Parquet (needs `errata[parquet]`).

Columns go by name, in any order and case; common synonyms are understood (COLUMN_SYNONYMS), other
columns are ignored. `aliases` holds several names, parted by "|" in CSV, a list in Parquet.
"""

from __future__ import annotations

import csv
import io
import logging
from typing import IO, TYPE_CHECKING, Any

from memory.errors import InvalidInput
from memory.readers.row import ReadEdit, RefusedRow, Row, RowError, canonical_json, excerpt, row_key
from memory.transfer import record_to_draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from memory.record import EditDraft

log = logging.getLogger(__name__)

COLUMN_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "subject": ("subject", "entity", "subject_label", "sub_label"),
    "prompt": ("prompt", "question", "cloze", "src", "query", "text"),
    "target": ("target", "target_new", "new_target", "new_answer", "answer", "alt", "object"),
    "former": ("former", "ground_truth", "target_true", "old_answer", "former_target", "old"),
    "aliases": ("aliases", "alias", "subject_aliases"),
    "author": ("author", "created_by"),
    "source": ("source", "reference", "url"),
    "expires_at_s": ("expires_at_s",),
    "expires_at": ("expires_at", "expires", "valid_until"),
    "edit_id": ("edit_id", "id"),
}
REQUIRED = ("subject", "prompt", "target")
ALIAS_SEPARATOR = "|"
DELIMITERS = ",;\t|"
SAMPLE_CHARS = 16_384
PARQUET_BATCH_ROWS = 1024
_SURROGATES = range(0xDC80, 0xDD00)  # What "surrogateescape" makes of bytes that are not UTF-8.


def read_csv(path: Path) -> Iterator[Row]:
    """Yields the rows of a CSV file. Raises InvalidInput when it has no usable header."""
    file = _open_text(path)
    try:
        sample = file.read(SAMPLE_CHARS)
        file.seek(0)
        reader = csv.reader(file, _dialect(sample))
        header = next(reader, [])
        columns = map_columns(header, path.name)
    except csv.Error as error:
        file.close()
        raise InvalidInput(f"{path.name} is no CSV file: {error}", field="path") from error
    except BaseException:
        file.close()
        raise
    return _csv_rows(file, reader, columns, len(header))


def read_parquet(path: Path) -> Iterator[Row]:
    """Yields the rows of a Parquet file. Raises InvalidInput without pyarrow or for a bad file."""
    try:
        from pyarrow import parquet  # noqa: PLC0415  # An optional extra.
    except ImportError as error:
        raise InvalidInput(
            "reading Parquet needs pyarrow: install the extra errata[parquet]", field="format"
        ) from error
    try:
        table = parquet.ParquetFile(path)
        names = list(table.schema_arrow.names)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name} is no Parquet file: {error}", field="path") from error
    return _parquet_rows(table, names, map_columns(names, path.name))


def map_columns(header: Sequence[str], file_name: str) -> dict[str, int]:
    """Returns the position of each known column. Raises InvalidInput naming those missing."""
    cleaned = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in header]
    columns: dict[str, int] = {}
    for field, synonyms in COLUMN_SYNONYMS.items():
        found = [name for name in synonyms if name in cleaned]
        if found:
            columns[field] = cleaned.index(found[0])
    missing = [field for field in REQUIRED if field not in columns]
    if missing:
        wanted = "; ".join(f"{field} (or {', '.join(COLUMN_SYNONYMS[field])})" for field in missing)
        shown = ", ".join(header)[:200]
        raise InvalidInput(
            f"{file_name} has no column for {wanted}; its columns are: {shown}", field="path"
        )
    ignored = [name for at, name in enumerate(header) if at not in columns.values()]
    if ignored:
        log.info("columns of %s that are not read: %s", file_name, ", ".join(ignored))
    return columns


def _open_text(path: Path) -> IO[str]:
    with path.open("rb") as file:
        head = file.read(2)
    encoding = "utf-16" if head in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    return path.open(encoding=encoding, errors=errors, newline="")


def _dialect(sample: str) -> type[csv.Dialect] | csv.Dialect:
    """Guesses delimiter and quoting from the header line, which names no free text."""
    header = next(iter(sample.splitlines()), "")
    counts = {delimiter: header.count(delimiter) for delimiter in DELIMITERS}
    best = max(counts, key=lambda delimiter: counts[delimiter])

    class Guessed(csv.excel):
        delimiter = best if counts[best] else ","

    return Guessed


def _csv_rows(file: IO[str], reader: Any, columns: Mapping[str, int], width: int) -> Iterator[Row]:
    with file:
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield RefusedRow(line=line, error=f"not valid CSV: {error}", excerpt="")
                continue
            if any(cells):
                yield _csv_row(line, cells, columns, width)


def _csv_row(line: int, cells: list[str], columns: Mapping[str, int], width: int) -> Row:
    raw = _joined(cells)
    try:
        _check_cells(cells, width, raw)
        draft = _shape({field: cells[at] for field, at in columns.items()})
    except (RowError, InvalidInput) as error:
        return RefusedRow(line=line, error=str(error), excerpt=excerpt(raw))
    return ReadEdit(line=line, draft=draft, row_key=row_key("csv", line, raw))


def _check_cells(cells: list[str], width: int, raw: str) -> None:
    if len(cells) != width:
        raise RowError(f"expected {width} columns as in the header, got {len(cells)}")
    if any(ord(char) in _SURROGATES for char in raw):
        raise RowError("not UTF-8; save the file as UTF-8 and read it again")


def _joined(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _parquet_rows(table: Any, names: list[str], columns: Mapping[str, int]) -> Iterator[Row]:
    wanted = {field: names[at] for field, at in columns.items()}
    number = 0
    with table:
        for batch in table.iter_batches(
            batch_size=PARQUET_BATCH_ROWS, columns=list(wanted.values())
        ):
            for record in batch.to_pylist():
                number += 1
                cells = {field: record[name] for field, name in wanted.items()}
                yield _parquet_row(number, cells)


def _parquet_row(number: int, cells: Mapping[str, object]) -> Row:
    raw = canonical_json(cells)
    try:
        draft = _shape(cells)
    except (RowError, InvalidInput) as error:
        return RefusedRow(line=number, error=str(error), excerpt=excerpt(raw))
    return ReadEdit(line=number, draft=draft, row_key=row_key("parquet", number, raw))


def _shape(cells: Mapping[str, object]) -> EditDraft:
    """Shapes one row; an empty cell counts as absent, except that required ones stay empty."""
    record = {
        field: value
        for field, value in cells.items()
        if value is not None and (field in REQUIRED or value != "")
    }
    aliases = record.get("aliases")
    if isinstance(aliases, str):
        parted = [name.strip() for name in aliases.split(ALIAS_SEPARATOR)]
        record["aliases"] = [name for name in parted if name]
    seconds = record.get("expires_at_s")
    if isinstance(seconds, str):
        record["expires_at_s"] = _number(seconds)
    moment = record.get("expires_at")
    if hasattr(moment, "isoformat"):
        record["expires_at"] = moment.isoformat()
    return record_to_draft(record)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise RowError(f'"expires_at_s" must be a number of seconds, got "{text[:40]}"') from error
