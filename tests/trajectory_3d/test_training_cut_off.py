"""Two machines that train together and lose sight of each other: a clear end on both, never a hang."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from launched import logged_step, write_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_HOSTS = ("10.213.77.1", "10.213.77.2")
_PATIENCE = 200.0


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@contextmanager
def two_hosts() -> Iterator[tuple[str, str]]:
    """Names of two network namespaces with a cable between them."""
    names = (f"trj{os.getpid()}a", f"trj{os.getpid()}b")
    made: list[str] = []
    try:
        try:
            _connect(names, made)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            pytest.skip(f"network namespaces need root and the command ip: {error}")
        yield names
    finally:
        for name in made:
            _ip("netns", "del", name)


def _connect(names: tuple[str, str], made: list[str]) -> None:
    for name in names:
        _ip("netns", "add", name)
        made.append(name)
    cable = ("link", "add", "cable", "netns", names[0], "type", "veth")
    _ip(*cable, "peer", "name", "cable", "netns", names[1])
    for name, host in zip(names, _HOSTS, strict=True):
        _ip("-n", name, "addr", "add", f"{host}/24", "dev", "cable")
        _ip("-n", name, "link", "set", "cable", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        # torchrun waits for its store until the kernel gives the connection up: a quarter of an hour else.
        _ip("netns", "exec", name, "sh", "-c", "echo 5 > /proc/sys/net/ipv4/tcp_retries2")


def start(host: str, rank: int, config: Path, root: Path) -> subprocess.Popen[str]:
    command = [
        *("ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1", "--max-restarts=0"),
        *(
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={_HOSTS[0]}:29417",
            "--rdzv-id=cut",
            f"--rdzv-conf=is_host={1 - rank}",
            "--local-addr",
            _HOSTS[rank],
        ),
        *(
            "-m",
            "examples.trajectory_3d.training",
            str(config),
            "--output-root",
            str(root),
            "--device",
            "cpu",
        ),
        *("training.max_steps=100000", "parallel.timeout=8"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "cable"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


@pytest.mark.skipif(shutil.which("ip") is None, reason="needs the command ip")
def test_both_machines_end_when_the_cable_is_cut(tmp_path: Path) -> None:
    config, root = write_config(tmp_path), tmp_path / "runs"
    with two_hosts() as hosts:
        processes = [start(host, rank, config, root) for rank, host in enumerate(hosts)]
        try:
            deadline = time.monotonic() + _PATIENCE
            while logged_step(root / "together") < 6 and time.monotonic() < deadline:
                ended = [process for process in processes if process.poll() is not None]
                assert not ended, ended[0].communicate()[0]
                time.sleep(0.1)
            _ip("-n", hosts[0], "link", "set", "cable", "down")
            cut = time.monotonic()
            outputs = [process.communicate(timeout=_PATIENCE)[0] for process in processes]
            took = time.monotonic() - cut
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode != 0
        assert "lost the others" in output, output
    assert took < 150, f"took {took:.0f} s"
