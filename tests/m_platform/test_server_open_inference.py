"""The Open Inference Protocol over plain HTTP: tensors and refusals."""

import json

import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from infer_requests import MODEL, binary_body, body, read_outputs, tensor
from serving import OPEN_INFERENCE_LIMITS, assert_close, refused, running, walk

from m.inference_server import RequestError
from m.inference_server.host import Host
from m.inference_server.open_inference.compression import decompress
from m.inference_server.open_inference.messages import InputTensor
from m.inference_server.open_inference.requests import HEADER_LENGTH, read_infer
from m.inference_server.open_inference.tensors import decode, encode


@pytest.fixture(scope="module")
def limits():
    return OPEN_INFERENCE_LIMITS


# ---- the same numbers ----


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("binary", [False, True])
def test_all_outputs_are_those_of_the_model(client, model, batch, binary):
    context = walk(9, batch=batch)
    request = body(
        tensor("horizon", [6], "INT32"),
        tensor("temperature", [0.5]),
        tensor("num_samples", [2], "INT64"),
        tensor("seed", [7], "INT64"),
        tensor("quantiles", [0.9, 0.1]),
        tensor("anchor_points", [5], "INT32"),
        context=context,
        parameters={"binary_data_output": binary},
    )
    answer = client.post(f"{MODEL}/versions/1/infer", json=request)
    found = read_outputs(answer)
    alone = model.forecast(context, 6, temperature=0.5, num_samples=2, seed=7, anchor_points=5)
    assert list(found) == ["points", "mean", "samples", "quantiles"]
    assert_close(found["points"], alone.points)
    assert_close(found["mean"], alone.mean)
    assert_close(found["samples"], alone.samples)
    assert_close(found["quantiles"], [alone.quantile(0.9), alone.quantile(0.1)])
    assert (HEADER_LENGTH in answer.headers) == binary


@pytest.mark.parametrize(("datatype", "size"), [("<f8", 0), ("<f4", 1e-6), ("<f2", 1e-3)])
def test_binary_contexts_of_every_float(client, model, datatype, size):
    context = walk(7) / 100
    content, headers = binary_body(context, datatype)
    found = read_outputs(client.post(f"{MODEL}/infer", content=content, headers=headers))
    sent = context.astype(datatype).astype(np.float64)
    assert np.abs(sent - context).max() <= size * 2
    assert_close(found["points"], model.forecast(sent, 16).points)


def test_flat_and_nested_numbers_mean_the_same(client):
    nested = tensor("context", walk(6, batch=2))
    flat = nested | {"data": np.ravel(nested["data"]).tolist()}
    answers = [client.post(f"{MODEL}/infer", json={"inputs": [each]}) for each in (nested, flat)]
    np.testing.assert_array_equal(*(read_outputs(each)["points"] for each in answers))


def test_settings_may_be_parameters(client, model):
    settings = {"horizon": 5, "temperature": 0.7, "num_samples": 2, "seed": 3, "anchor_points": 4}
    found = read_outputs(client.post(f"{MODEL}/infer", json=body(parameters=settings)))
    alone = model.forecast(walk(6), 5, temperature=0.7, num_samples=2, seed=3, anchor_points=4)
    assert_close(found["points"], alone.points)
    assert_close(found["samples"], alone.samples)


def test_padded_contexts(client, model):
    context, lengths = walk(9, batch=2), [4, 9]
    padded = context.copy()
    padded[0, 4:] = np.nan  # only binary data can say that, and padding may hold anything
    raw, size = padded.tobytes(), padded.nbytes
    named = {
        "name": "context",
        "datatype": "FP64",
        "shape": [2, 9, 3],
        "parameters": {"binary_data_size": size},
    }
    head = json.dumps({"inputs": [named, tensor("lengths", lengths, "INT64")]}).encode()
    answer = client.post(f"{MODEL}/infer", content=head + raw, headers={HEADER_LENGTH: str(len(head))})
    assert_close(read_outputs(answer)["mean"], model.forecast(context, 16, lengths=lengths).mean)


