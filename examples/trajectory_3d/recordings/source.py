"""A file to be read: its name, its first bytes, and its content with compression taken off."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from examples.trajectory_3d.recordings.errors import RecordingError

_HEAD = 1 << 16
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Source:
    """A file, compressed by gzip or not.

    Attributes:
        path: of the file.
    """

    path: Path

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the name, in lower case, without that of the compression: ``('.csv',)``."""
        return tuple(part.lower() for part in self.path.suffixes if part.lower() != ".gz")

    @cached_property
    def compressed(self) -> bool:
        """Whether the content is compressed by gzip."""
        return self._raw_head[:2] == _GZIP

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB, decompressed; fewer where the file is shorter or cut off.

        Raises:
            RecordingError: compressed content that is damaged.
        """
        if not self.compressed:
            return self._raw_head
        try:
            return zlib.decompressobj(wbits=31).decompress(self._raw_head, _HEAD)
        except zlib.error as error:
            raise RecordingError(
                self.path, f"damaged gzip content ({error})", expected="a whole file"
            ) from error

    @cached_property
    def head_text(self) -> str | None:
        """The head as text, without a byte order mark; None for binary content."""
        if b"\0" in self.head and not self.head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return None
        for encoding in encodings(self.head):
            try:
                return self.head.decode(encoding)
            except UnicodeDecodeError as error:
                if encoding == "utf-8-sig" and error.start >= len(self.head) - 3:  # a cut character
                    return self.head[: error.start].decode(encoding)
        return None

    def head_lines(self) -> list[str]:
        """Whole lines of the head; none for binary content."""
        lines = (self.head_text or "").splitlines()
        return lines[:-1] if len(self.head) == _HEAD else lines

    def open(self) -> IO[bytes]:
        """The content as a stream of bytes, decompressed; the caller closes it."""
        stream: object = gzip.open(self.path, "rb") if self.compressed else self.path.open("rb")  # noqa: SIM115
        return cast("IO[bytes]", stream)

    def read(self) -> bytes:
        """All of the content, decompressed.

        Raises:
            RecordingError: compressed content that is damaged or cut off.
        """
        try:
            with self.open() as stream:
                return stream.read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise RecordingError(
                self.path, f"damaged gzip content ({error})", expected="a whole file"
            ) from error

    def text(self) -> str:
        """All of the content as text.

        Raises:
            RecordingError: it is none.
        """
        content = self.read()
        for encoding in encodings(content):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as error:
                fault = error
        line = content[: fault.start].count(b"\n") + 1
        raise RecordingError(self.path, "a byte that is no text", expected="UTF-8 text", line=line)

    def text_stream(self) -> io.TextIOWrapper:
        """The content as a stream of text, for files that do not fit into memory."""
        return io.TextIOWrapper(self.open(), encoding=encodings(self.head)[0], newline="")

    @cached_property
    def _raw_head(self) -> bytes:
        with self.path.open("rb") as stream:
            return stream.read(_HEAD)


def encodings(content: bytes) -> tuple[str, ...]:
    """Encodings to try, by the byte order mark; old European exports are Latin-1 where they are not UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ("utf-16",)
    if b"\0" in content[:1024]:
        return ("utf-8-sig",)
    return ("utf-8-sig", "cp1252")
