"""Exit code 0 when the server of this container would answer now: `python healthcheck.py [PORT]`."""

import sys
import urllib.request

PORT = sys.argv[1] if len(sys.argv) > 1 else "8080"

try:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=2) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    sys.exit(f"not ready: {error}")
