"""The shipped model behind a server whose page offers the application's example paths."""

import pytest
from page_server import offered_by_the_application, plane_behind_a_key
from serving import running

from m.inference_server import InferenceServer


@pytest.fixture(scope="module", autouse=True)
def provider():
    with offered_by_the_application():
        yield


@pytest.fixture(scope="module")
def url():
    with running(InferenceServer("trajectory-3d", device="cpu")) as found:
        yield found


@pytest.fixture(scope="module")
def guarded():
    with plane_behind_a_key() as found:
        yield found
