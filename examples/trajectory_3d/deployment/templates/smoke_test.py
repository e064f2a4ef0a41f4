"""Start the server of this folder, ask it for known forecasts, compare, and stop it: `python smoke_test.py`.

Uses nothing but the standard library. Exit code 0 when every number is as expected.json says and the server
ends as it should. `--url http://host:8080` asks a server that runs already, in a container for one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START_SECONDS = 60
STOP_SECONDS = 30
KEY = os.environ.get("M_SERVER_KEY")


def ask(url: str, body: object = None) -> Any:
    """JSON of a route."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {KEY}"} if KEY else {})
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, content, headers), timeout=30) as answer:
        return json.load(answer)


def start() -> tuple[subprocess.Popen[str], str]:
    """A server on a free port: its process, log and address."""
    log = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115  (open as long as the server runs)
    command = [sys.executable, str(HERE / "start_server.py"), "--port", "0"]
    # -u: its address must not wait in a buffer. Somewhere else, so that no file of the caller's is found.
    process = subprocess.Popen(
        [command[0], "-u", *command[1:]],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=tempfile.gettempdir(),
        text=True,
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        log.seek(0)
        words = [word for word in log.read().split() if word.startswith("http://")]
        if words:
            return process, words[0]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    log.seek(0)
    sys.exit(f"failed: the server did not start:\n{log.read()}")


def wait_until_ready(url: str) -> None:
    """Poll the probe that a load balancer would."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if ask(f"{url}/readyz")["ready"]:
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        if time.monotonic() > deadline:
            sys.exit("failed: the server did not become ready")
        time.sleep(0.02)


def largest_difference(found: Any, expected: Any) -> float:
    """Between two nested lists of numbers."""
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            sys.exit(f"failed: {len(expected)} numbers were expected, got {found!r:.80}")
        return max((largest_difference(a, b) for a, b in zip(found, expected, strict=True)), default=0.0)
    return float(abs(found - expected))


def compare(url: str, expected: Any) -> None:
    """Ask for every known forecast."""
    for case in expected["cases"]:
        answer = ask(f"{url}/v1/forecast", case["request"])
        pairs = [("mean", answer["mean"], case["mean"])]
        pairs += [(level, answer["quantiles"][level], values) for level, values in case["quantiles"].items()]
        for what, found, values in pairs:
            difference = largest_difference(found, values)
            if not difference <= case["tolerance"]:
                sys.exit(
                    f"failed: {case['name']}, {what}: differs by {difference:.3g}, "
                    f"more than {case['tolerance']:.3g}"
                )
        print(f"ok: {case['name']}, {case['request']['horizon']} points")


def stop(process: subprocess.Popen[str]) -> None:
    """End it as an orchestrator would."""
    process.terminate()  # SIGTERM
    try:
        code = process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        sys.exit(f"failed: the server did not end within {STOP_SECONDS} s of SIGTERM")
    if code:
        sys.exit(f"failed: the server ended with exit code {code}")


def main() -> None:
    """The test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="of a server that runs already, instead of starting one")
    arguments = parser.parse_args()
    expected = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
    begun = time.monotonic()
    process: subprocess.Popen[str] | None = None
    if arguments.url:
        url = arguments.url.rstrip("/")
    else:
        process, url = start()
    try:
        wait_until_ready(url)
        print(f"ready after {time.monotonic() - begun:.2f} s at {url}")
        compare(url, expected)
        if process is not None:
            stop(process)
            print("ok: ended on SIGTERM")
    finally:
        if process is not None and process.poll() is None:
            process.kill()


if __name__ == "__main__":
    main()
