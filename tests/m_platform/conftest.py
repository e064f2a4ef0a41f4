"""A small model behind a server on loopback, for the tests of its own face."""

import httpx
import pytest
from reference import small_model
from serving import SMALL_LIMITS, running

from m.inference_server import InferenceServer


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def url(model):
    server = InferenceServer(model=model, name="small", device="cpu", limits=SMALL_LIMITS)
    with running(server, limits=SMALL_LIMITS) as found:
        yield found


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, timeout=20) as found:
        yield found
