"""What is wrong with a recording, and where."""

from __future__ import annotations

from pathlib import Path


class RecordingError(ValueError):
    """A recording that cannot be read; the message says where its first fault is and what was expected.

    Args:
        source: the file.
        problem: what was found there.
        expected: what should stand there, or what to do.
        line: of the fault, from 1; None where a format has no lines.
        column: of the fault, from 1: the character in the line, or in tables the cell.
    """

    def __init__(
        self,
        source: str | Path,
        problem: str,
        *,
        expected: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.source, self.problem, self.expected = str(source), problem, expected
        self.line, self.column = line, column
        place = "".join(f":{part}" for part in (line, column) if part is not None)
        super().__init__(f"{source}{place}: {problem}" + (f"; expected {expected}" if expected else ""))
