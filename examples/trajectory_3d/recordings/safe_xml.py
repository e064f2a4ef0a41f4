"""XML as a plain tree with line numbers, without what makes XML unsafe.

No document type declaration is accepted, so there are no entities: none from outside and none that blow up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from examples.trajectory_3d.recordings.errors import RecordingError

_DEEPEST = 100  # GPX, KML and CCSDS messages stay below 20


@dataclass
class Element:
    """One element.

    Attributes:
        name: without its namespace, which differs between versions of one format.
        attributes: by name, without namespaces.
        line: of its start, from 1.
        column: of its start, from 1.
        text: all character data directly in it.
        children: elements in it.
    """

    name: str
    attributes: dict[str, str]
    line: int
    column: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> Element | None:
        """The first child of that name."""
        return next((each for each in self.children if each.name == name), None)

    def named(self, name: str) -> list[Element]:
        """All children of that name."""
        return [each for each in self.children if each.name == name]

    def child_text(self, name: str) -> str:
        """Text of the first child of that name without blanks around it; empty when there is none."""
        found = self.child(name)
        return found.text.strip() if found else ""

    def walk(self) -> Iterator[Element]:
        """This element and all in it, in the order of the file."""
        pending = [self]
        while pending:
            element = pending.pop()
            yield element
            pending.extend(reversed(element.children))

    def fault(self, path: Path, problem: str, expected: str | None = None) -> RecordingError:
        """The error to raise for this element."""
        return RecordingError(path, problem, expected=expected, line=self.line, column=self.column)


class _Builder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.open: list[Element] = []
        self.pieces: list[list[str]] = []
        self.root: Element | None = None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = Element(
            name.rpartition(" ")[2],
            {key.rpartition(" ")[2]: value for key, value in attributes.items()},
            self.parser.CurrentLineNumber,
            self.parser.CurrentColumnNumber + 1,
        )
        if len(self.open) >= _DEEPEST:
            raise element.fault(self.path, f"elements nested {_DEEPEST} deep", "a recording")
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)
        self.pieces.append([])

    def _end(self, _name: str) -> None:
        self.open.pop().text = "".join(self.pieces.pop())

    def _data(self, data: str) -> None:
        self.pieces[-1].append(data)

    def _doctype(self, *_: object) -> None:
        raise RecordingError(
            self.path,
            "a document type declaration",
            expected="XML without one, since entities are not safe",
            line=self.parser.CurrentLineNumber,
            column=self.parser.CurrentColumnNumber + 1,
        )


def parse_xml(path: Path, content: bytes) -> Element:
    """The tree of an XML document.

    Args:
        path: of the file, for errors.
        content: of the document.

    Raises:
        RecordingError: XML that is not well formed or cut off, with line and column; a document type
            declaration; an encoding that is unknown; elements nested absurdly deep.
    """
    builder = _Builder(path)
    try:
        builder.parser.Parse(content, True)
    except expat.ExpatError as error:
        raise RecordingError(
            path,
            f"no well-formed XML ({expat.ErrorString(error.code)})",
            expected="a whole XML document",
            line=error.lineno,
            column=error.offset + 1,
        ) from error
    except (LookupError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(path, f"XML of an encoding that is not known ({error})") from error
    if builder.root is None:
        raise RecordingError(path, "an XML document without elements", expected="a recording")
    return builder.root


def root_name(head: str | None) -> str:
    """Name of the first element of a document's beginning, without a prefix; empty when it is not XML."""
    rest = (head or "").lstrip("\ufeff \t\r\n")
    while rest.startswith(("<?", "<!--")):
        end = "?>" if rest.startswith("<?") else "-->"
        rest = rest.partition(end)[2].lstrip()
    if not rest.startswith("<"):
        return ""
    name = rest[1:200].replace("/", " ").replace(">", " ").split()
    return name[0].rpartition(":")[2] if name else ""
