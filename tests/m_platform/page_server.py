"""Servers whose page is tested."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

import pytest
from reference import small_model
from serving import running

from m.inference_server import InferenceServer
from m.inference_server.guard import Access
from m.inference_server.page import examples as example_paths

KEY = "open-sesame"
_PROVIDER = "examples.trajectory_3d.example_paths:examples"


def entry_point(value: str, name: str = "trajectory-3d") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=example_paths.ENTRY_POINT_GROUP)


@contextmanager
def offered_by_the_application() -> Iterator[None]:
    """Inside the block the application's paths are offered, whether or not it is installed with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example_paths, "entry_points", lambda group: [entry_point(_PROVIDER)])
        yield


@contextmanager
def plane_behind_a_key() -> Iterator[str]:
    """The address of a small model of the plane, behind a key."""
    model = small_model(input_dim=2, target_dim=2)
    with running(InferenceServer(model=model, name="plane", device="cpu"), access=Access(key=KEY)) as found:
        yield found
