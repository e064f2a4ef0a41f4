"""Requests of the Open Inference Protocol, with and without binary data, and the reading of their answers."""

import json

import numpy as np
from serving import walk

from m.inference_server.open_inference.requests import HEADER_LENGTH

MODEL = "/v2/models/small"


def tensor(name, values, datatype="FP64", **changes):
    values = np.asarray(values)
    content = {"name": name, "datatype": datatype, "shape": list(values.shape), "data": values.tolist()}
    return content | changes


def body(*more, context=None, **words):
    return {"inputs": [tensor("context", walk(6) if context is None else context), *more], **words}


def binary_body(context, datatype="<f8", more=b"", **words):
    """A body with its context behind the JSON, and the header that says where."""
    raw = context.astype(datatype).tobytes()
    named = tensor("context", context, {"<f8": "FP64", "<f4": "FP32", "<f2": "FP16"}[datatype])
    named = {key: value for key, value in named.items() if key != "data"}
    named["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": [named], **words}).encode()
    return head + raw + more, {HEADER_LENGTH: str(len(head))}


def read_outputs(answer):
    """Outputs of an answer in JSON, or with binary data behind it."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(HEADER_LENGTH, len(answer.content)))
    found, rest = {}, answer.content[length:]
    for output in json.loads(answer.content[:length])["outputs"]:
        if "data" in output:
            values = np.array(output["data"])
        else:
            size = output["parameters"]["binary_data_size"]
            values, rest = np.frombuffer(rest[:size], "<f8"), rest[size:]
        found[output["name"]] = values.reshape(output["shape"])
    assert rest == b"" or length == len(answer.content)
    return found
