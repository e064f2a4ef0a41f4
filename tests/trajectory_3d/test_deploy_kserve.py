"""The InferenceService of a deployment: fields that KServe has, and a server that does what it says."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import yaml

from examples.trajectory_3d.deploy import deploy
from examples.trajectory_3d.model_discovery import named_model

# Names and types of the fields used, as in KServe's CustomResourceDefinition of serving.kserve.io/v1beta1
# (a pod's fields are those of Kubernetes); what is not here is none, or has not been looked up.
_PROBE = {
    "httpGet": {"path": str, "port": int},
    "periodSeconds": int,
    "timeoutSeconds": int,
    "failureThreshold": int,
}
_CONTAINER = {
    "name": str,
    "image": str,
    "args": [str],
    "env": [
        {
            "name": str,
            "value": str,
            "valueFrom": {"secretKeyRef": {"name": str, "key": str, "optional": bool}},
        }
    ],
    "ports": [{"name": str, "containerPort": int, "protocol": {"TCP", "UDP", "SCTP"}}],
    "startupProbe": _PROBE,
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
    "resources": {"requests": {"cpu": str, "memory": str}, "limits": {"cpu": str, "memory": str}},
    "securityContext": {
        "allowPrivilegeEscalation": bool,
        "readOnlyRootFilesystem": bool,
        "capabilities": {"drop": [str]},
    },
    "volumeMounts": [{"name": str, "mountPath": str}],
}
_SERVICE = {
    "apiVersion": {"serving.kserve.io/v1beta1"},
    "kind": {"InferenceService"},
    "metadata": {"name": str, "labels": dict, "annotations": dict},
    "spec": {
        "predictor": {
            "minReplicas": int,
            "maxReplicas": int,
            "scaleMetric": {"cpu", "memory", "concurrency", "rps"},
            "scaleMetricType": {"Utilization", "Value", "AverageValue"},
            "scaleTarget": int,
            "timeout": int,
            "annotations": dict,
            "deploymentStrategy": {
                "type": {"RollingUpdate", "Recreate"},
                "rollingUpdate": {"maxUnavailable": int, "maxSurge": int},
            },
            "automountServiceAccountToken": bool,
            "terminationGracePeriodSeconds": int,
            "securityContext": {
                "runAsNonRoot": bool,
                "runAsUser": int,
                "runAsGroup": int,
                "seccompProfile": {"type": {"RuntimeDefault", "Localhost", "Unconfined"}},
            },
            "containers": [_CONTAINER],
            "volumes": [{"name": str, "emptyDir": dict}],
        }
    },
}


def check(value, form, place="manifest"):
    """Fail where a value has a field that its form has not, or another type."""
    if isinstance(form, dict):
        assert isinstance(value, dict), place
        assert not set(value) - set(form), f"{place}: {set(value) - set(form)}"
        for name, inner in value.items():
            check(inner, form[name], f"{place}.{name}")
    elif isinstance(form, list):
        assert isinstance(value, list), place
        for inner in value:
            check(inner, form[0], f"{place}[]")
    elif isinstance(form, set):
        assert value in form, place
    else:
        assert type(value) is form, place


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("deployments")
    return deploy(named_model("trajectory-3d"), "Demo_1", root=root, windows=20, smoke_test=False).folder


@pytest.fixture(scope="module")
def manifest(folder):
    return yaml.safe_load((folder / "kserve/inferenceservice.yaml").read_text())


@pytest.fixture(scope="module")
def container(manifest):
    (found,) = manifest["spec"]["predictor"]["containers"]
    return found


@pytest.fixture(scope="module")
def url(folder, container):
    """The server as the manifest starts it, on a free port."""
    arguments = ["--port=0" if each.startswith("--port=") else each for each in container["args"]]
    process = subprocess.Popen(
        [sys.executable, "-u", str(folder / "start_server.py"), *arguments],
        env={name: value for name, value in os.environ.items() if name != "M_SERVER_KEY"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        port = re.search(r"http://0\.0\.0\.0:(\d+)", process.stdout.readline())[1]
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()


def wait_until_ready(probe):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            get(probe)
        except urllib.error.HTTPError:  # 503 while the model loads
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server did not become ready")


def get(address, body=None):
    content = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, content, timeout=60) as answer:
        return answer.status, answer.read()


def test_it_has_the_fields_of_kserve_and_no_others(manifest):
    check(manifest, _SERVICE)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"])
    predictor = manifest["spec"]["predictor"]
    assert 0 < predictor["minReplicas"] <= predictor["maxReplicas"]
    assert all(type(text) is str for text in predictor["annotations"].values())
    assert all(type(text) is str for text in manifest["metadata"]["annotations"].values())


def test_it_runs_the_folder_s_image_as_the_other_manifests_do(folder, manifest, container):
    workload = yaml.safe_load((folder / "kubernetes/deployment.yaml").read_text())
    (other,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["image"].rpartition(":")[0] == other["image"]
    assert container["resources"] == other["resources"]
    assert container["resources"]["requests"]["cpu"]  # what scaleTarget is a share of
    assert set(container["args"]) - set(other["args"]) == {"--most-sessions=0"}
    patience = sum(float(each.split("=")[1]) for each in container["args"] if "seconds" in each)
    assert manifest["spec"]["predictor"]["terminationGracePeriodSeconds"] > patience
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in manifest["spec"]["predictor"]["volumes"]}


def test_ports_and_probes_are_those_of_the_server(container, url):
    (port,) = container["ports"]
    assert f"--port={port['containerPort']}" in container["args"]
    for kind in ("startup", "readiness", "liveness"):
        probe = container[f"{kind}Probe"]["httpGet"]
        assert probe["port"] == port["containerPort"]
        assert get(url + probe["path"])[0] == 200


def test_the_model_answers_by_the_name_that_the_manifest_says(folder, url):
    text = (folder / "kserve/inferenceservice.yaml").read_text()
    path = re.search(r"/v2/models/.*?/infer", text)[0]
    points = [[0.1 * step, 0.0, 0.01 * step * step] for step in range(64)]
    tensor = {
        "name": "context",
        "datatype": "FP64",
        "shape": [64, 3],
        "data": [value for point in points for value in point],
    }
    answer = json.loads(get(url + path, {"inputs": [tensor], "parameters": {"horizon": 4}})[1])
    assert answer["outputs"][0]["shape"][-2:] == [4, 3]


def test_pods_keep_no_sessions(url):
    body = {"points": [[0, 0, 0], [1, 0, 0]], "session_id": "a", "session_start": True}
    with pytest.raises(urllib.error.HTTPError) as refusal:
        get(f"{url}/v1/forecast", body)
    assert refusal.value.code == 400
    assert "keeps no sessions" in json.load(refusal.value)["error"]