def test_outputs_select_and_each_may_be_binary(client):
    outputs = [{"name": "mean", "parameters": {"binary_data": True}}, {"name": "points"}]
    answer = client.post(f"{MODEL}/infer", json=body(outputs=outputs, id="mine"))
    found = read_outputs(answer)
    assert list(found) == ["mean", "points"]
    np.testing.assert_array_equal(found["mean"], found["points"])
    head = json.loads(answer.content[: int(answer.headers[HEADER_LENGTH])])
    assert (head["id"], head["model_name"], head["model_version"]) == ("mine", "small", "1")
    assert "data" not in head["outputs"][0]
    assert "data" in head["outputs"][1]


def test_what_is_not_wanted_is_not_made(server):
    request = body(parameters={"num_samples": 5}, outputs=[{"name": "points"}])
    asked = read_infer(json.dumps(request).encode(), None, server.model.config)
    assert asked.wish.num_samples is None
    assert list(asked.outputs) == ["points"]


def test_a_sequence_is_a_session(client, model):
    path = walk(12)
    start = {"sequence_id": 41, "sequence_start": True, "horizon": 4}
    assert client.post(f"{MODEL}/infer", json=body(context=path[:8], parameters=start)).status_code == 200
    end = {
        "sequence_id": "41",
        "sequence_end": True,
        "horizon": 4,
    }  # a name and a number are the same session
    answer = client.post(f"{MODEL}/infer", json=body(context=path[8:], parameters=end))
    assert_close(read_outputs(answer)["points"], model.forecast(path, 4).points)
    said = answer.json()["parameters"]
    assert (said["sequence_id"], said["sequence_points"], said["sequence_end"]) == ("41", 12, True)
    message = refused(client.post(f"{MODEL}/infer", json=body(parameters={"sequence_id": 41})), 404)
    assert "start it" in message
    nothing = {"sequence_id": 0}
    assert (
        "sequence_id" not in client.post(f"{MODEL}/infer", json=body(parameters=nothing)).json()["parameters"]
    )


# ---- refusals ----


def without(content, *names):
    return {key: value for key, value in content.items() if key not in names}


