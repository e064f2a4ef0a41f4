"""Text tables of any size, block by block: pyarrow parses, and where it cannot, plain Python says why."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.source import Source, encodings
from examples.trajectory_3d.recordings.tables.cells import MISSING
from examples.trajectory_3d.recordings.tables.choose import Layout
from examples.trajectory_3d.recordings.tables.dialect import COMMENTS, Dialect, split
from examples.trajectory_3d.recordings.tables.stamps import DECIMALS
from examples.trajectory_3d.recordings.tables.table import Column, Table

BLOCK = 1 << 25
_MARK = b"\xef\xbb\xbf"
_COMMENT = re.compile(rb"(?m)^[ \t]*[#%][^\n]*(?:\n|\Z)")
_BLANK = re.compile(rb"(?m)^[ ]+\r?$")
_TIME_TYPES = ("int64", "decimal", "double")


@dataclass(frozen=True)
class TextTable:
    """A text file's table.

    Attributes:
        source: the file.
        dialect: how it is written.
        layout: what its columns are; only those used are parsed.
    """

    source: Source
    dialect: Dialect
    layout: Layout

    def tables(self, size: int = BLOCK) -> Iterator[Table]:
        """Its rows in tables of about so many bytes of text.

        Raises:
            RecordingError: a line with more or fewer cells than the others, damaged compression, no text.
        """
        first_line, first_row = 1, 0
        skip = self.dialect.skip
        for block in _blocks(self.source, size):
            lines = block.count(b"\n")
            body, here = block, first_line
            if skip:
                dropped = min(skip, lines)
                body = block.split(b"\n", dropped)[-1]
                skip, here = skip - dropped, first_line + dropped
            table = self._table(_utf8(self.source, body, here), here, first_row)
            first_line, first_row = first_line + lines, first_row + len(table)
            if len(table):
                yield table

    def _table(self, block: bytes, line: int, row: int) -> Table:
        clean = _without_comments(block, self.dialect.separator)
        if not clean.strip():
            return Table(self.source.path, self.dialect.names, self._columns({}), self.dialect.named, row)
        columns = self._fast(clean)
        line_of = _line_of(block, line)
        if columns is None:
            columns = self._slow(block, line)
        return Table(
            self.source.path, self.dialect.names, self._columns(columns), self.dialect.named, row, line_of
        )

    def _columns(self, read: dict[int, Column]) -> tuple[Column, ...]:
        return tuple(read.get(i) for i in range(self.dialect.width))

    def _fast(self, block: bytes) -> dict[int, Column] | None:
        """The columns used, by pyarrow; None where it finds something wrong."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.csv as arrow  # noqa: PLC0415

        names = [f"c{i}" for i in range(self.dialect.width)]
        wanted = list(self.layout.columns)
        for time_type in _TIME_TYPES:
            types = {names[i]: self._type(i, time_type) for i in wanted}
            try:
                table = arrow.read_csv(
                    io.BytesIO(block),
                    read_options=arrow.ReadOptions(column_names=names, block_size=1 << 22),
                    parse_options=arrow.ParseOptions(delimiter=self.dialect.separator),
                    convert_options=arrow.ConvertOptions(
                        column_types=types,
                        include_columns=[names[i] for i in wanted],
                        null_values=_missing_cells(),
                        strings_can_be_null=True,
                        decimal_point=self.dialect.decimal,
                    ),
                )
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError):
                continue
            return {i: _whole_column(table[names[i]]) for i in wanted}
        return None

    def _type(self, index: int, time_type: str) -> object:
        import pyarrow as pa  # noqa: PLC0415

        timing = self.layout.timing
        if index in timing.columns and timing.kind in {"text", "date and time"}:
            return pa.string()
        if index in timing.columns and timing.kind in {"number", "week"}:
            return {"int64": pa.int64(), "decimal": pa.decimal128(38, DECIMALS), "double": pa.float64()}[
                time_type
            ]
        return pa.dictionary(pa.int32(), pa.string()) if index == self.layout.track else pa.float64()

    def _slow(self, block: bytes, line: int) -> dict[int, Column]:
        """The columns used, as texts.

        Raises:
            RecordingError: a line with more or fewer cells than the others.
        """
        import pyarrow as pa  # noqa: PLC0415

        cells: dict[int, list[str | None]] = {i: [] for i in self.layout.columns}
        for number, text in _rows(block, line):
            row = split(text, self.dialect.separator)
            if len(row) != self.dialect.width:
                raise RecordingError(
                    self.source.path,
                    f"{len(row)} cells",
                    expected=f"{self.dialect.width}, as in the lines before",
                    line=number,
                    column=min(len(row), self.dialect.width + 1),
                )
            for index, column in cells.items():
                cell = row[index]
                if self.dialect.decimal == "," and index not in self._texts():
                    cell = cell.replace(",", ".")
                column.append(None if cell.lower() in MISSING else cell)
        return {index: pa.array(column, pa.string()) for index, column in cells.items()}

    def _texts(self) -> tuple[int | None, ...]:
        timing = self.layout.timing
        return (self.layout.track, *(timing.columns if timing.kind in {"text", "date and time"} else ()))


