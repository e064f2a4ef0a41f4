"""Signals: one stops cleanly, two abort, handlers come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from training_helpers import TinyModel, config, stream

from m.checkpoint import load_checkpoint
from m.training import Callback, Trainer
from m.training.signals import InterruptGuard


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_a_flag_and_handlers_are_restored(number):
    before = signal.getsignal(number)
    with InterruptGuard() as guard:
        assert not guard.requested
        os.kill(os.getpid(), number)
        assert guard.requested
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


def test_second_signal_aborts_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)

    def twice():
        with InterruptGuard():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="SIGTERM after SIGINT"):
        twice()
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_install_nothing_and_still_train(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    seen = []

    class Look(Callback):
        def on_step(self, record):
            seen.append(signal.getsignal(signal.SIGINT))

    def work():
        Trainer(TinyModel(), stream, config(max_steps=5), output_dir=tmp_path, callbacks=[Look()]).fit()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
    assert (tmp_path / "final_model.pt").exists()


def test_sigterm_during_a_run_saves_after_the_step(tmp_path):
    class Kill(Callback):
        def on_step(self, record):
            if record.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    options = config(log_interval=1, checkpoint_interval=1000)
    result = Trainer(TinyModel(), stream, options, output_dir=tmp_path, callbacks=[Kill()]).fit()
    assert (result.status, result.step) == ("interrupted", 3)
    assert [p.name for p in tmp_path.iterdir()] == ["training_state.pt"]
    assert load_checkpoint(tmp_path / "training_state.pt")["progress"]["step"] == 3
    assert signal.getsignal(signal.SIGTERM) is before


SCRIPT = """
    import sys, time
    sys.path.insert(0, {helpers!r})
    from training_helpers import TinyModel, config, stream
    from m.training import Callback, Trainer

    class Slow(Callback):
        def on_step(self, record):
            print(record.step, flush=True)
            time.sleep(0.02)

    options = config(max_steps=100_000, log_interval=1, checkpoint_interval=100_000)
    result = Trainer(TinyModel(), stream, options, output_dir={folder!r}, callbacks=[Slow()]).fit()
    print(result.status, result.step, flush=True)
"""


@pytest.mark.slow
def test_sigterm_to_a_process_saves_and_exits_cleanly(tmp_path):
    script = textwrap.dedent(SCRIPT).format(helpers=str(Path(__file__).parent), folder=str(tmp_path / "run"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "3":
            break
    process.send_signal(signal.SIGTERM)
    status, step = process.stdout.read().split()[-2:]
    assert process.wait(timeout=60) == 0
    assert status == "interrupted"
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["training_state.pt"]
    assert load_checkpoint(tmp_path / "run" / "training_state.pt")["progress"]["step"] == int(step) >= 3


def test_forked_workers_obey_sigterm_and_ignore_ctrl_c():
    """Data workers forked during training inherit the handlers; the parent must still be able to end them."""
    with InterruptGuard():
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        time.sleep(0.1)
        os.kill(child, signal.SIGINT)
        os.kill(child, signal.SIGINT)
        time.sleep(0.1)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)  # alive
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