CONTEXT = tensor("context", np.zeros((4, 3)))
WRONG = {
    "no input": ({"inputs": []}, "inputs"),
    "no inputs at all": ({}, "inputs"),
    "no context": ({"inputs": [tensor("horizon", [4], "INT32")]}, "context"),
    "unknown input": (body(tensor("speed", [4.0])), "speed"),
    "twice": ({"inputs": [CONTEXT, CONTEXT]}, "twice"),
    "no data": ({"inputs": [without(CONTEXT, "data")]}, "neither"),
    "both data": ({"inputs": [CONTEXT | {"parameters": {"binary_data_size": 96}}]}, "both"),
    "binary data that are not there": (
        {"inputs": [without(CONTEXT, "data") | {"parameters": {"binary_data_size": 96}}]},
        "ends after 0",
    ),
    "too few": ({"inputs": [CONTEXT | {"data": [0.0] * 11}]}, "12 numbers"),
    "too many": ({"inputs": [CONTEXT | {"data": [0.0] * 13}]}, "12 numbers"),
    "nested otherwise": ({"inputs": [CONTEXT | {"data": [[0.0] * 4] * 3}]}, "12 numbers"),
    "ragged": ({"inputs": [CONTEXT | {"data": [[0.0] * 3, [0.0] * 2]}]}, "one length"),
    "mixed depths": ({"inputs": [CONTEXT | {"data": [[0.0], 0.0]}]}, "[1]"),
    "too deep": ({"inputs": [CONTEXT | {"data": [[[[[0.0]]]]]}]}, "deep"),
    "empty data": ({"inputs": [CONTEXT | {"data": []}]}, "12 numbers"),
    "strings": ({"inputs": [CONTEXT | {"data": ["0.0"] * 12}]}, "data[0]"),
    "a boolean": ({"inputs": [CONTEXT | {"data": [0.0] * 11 + [True]}]}, "data[11]"),
    "a null": ({"inputs": [CONTEXT | {"data": [0.0] * 11 + [None]}]}, "data[11]"),
    "data of no list": ({"inputs": [CONTEXT | {"data": 5}]}, "data"),
    "negative shape": ({"inputs": [CONTEXT | {"shape": [-4, -3]}]}, "shape"),
    "overflowing shape": ({"inputs": [CONTEXT | {"shape": [2**62, 3]}]}, "numbers"),
    "shape beyond integers": ({"inputs": [CONTEXT | {"shape": [2**70, 3]}]}, "shape"),
    "empty shape": ({"inputs": [CONTEXT | {"shape": []}]}, "shape"),
    "zero shape": ({"inputs": [CONTEXT | {"shape": [0, 3], "data": []}]}, "shape"),
    "other channels": ({"inputs": [tensor("context", np.zeros((4, 2)))]}, "[-1, -1, 3]"),
    "four axes": ({"inputs": [tensor("context", np.zeros((1, 1, 4, 3)))]}, "[-1, -1, 3]"),
    "unknown datatype": ({"inputs": [CONTEXT | {"datatype": "FP8"}]}, "FP8"),
    "BYTES": ({"inputs": [CONTEXT | {"datatype": "BYTES"}]}, "BYTES"),
    "BF16": ({"inputs": [CONTEXT | {"datatype": "BF16"}]}, "BF16"),
    "whole numbers as context": ({"inputs": [CONTEXT | {"datatype": "INT64"}]}, "FP64"),
    "too large for the datatype": ({"inputs": [CONTEXT | {"datatype": "FP16", "data": [1e6] * 12}]}, "FP16"),
    "too large an integer": (body(tensor("horizon", [2**40], "INT32")), "INT32"),
    "a broken horizon": (body(tensor("horizon", [4.0], "INT32", data=[4.5])), "whole"),
    "a float horizon": (body(tensor("horizon", [4.0], "FP32")), "INT64"),
    "two horizons": (body(tensor("horizon", [4, 5], "INT32")), "[1]"),
    "no horizon": (body(tensor("horizon", [0], "INT32")), "horizon"),
    "too far": (body(parameters={"horizon": 1001}), "1000"),
    "both ways": (body(tensor("horizon", [4], "INT32"), parameters={"horizon": 4}), "horizon"),
    "negative seed": (body(tensor("seed", [-1], "INT64")), "seed"),
    "negative temperature": (body(parameters={"temperature": -1}), "temperature"),
    "a level of 1": (body(tensor("quantiles", [1.0])), "quantile"),
    "too many levels": (body(tensor("quantiles", [0.1, 0.2, 0.3, 0.4])), "3"),
    "wrong lengths": (body(tensor("lengths", [7], "INT32")), "lengths"),
    "unknown parameter": (body(parameters={"beam": 3}), "beam"),
    "unknown field": (body(model="small"), "model"),
    "unknown input parameter": (
        {"inputs": [CONTEXT | {"parameters": {"content_type": "np"}}]},
        "content_type",
    ),
    "shared memory": ({"inputs": [CONTEXT | {"parameters": {"shared_memory_region": "a"}}]}, "shared memory"),
    "unknown output": (body(outputs=[{"name": "paths"}]), "paths"),
    "samples not drawn": (body(outputs=[{"name": "samples"}]), "num_samples"),
    "levels not stated": (body(outputs=[{"name": "quantiles"}]), "quantiles"),
    "an output twice": (body(outputs=[{"name": "mean"}, {"name": "mean"}]), "twice"),
    "classification": (body(outputs=[{"name": "mean", "parameters": {"classification": 3}}]), "no classes"),
    "output to shared memory": (
        body(outputs=[{"name": "mean", "parameters": {"shared_memory_region": "a"}}]),
        "shared memory",
    ),
    "a sequence without a name": (body(parameters={"sequence_start": True}), "sequence_id"),
    "a sequence of many": (
        body(context=walk(4, batch=2), parameters={"sequence_id": 5, "sequence_start": True}),
        "session",
    ),
    "priority": (body(parameters={"priority": 2}), "priority"),
    "priority of no number": (body(parameters={"priority": False}), "priority"),
    "negative timeout": (body(parameters={"timeout": -1}), "timeout"),
    "a number as id": (body(id=5), "id"),
    "numbers too large": (body(context=[[1e300, 0, 0], [-1e300, 0, 0]]), "nearer to zero"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_get_400_and_are_told_why(client, name):
    content, word = WRONG[name]
    assert word in refused(client.post(f"{MODEL}/infer", json=content))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"5", b"\xff", b'{"inputs": NaN}', b"[" * 5000])
