"""Choosing from a list at a terminal, with arrow keys or a number."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from m.config import ConfigError

if TYPE_CHECKING:
    from prompt_toolkit.application import Application
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

HINT = "arrow keys or a number, Enter takes it, q or Escape leaves"


def choose(title: str, entries: Sequence[str]) -> int | None:
    """Let the user pick one of some lines.

    Args:
        title: stands above them.
        entries: at least one.

    Returns:
        Index of the chosen entry; None when the user left without choosing.

    Raises:
        ConfigError: there is no terminal to ask at.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("--interactive asks at a terminal, and there is none; name the model instead")
    return make_application(title, entries).run()


def make_application(title: str, entries: Sequence[str]) -> Application[int | None]:
    """The list as an application of prompt_toolkit; its result is the index, or None.

    Raises:
        ValueError: no entries.
    """
    # Imported here: other uses of the commands need none of it.
    from prompt_toolkit.application import Application  # noqa: PLC0415
    from prompt_toolkit.data_structures import Point  # noqa: PLC0415
    from prompt_toolkit.layout import (  # noqa: PLC0415
        Dimension,
        FormattedTextControl,
        HSplit,
        Layout,
        Window,
    )

    if not entries:
        raise ValueError("there is nothing to choose from")
    chooser = _Chooser(tuple(entries))
    listing = FormattedTextControl(
        chooser.render,
        focusable=True,
        show_cursor=False,
        get_cursor_position=lambda: Point(0, chooser.place),  # a list longer than the terminal scrolls to it
    )

    def line(text: str | Callable[[], str], style: str) -> Window:
        height = Dimension(min=0, max=1, preferred=1)  # a terminal of very few lines shows the list alone
        return Window(FormattedTextControl(text), height=height, style=style)

    rows = [line(title, "bold"), Window(listing, wrap_lines=False, dont_extend_height=True)]
    return Application(
        layout=Layout(HSplit([*rows, line(chooser.hint, "italic")]), focused_element=listing),
        key_bindings=chooser.keys(),
        full_screen=False,
        erase_when_done=True,
    )


class _Chooser:
    """Which entry is under the cursor, and what keys do. Entries are numbered from 1."""

    def __init__(self, entries: tuple[str, ...]) -> None:
        self._entries = entries
        self._place = 0
        self._typed = ""

    @property
    def place(self) -> int:
        """Index of the entry under the cursor."""
        return self._place

    def hint(self) -> str:
        return HINT + (f"   [{self._typed}]" if self._typed else "")

    def render(self) -> StyleAndTextTuples:
        width = len(str(len(self._entries)))
        lines: StyleAndTextTuples = []
        for index, entry in enumerate(self._entries):
            chosen = index == self._place
            mark = ">" if chosen else " "
            end = "" if index == len(self._entries) - 1 else "\n"
            lines.append(("reverse" if chosen else "", f"{mark} {index + 1:>{width}}  {entry}{end}"))
        return lines

    def keys(self) -> KeyBindings:
        from prompt_toolkit.key_binding import KeyBindings  # noqa: PLC0415

        bindings = KeyBindings()
        for names, step in ((("up", "k"), -1), (("down", "j"), 1)):
            for name in names:
                bindings.add(name)(lambda _, step=step: self._move(step))
        for digit in "0123456789":
            bindings.add(digit)(lambda _, digit=digit: self._type(digit))
        bindings.add("backspace")(lambda _: self._type(""))
        bindings.add("enter")(lambda event: event.app.exit(result=self._place))
        for name in ("q", "escape"):
            bindings.add(name, eager=True)(self._leave)
        bindings.add("c-c")(self._interrupt)
        return bindings

    def _move(self, step: int) -> None:
        self._typed = ""
        self._place = (self._place + step) % len(self._entries)

    def _type(self, digit: str) -> None:
        """Add a digit (or take the last one away) and go to the entry of that number, if there is one."""
        typed = self._typed + digit if digit else self._typed[:-1]
        if typed and not 1 <= int(typed) <= len(self._entries):
            typed = digit if digit and 1 <= int(digit) <= len(self._entries) else self._typed
        self._typed = typed
        if typed:
            self._place = int(typed) - 1

    @staticmethod
    def _leave(event: KeyPressEvent) -> None:
        event.app.exit(result=None)

    @staticmethod
    def _interrupt(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt())
