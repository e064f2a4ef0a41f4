"""Triton's own clients, unmodified: every call they have gets an answer they understand."""

import asyncio
from functools import partial

import numpy as np
import pytest
import serving
from reference import small_model
from serving import assert_close, running

from m.inference_server import InferenceServer, Limits

http = pytest.importorskip("tritonclient.http")
aio = pytest.importorskip("tritonclient.http.aio")
InferenceServerException = pytest.importorskip("tritonclient.utils").InferenceServerException

LIMITS = Limits(batch=4, context=60, horizon=40, samples=8, body_bytes=100_000)
walk = partial(serving.walk, origin=10.0)
DATATYPES = {"float64": "FP64", "float32": "FP32", "float16": "FP16", "int64": "INT64", "int32": "INT32"}


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def address(model):
    server = InferenceServer(model=model, name="small", device="cpu", limits=LIMITS)
    with running(server, limits=LIMITS) as url:
        yield url.removeprefix("http://")


@pytest.fixture(scope="module")
def client(address):
    with http.InferenceServerClient(address, concurrency=4) as found:
        yield found


def given(name, values, *, binary=True, of=http):
    values = np.asarray(values)
    found = of.InferInput(name, list(values.shape), DATATYPES[str(values.dtype)])
    return found.set_data_from_numpy(values, binary_data=binary)


def wanted(*names, binary=True, of=http):
    return [of.InferRequestedOutput(name, binary_data=binary) for name in names]


def test_state_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("small")
    assert client.is_model_ready("small", "1")
    assert not client.is_model_ready("large")
    assert not client.is_model_ready("small", "2")
    assert "sequence" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("small", "1")["inputs"][0]["shape"] == [-1, -1, 3]
    assert client.get_model_config("small")["input"][0]["name"] == "context"
    assert client.get_model_repository_index()[0]["state"] == "READY"


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("received", [True, False])
def test_numbers_are_those_of_the_model(client, model, batch, sent, received):
    context = walk(7, batch=batch)
    result = client.infer(
        "small",
        [
            given("context", context, binary=sent),
            given("horizon", np.array([6], np.int32), binary=sent),
            given("num_samples", np.array([2]), binary=sent),
            given("seed", np.array([4]), binary=sent),
            given("quantiles", np.array([0.1, 0.9]), binary=sent),
        ],
        outputs=wanted("points", "mean", "samples", "quantiles", binary=received),
        request_id="r1",
    )
    alone = model.forecast(context, 6, num_samples=2, seed=4)
    assert result.get_response()["id"] == "r1"
    assert_close(result.as_numpy("points"), alone.points)
    assert_close(result.as_numpy("mean"), alone.mean)
    assert_close(result.as_numpy("samples"), alone.samples)
    assert_close(result.as_numpy("quantiles"), [alone.quantile(0.1), alone.quantile(0.9)])
    assert result.get_output("points")["datatype"] == "FP64"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_shorter_floats(client, model, dtype):
    context = walk(7).astype(dtype)
    result = client.infer("small", [given("context", context)], model_version="1", parameters={"horizon": 5})
    assert_close(result.as_numpy("points"), model.forecast(context.astype(np.float64), 5).points)


@pytest.mark.parametrize("there", ["gzip", "deflate", None])
@pytest.mark.parametrize("back", ["gzip", "deflate", None])
def test_compression_both_ways(client, model, there, back):
    for binary in (True, False):
        result = client.infer(
            "small",
            [given("context", walk(7), binary=binary)],
            outputs=wanted("points", binary=binary),
            request_compression_algorithm=there,
            response_compression_algorithm=back,
        )
        assert_close(result.as_numpy("points"), model.forecast(walk(7), 16).points)


@pytest.mark.parametrize("name", [1001, "a-path"])
def test_sequences(client, model, name):
    path, last = walk(12), None
    for begin, end in ((0, 5), (5, 6), (6, 12)):
        last = client.infer(
            "small",
            [given("context", path[None, begin:end])],
            sequence_id=name,
            sequence_start=begin == 0,
            sequence_end=end == 12,
        )
    assert_close(last.as_numpy("points")[0], model.forecast(path, 16).points)
    with pytest.raises(InferenceServerException, match="no session"):
        client.infer("small", [given("context", path)], sequence_id=name)


def test_many_at_once(client, model):
    contexts = [walk(5 + each, seed=each) for each in range(8)]
    waiting = [client.async_infer("small", [given("context", context)]) for context in contexts]
    for context, each in zip(contexts, waiting, strict=True):
        assert_close(each.get_result(timeout=20).as_numpy("points"), model.forecast(context, 16).points)


def test_statistics(client):
    before = client.get_inference_statistics("small")["model_stats"][0]["inference_count"]
    client.infer("small", [given("context", walk(4))])
    assert client.get_inference_statistics()["model_stats"][0]["inference_count"] == before + 1


def test_timeout_in_microseconds(client):
    with pytest.raises(InferenceServerException, match="deadline") as error:
        client.infer("small", [given("context", walk(4))], timeout=1)
    assert error.value.status() == "504"
    client.infer("small", [given("context", walk(4))], timeout=20_000_000)