def test_what_is_no_json(client, content):
    for path in ("infer", "generate", "generate_stream"):
        refused(client.post(f"{MODEL}/{path}", content=content))


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "99999", "0", "5", "9" * 30, "³"])
def test_wrong_header_lengths(client, length):
    content, _ = binary_body(walk(4))
    refused(client.post(f"{MODEL}/infer", content=content, headers={HEADER_LENGTH: length.encode()}))


def test_lying_binary_sizes(client):
    content, headers = binary_body(walk(4))
    assert "ends after 95" in refused(client.post(f"{MODEL}/infer", content=content[:-1], headers=headers))
    message = refused(client.post(f"{MODEL}/infer", content=content + b"0", headers=headers))
    assert "97 bytes follow" in message
    for size in (0, 95, 97, 10**18):
        named = {
            "name": "context",
            "datatype": "FP64",
            "shape": [4, 3],
            "parameters": {"binary_data_size": size},
        }
        head = json.dumps({"inputs": [named]}).encode()
        answer = client.post(
            f"{MODEL}/infer", content=head + bytes(96), headers={HEADER_LENGTH: str(len(head))}
        )
        assert "96 bytes" in refused(answer)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_binary_numbers_that_are_none(client, bad):
    context = walk(4)
    context[2, 1] = bad
    content, headers = binary_body(context)
    message = refused(client.post(f"{MODEL}/infer", content=content, headers=headers))
    assert "point 2, channel 1" in message


def test_unknown_models_and_versions(client):
    paths = ["", "/ready", "/config", "/stats"]
    for path in paths:
        assert "small" in refused(client.get(f"/v2/models/large{path}"), 404)
        assert "version" in refused(client.get(f"{MODEL}/versions/2{path}"), 404)
        assert client.get(f"{MODEL}/versions/1{path}").json()
    for path in ("infer", "generate", "generate_stream"):
        refused(client.post(f"/v2/models/large/{path}", json=body()), 404)
        refused(client.post(f"{MODEL}/versions/9/{path}", json=body()), 404)


def test_a_timeout_is_in_microseconds(client):
    message = refused(client.post(f"{MODEL}/infer", json=body(parameters={"timeout": 1})), 504)
    assert "deadline" in message
    assert client.post(f"{MODEL}/infer", json=body(parameters={"timeout": 20_000_000})).status_code == 200


# ---- what else is asked ----


def test_metadata_and_state(client):
    assert "binary_tensor_data" in client.get("/v2").json()["extensions"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get(f"{MODEL}/ready").json() == {"name": "small", "ready": True}
    known = client.get(MODEL).json()
    assert known["versions"] == ["1"]
    assert known["inputs"][0] == {
        "name": "context",
        "datatype": "FP64",
        "shape": [-1, -1, 3],
        "parameters": {"optional": False},
    }
    assert [each["name"] for each in known["outputs"]] == ["points", "mean", "samples", "quantiles"]
    config = client.get(f"{MODEL}/config").json()
    assert (config["max_batch_size"], config["output"][0]["data_type"]) == (0, "TYPE_FP64")


def test_statistics_count_what_was_made(client):
    def counts():
        stats = client.get("/v2/models/stats").json()
        assert stats.keys() == client.get(f"{MODEL}/stats").json().keys() == {"model_stats"}
        return stats["model_stats"][0]

    before = counts()
    client.post(f"{MODEL}/infer", json=body())
    client.post(f"{MODEL}/infer", json=body(parameters={"horizon": 1001}))
    after = counts()
    assert after["inference_count"] == before["inference_count"] + 1
    assert after["inference_stats"]["fail"]["count"] == before["inference_stats"]["fail"]["count"] + 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]


def test_the_repository_has_one_model(client):
    entry = {"name": "small", "version": "1", "state": "READY", "reason": ""}
    for content in (b"", b"{}", b'{"ready": true}'):
        assert client.post("/v2/repository/index", content=content).json() == [entry]
    refused(client.post("/v2/repository/index", content=b'{"ready": 1}'))
    refused(client.post("/v2/repository/index", content=b'{"steady": true}'))


