"""Tests run in two processes (``-n 2``) of one thread each: with more they get in each other's way."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before anything imports torch
    os.environ.setdefault("OMP_NUM_THREADS", "1")