REFUSED = {
    "model": (lambda c: c.infer("large", [given("context", walk(4))]), "404"),
    "version": (lambda c: c.infer("small", [given("context", walk(4))], model_version="3"), "404"),
    "input": (lambda c: c.infer("small", [given("speed", walk(4))]), "400"),
    "channels": (lambda c: c.infer("small", [given("context", walk(4)[:, :2])]), "400"),
    "output": (lambda c: c.infer("small", [given("context", walk(4))], outputs=wanted("paths")), "400"),
    "parameter": (lambda c: c.infer("small", [given("context", walk(4))], parameters={"beam": 3}), "400"),
    "priority": (lambda c: c.infer("small", [given("context", walk(4))], priority=1), "400"),
    "classes": (
        lambda c: c.infer(
            "small",
            [given("context", walk(4))],
            outputs=[http.InferRequestedOutput("points", class_count=3)],
        ),
        "400",
    ),
    "packed error": (
        lambda c: c.infer("small", [given("context", walk(4)[:, :2])], response_compression_algorithm="gzip"),
        "400",
    ),
    "large": (
        lambda c: c.infer(
            "small", [given("context", np.zeros((9000, 3)))], request_compression_algorithm="gzip"
        ),
        "413",
    ),
    "metadata": (lambda c: c.get_model_metadata("large"), "404"),
    "load": (lambda c: c.load_model("small"), "400"),
    "load other": (lambda c: c.load_model("large", config="{}"), "404"),
    "unload": (lambda c: c.unload_model("small"), "400"),
    "memory": (lambda c: c.register_system_shared_memory("a", "/a", 100), "400"),
    "cuda memory": (lambda c: c.register_cuda_shared_memory("a", b"YQ==", 0, 100), "400"),
    "memory status": (lambda c: c.get_system_shared_memory_status("a"), "404"),
    "cuda memory status": (lambda c: c.get_cuda_shared_memory_status("a"), "404"),
    "unregister": (lambda c: c.unregister_system_shared_memory("a"), "404"),
    "trace": (lambda c: c.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}), "400"),
    "model trace": (lambda c: c.update_trace_settings("small", {"trace_rate": "1"}), "400"),
    "log": (lambda c: c.update_log_settings({"log_info": True}), "400"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_become_the_clients_own_errors(client, name):
    call, status = REFUSED[name]
    with pytest.raises(InferenceServerException) as error:
        call(client)
    assert error.value.status() == status
    assert "exception occurred" not in error.value.message()
    assert len(error.value.message()) > 20


def test_what_is_truthfully_empty(client):
    assert client.get_system_shared_memory_status() == []
    assert client.get_cuda_shared_memory_status() == []
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    assert client.get_trace_settings() == client.get_trace_settings("small") == {"trace_level": ["OFF"]}
    assert client.get_log_settings() == {}


def test_a_body_made_by_the_client_itself(client, model):
    content, length = client.generate_request_body([given("context", walk(5))])
    assert length is not None
    answer = client._post("v2/models/small/infer", content, {"Inference-Header-Content-Length": length}, None)
    result = client.parse_response_body(
        answer.read(), header_length=int(answer.get("Inference-Header-Content-Length"))
    )
    assert_close(result.as_numpy("points"), model.forecast(walk(5), 16).points)


def test_the_asynchronous_client(address, model):
    async def talk():
        async with aio.InferenceServerClient(address) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("small")
            assert not await client.is_model_ready("large")
            assert (await client.get_server_metadata())["name"]
            assert (await client.get_model_metadata("small"))["versions"] == ["1"]
            assert (await client.get_model_config("small"))["name"] == "small"
            assert len(await client.get_model_repository_index()) == 1
            assert (await client.get_inference_statistics("small"))["model_stats"]
            assert await client.get_system_shared_memory_status() == []
            assert await client.get_trace_settings() == {"trace_level": ["OFF"]}
            await infer_in_all_ways(client)
            await go_wrong(client)

    async def infer_in_all_ways(client):
        contexts = [walk(5 + each, seed=each) for each in range(4)]
        ways = [
            (None, None, True),
            ("gzip", "gzip", True),
            ("deflate", "deflate", False),
            ("gzip", None, False),
        ]
        answers = await asyncio.gather(
            *(
                client.infer(
                    "small",
                    [given("context", context, binary=binary, of=aio)],
                    outputs=wanted("points", binary=binary, of=aio),
                    request_compression_algorithm=there,
                    response_compression_algorithm=back,
                )
                for context, (there, back, binary) in zip(contexts, ways, strict=True)
            )
        )
        for context, answer in zip(contexts, answers, strict=True):
            assert_close(answer.as_numpy("points"), model.forecast(context, 16).points)

    async def go_wrong(client):
        with pytest.raises(InferenceServerException, match="no model 'large'"):
            await client.infer("large", [given("context", walk(4), of=aio)])
        with pytest.raises(InferenceServerException, match="cannot be loaded"):
            await client.load_model("small")
        with pytest.raises(InferenceServerException, match="no session"):
            await client.infer("small", [given("context", walk(4), of=aio)], sequence_id=5)
        await client.infer("small", [given("context", walk(4), of=aio)], sequence_id=5, sequence_start=True)
        await client.infer("small", [given("context", walk(4), of=aio)], sequence_id=5, sequence_end=True)

    asyncio.run(talk())