def test_before_the_model_is_loaded():
    host = Host(lambda: pytest.fail("not loaded here"), name="small")
    with running(host) as url, httpx.Client(base_url=url) as client:
        assert client.get("/v2").status_code == 200
        assert client.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", f"{MODEL}/ready"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["ready"]) == (503, False)
        (entry,) = client.post("/v2/repository/index").json()
        assert (entry["state"], entry["reason"]) == ("LOADING", "loading")
        assert client.post("/v2/repository/index", json={"ready": True}).json() == []
        refused(client.get(MODEL), 503)
        refused(client.post(f"{MODEL}/infer", json=body()), 503)
        refused(client.get("/v2/models/other"), 404)


def test_paths_of_two_routes_say_both_methods(client):
    answer = client.options("/v2/logging")
    assert (refused(answer, 405), answer.headers["Allow"])[1] == "GET, POST"


def test_every_route_says_what_it_may_answer(client):
    document = client.get("/openapi.json").json()
    ours = {path: each for path, each in document["paths"].items() if path.startswith("/v2")}
    assert f"{MODEL}/versions/1/infer".replace("small", "{model}").replace("1", "{version}") in ours
    for operations in ours.values():
        for operation in operations.values():
            assert {"400", "404", "413", "503"} <= operation["responses"].keys()
            assert operation["description"]
    infer = ours["/v2/models/{model}/infer"]["post"]
    assert infer["requestBody"]["content"].keys() == {"application/json", "application/octet-stream"}
    assert "$defs" not in json.dumps(infer)


# ---- properties ----


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8]),
        hnp.array_shapes(max_dims=3, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    st.sampled_from(["binary", "nested", "flat"]),
)
def test_tensors_come_through_as_they_were(values, way):
    datatype = values.dtype.str[1:].upper()
    names = {"F8": "FP64", "F4": "FP32", "F2": "FP16", "I8": "INT64", "I4": "INT32", "U1": "UINT8"}
    content = {"name": "x", "datatype": names[datatype], "shape": list(values.shape)}
    tail = values.tobytes() if way == "binary" else b""
    if way == "binary":
        content["parameters"] = {"binary_data_size": len(tail)}
    else:
        content["data"] = values.tolist() if way == "nested" else values.ravel().tolist()
    found = decode([InputTensor.model_validate(content)], tail)["x"]
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@given(
    hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=3), elements=st.floats(allow_nan=False)),
    st.booleans(),
)
def test_what_is_sent_can_be_read(values, transposed):
    values = values.T if transposed else values
    said, raw = encode("x", values, binary=True)
    assert said["parameters"]["binary_data_size"] == len(raw)
    np.testing.assert_array_equal(np.frombuffer(raw, "<f8").reshape(said["shape"]), values)
    said, raw = encode("x", values, binary=False)
    assert raw == b""
    np.testing.assert_array_equal(said["data"].reshape(said["shape"]), values)


VALID, VALID_HEADERS = binary_body(walk(4), id="a", parameters={"horizon": 4, "binary_data_output": True})


def test_no_broken_body_breaks_the_server(client, model):
    @given(
        st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=3),
        st.integers(0, len(VALID)),
        st.sampled_from([VALID_HEADERS[HEADER_LENGTH], "0", "17", str(len(VALID))]),
    )
    @example([], len(VALID), VALID_HEADERS[HEADER_LENGTH])
    @settings(max_examples=150, deadline=None)
    def send(changes, cut, length):
        content = bytearray(VALID)
        for place, value in changes:
            content[place] = value
        sent = bytes(content) if changes else bytes(content[:cut])  # mostly one kind of damage at a time
        answer = client.post(f"{MODEL}/infer", content=sent, headers={HEADER_LENGTH: length})
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 400:
            refused(answer)

    send()
    answer = client.post(f"{MODEL}/infer", content=VALID, headers=VALID_HEADERS)
    assert_close(read_outputs(answer)["points"], model.forecast(walk(4), 4).points)


@given(st.binary(max_size=400), st.sampled_from(["gzip", "deflate", "identity"]))
@settings(deadline=None)
def test_no_bytes_break_the_reading(server, content, encoding):
    with pytest.raises(RequestError) as error:  # never a request by chance
        read_infer(decompress(content, encoding, 1000), None, server.model.config)
    assert error.value.status in (400, 413)
