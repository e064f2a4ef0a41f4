"""Bodies of the Open Inference Protocol that are compressed, and how large they may be."""

import gzip
import json
import zlib

import pytest
from infer_requests import MODEL, binary_body, body, read_outputs
from serving import OPEN_INFERENCE_LIMITS, assert_close, refused, walk

from m.inference_server.open_inference.compression import choose, decompress


@pytest.fixture(scope="module")
def limits():
    return OPEN_INFERENCE_LIMITS


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_both_ways(client, model, name, pack):
    content, headers = binary_body(walk(6), parameters={"binary_data_output": True})
    headers |= {"Content-Encoding": name, "Accept-Encoding": name}
    answer = client.post(f"{MODEL}/infer", content=pack(content), headers=headers)
    assert answer.headers["Content-Encoding"] == name
    assert_close(read_outputs(answer)["points"], model.forecast(walk(6), 16).points)


def test_broken_compression(client):
    packed = gzip.compress(json.dumps(body()).encode())
    infer = f"{MODEL}/infer"
    for content in (b"", b"no", packed[:-1], packed + b"more", packed[:20] + b"???" + packed[23:]):
        refused(client.post(infer, content=content, headers={"Content-Encoding": "gzip"}))
    assert "br" in refused(client.post(infer, content=packed, headers={"Content-Encoding": "br"}), 415)


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_bomb_is_not_unpacked(client, name, pack):
    bomb = pack(bytes(20_000_000))
    assert len(bomb) < OPEN_INFERENCE_LIMITS.body_bytes
    for path in (f"{MODEL}/infer", f"{MODEL}/generate", "/v2/repository/index"):
        message = refused(client.post(path, content=bomb, headers={"Content-Encoding": name}), 413)
        assert "50000" in message


def test_plain_bodies_have_the_same_bound(client):
    refused(client.post(f"{MODEL}/infer", content=b" " * 50_001), 413)
    refused(client.post(f"{MODEL}/infer", content=(b" " * 1000 for _ in range(60))), 413)  # of no said length


def test_which_compression_a_client_likes():
    assert choose("") is None
    assert choose("br, identity") is None
    assert choose("gzip, deflate, br") == "gzip"
    assert choose("gzip;q=0.5, deflate;q=0.8") == "deflate"
    assert choose("gzip;q=0") is None
    assert choose("gzip;q=0.2, identity;q=0.9") is None
    assert choose("gzip;q=x") is None
    assert decompress(b"as it is", "identity", 10) == b"as it is"
