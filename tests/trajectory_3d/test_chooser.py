"""Choosing a model at a terminal: keys as a user presses them, and what happens without a terminal."""

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

from examples.trajectory_3d.cli.chooser import choose, make_application
from examples.trajectory_3d.cli.evaluate import main
from m.config import ConfigError

UP, DOWN, ENTER, ESCAPE, BACKSPACE = "\x1b[A", "\x1b[B", "\r", "\x1b", "\x7f"


def press(keys: str, entries: int = 12) -> int | None:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        return make_application("Which?", [f"model {i}" for i in range(entries)]).run()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (ENTER, 0),
        (DOWN + DOWN + ENTER, 2),
        (UP + ENTER, 11),
        (DOWN * 12 + ENTER, 0),
        ("jjk" + ENTER, 1),
        ("3" + ENTER, 2),
        ("12" + ENTER, 11),
        ("15" + ENTER, 4),  # there is no 15: the 5 begins a new number
        ("12" + BACKSPACE + ENTER, 0),
        ("0" + ENTER, 0),
        ("3" + DOWN + ENTER, 3),
        ("q", None),
        (ESCAPE, None),
    ],
)
def test_keys_choose(keys, expected):
    assert press(keys) == expected


def test_ctrl_c_interrupts():
    with pytest.raises(KeyboardInterrupt):
        press("\x03")


def on_screen(application):
    screen = application.renderer.last_rendered_screen
    rows = (screen.data_buffer[row] for row in range(screen.height))
    return ["".join(row[column].char for column in range(80)).rstrip() for row in rows]


@pytest.mark.parametrize("rows", [3, 8, 24])
def test_in_a_long_list_the_chosen_entry_and_the_hint_stay_in_sight(rows):
    output = Vt100_Output(io.StringIO(), lambda: Size(rows=rows, columns=80))
    drawn = []  # the screen, after every step

    def after_drawing(application):
        if application.is_done:  # all is erased
            return
        drawn.append(on_screen(application))
        if len(drawn) == 2:
            pipe.send_text(ENTER)

    with create_pipe_input() as pipe, create_app_session(input=pipe, output=output):
        pipe.send_text("30" + DOWN)
        application = make_application("Which?", [f"model {i}" for i in range(1, 41)])
        application.after_render += after_drawing
        assert application.run() == 30
    for screen in drawn:
        assert len(screen) <= rows
        assert "Enter takes it" in screen[-1]
    assert drawn[0][1] == ">  1  model 1"
    assert "> 31  model 31" in drawn[-1]


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="nothing"):
        make_application("Which?", [])


def test_without_a_terminal_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="terminal"):
        choose("Which?", ["a"])
    assert main(["--interactive"]) == 2
    assert "no trained model" in capsys.readouterr().err
    (tmp_path / "outputs/trajectory_3d/run").mkdir(parents=True)
    (tmp_path / "outputs/trajectory_3d/run/best_model.pt").write_bytes(b"")
    assert main(["--interactive"]) == 2
    assert "there is none" in capsys.readouterr().err
    assert main(["--interactive", "--latest"]) == 2
    assert main(["--interactive", "--no-model", "a.yaml"]) == 2


def test_at_a_real_terminal_the_chosen_run_is_taken(tmp_path):
    """The second of two runs, neither of which can be loaded: the error names it."""
    for age, name in ((10, "older"), (0, "newer")):
        run = tmp_path / "outputs/trajectory_3d" / name
        run.mkdir(parents=True)
        (run / "best_model.pt").write_bytes(b"")
        os.utime(run / "best_model.pt", (time.time() - age, time.time() - age))
    code = (
        "import sys; from examples.trajectory_3d.cli.evaluate import main; sys.exit(main(['--interactive']))"
    )
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(terminal)
    shown = b""
    while b"older" not in shown:
        shown += os.read(controller, 4096)
    os.write(controller, b"2\r")
    _, error = process.communicate(timeout=60)
    os.close(controller)
    assert process.returncode == 2
    assert "config.yaml beside outputs/trajectory_3d/older/best_model.pt" in error