def bytes_for(source: Source, rows: int) -> int:
    """About how many bytes so many rows take, from the file's first lines."""
    lines = max(1, source.head.count(b"\n"))
    return min(max(1 << 16, rows * len(source.head) // lines), 1 << 28)


def _missing_cells() -> list[str]:
    words = {form(word) for word in MISSING for form in (str.lower, str.upper, str.title)} | {"NaN", "NaT"}
    return sorted(words | {" " * count for count in range(1, 9)})


def _whole_column(column: Column) -> Column:
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.combine_chunks()


def _rows(block: bytes, line: int) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without those that are blank or comments."""
    for number, text in enumerate(block.decode("utf-8").split("\n"), start=line):
        if text.strip(" \r") and not text.lstrip().startswith(COMMENTS):
            yield number, text.rstrip("\r")


def _line_of(block: bytes, line: int) -> Callable[[int], int]:
    return lambda row: next(islice((number for number, _ in _rows(block, line)), row, None), line)


def _without_comments(block: bytes, separator: str) -> bytes:
    """Lines of cells alone, each pair of cells with one separator between them."""
    if b"#" in block or b"%" in block:
        block = _COMMENT.sub(b"", block)
    if separator != " ":
        return _BLANK.sub(b"", block) if b"\n " in block or block[:1] == b" " else block
    block = b"\n" + block.translate(bytes.maketrans(b"\t", b" ")).replace(b"\r", b"") + b"\n"
    while b"  " in block:
        block = block.replace(b"  ", b" ")
    return block.replace(b"\n ", b"\n").replace(b" \n", b"\n")


def _utf8(source: Source, block: bytes, line: int) -> bytes:
    """The block as UTF-8; old European exports are Latin-1.

    Raises:
        RecordingError: neither, or bytes that are zero.
    """
    for encoding in encodings(block):
        try:
            text = block.decode("utf-8" if encoding == "utf-8-sig" else encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return block if encoding == "utf-8-sig" else text.encode("utf-8")
    fault = block.find(b"\0")
    number = line + block[: max(fault, 0)].count(b"\n")
    raise RecordingError(source.path, "a byte that is no text", expected="UTF-8 text", line=number)


def _blocks(source: Source, size: int) -> Iterator[bytes]:
    """The content in pieces of whole lines."""
    rest = b""
    try:
        with _stream(source) as stream:
            while chunk := stream.read(size):
                if b"\r" in chunk and b"\n" not in chunk:  # lines that end as on old Macs
                    chunk = chunk.replace(b"\r", b"\n")
                whole, end, tail = (rest + chunk).rpartition(b"\n")
                rest = tail
                if end:
                    yield whole + end
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingError(
            source.path, f"damaged gzip content ({error})", expected="a whole file"
        ) from error
    if rest:
        yield rest


def _stream(source: Source) -> IO[bytes]:
    if encodings(source.head)[0] == "utf-16":
        return io.BytesIO(source.text().encode("utf-8"))
    stream = source.open()
    if source.head.startswith(_MARK):
        stream.read(len(_MARK))
    return stream
