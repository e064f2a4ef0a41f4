"""The OpenAPI document is true: schemathesis asks what it allows, and what it does not."""

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from reference import small_model
from schemathesis import GenerationMode
from serving import running

from m.inference_server import InferenceServer, Limits

# Holds every valid body for acceptable; ragged paths, wrong dimensions or times that do not increase cannot
# be said in a schema, and are refused with 400 as they should be.
EXCLUDED = ("positive_data_acceptance",)
LIMITS = Limits(batch=4, context=64, horizon=32, samples=4, quantiles=4, timeout_seconds=10.0)


@pytest.fixture(scope="module")
def schema():
    server = InferenceServer(model=small_model(), name="small", device="cpu", limits=LIMITS)
    with running(server, limits=LIMITS) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def operations(schema):
    return [found.ok() for found in schema.get_all_operations()]


def checks_left_out():
    everything = schemathesis.checks.CHECKS.get_all()
    found = [check for check in everything if check.__name__ in EXCLUDED]
    assert len(found) == len(EXCLUDED)
    return found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_answers_are_as_described(schema, mode):
    left_out, asked = checks_left_out(), 0
    for operation in operations(schema):

        @settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), named=st.booleans())
        def ask(case, named):
            nonlocal asked
            asked += 1
            if named and mode is GenerationMode.POSITIVE and "model" in (case.path_parameters or {}):
                case.path_parameters["model"] = "small"  # by chance it would hardly find it
                if "version" in case.path_parameters:
                    case.path_parameters["version"] = "1"
            case.call_and_validate(excluded_checks=left_out, timeout=20)

        with suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
            ask()
    assert asked > 100


def test_every_route_is_described(schema):
    paths = {operation.path for operation in operations(schema)}
    assert {"/infer", "/health", "/stats", "/v1/forecast", "/livez", "/readyz", "/metrics"} <= paths
    assert {"/v2", "/v2/models/{model}/infer", "/v1/timeseries/forecast", "/v1/timeseries/models"} <= paths
