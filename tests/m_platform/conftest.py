"""A small model behind a server on loopback, for the tests of its faces."""

import httpx
import pytest
from reference import small_model
from serving import SMALL_LIMITS, running

from m.inference_server import InferenceServer


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def limits():
    """Of the server; modules that need others have a fixture of this name."""
    return SMALL_LIMITS


@pytest.fixture(scope="module")
def server(model, limits):
    return InferenceServer(model=model, name="small", device="cpu", limits=limits)


@pytest.fixture(scope="module")
def url(server, limits):
    with running(server, limits=limits) as found:
        yield found


@pytest.fixture(scope="module")
def client(url):
    with httpx.Client(base_url=url, timeout=20) as found:
        yield found
