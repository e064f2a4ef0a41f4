"""Deployments: a folder that serves a model where there is nothing else."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from examples.trajectory_3d import deploy as deploying
from examples.trajectory_3d.cli import deploy as command
from examples.trajectory_3d.deploy import DeploymentError, deploy
from examples.trajectory_3d.deployment.requirements import SERVING, UnmetRequirementError, lock
from examples.trajectory_3d.deployment.writing import label_of
from examples.trajectory_3d.model_discovery import named_model
from m import load
from m.export import Parity

# At the start of each Python of such a test: what a machine without the project and without torch lacks.
ALONE = "import sys\nfor name in ('torch', 'examples', 'onnx', 'onnxscript'): sys.modules[name] = None\n"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """The shipped model as ONNX, smoke test and all."""
    root = tmp_path_factory.mktemp("deployments")
    return deploy(named_model("trajectory-3d"), "demo", root=root, windows=100)


@pytest.fixture
def copied(deployed, tmp_path):
    """That folder in another place, alone."""
    return Path(shutil.copytree(deployed.folder, tmp_path / "elsewhere"))


def alone(folder, script, *arguments):
    """Run a script of a deployment without torch and without this project on the path."""
    lacking = folder.parent / "lacking"
    lacking.mkdir(exist_ok=True)
    (lacking / "sitecustomize.py").write_text(ALONE)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, str(folder / script), *arguments],
        env=environment | {"PYTHONPATH": str(lacking)},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_is_tried_before_it_is_handed_over(deployed):
    assert deployed.smoke.count("ok: ") == 6
    assert "ended on SIGTERM" in deployed.smoke
    assert deployed.parity.windows == 100
    assert deployed.parity.largest < 1e-4
    assert deployed.parity.same_experts == 1.0
    assert deployed.bytes > 2e7


def test_it_runs_alone_elsewhere(copied):
    done = alone(copied, "smoke_test.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok: ") == 6


def test_the_smoke_test_can_fail(copied):
    expected = json.loads((copied / "expected.json").read_text())
    expected["cases"][1]["mean"][0][3][1] += 3 * expected["cases"][1]["tolerance"]
    (copied / "expected.json").write_text(json.dumps(expected))
    done = alone(copied, "smoke_test.py")
    assert done.returncode == 1
    assert "a batch, mean: differs" in done.stderr
    assert "ok: one path" in done.stdout


def test_known_answers_are_the_model_s(deployed):
    model = load("trajectory-3d")
    for case in json.loads((deployed.folder / "expected.json").read_text())["cases"]:
        found = model.forecast(case["request"]["points"], case["request"]["horizon"])
        np.testing.assert_allclose(case["mean"], found.mean, rtol=0, atol=case["tolerance"])
        for level, values in case["quantiles"].items():
            np.testing.assert_allclose(values, found.quantile(float(level)), rtol=0, atol=case["tolerance"])


def test_changed_weights_are_not_served(copied):
    graph = copied / "exported/model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    done = alone(copied, "start_server.py", "--port", "0")
    assert done.returncode == 1
    assert "is not what was deployed" in done.stderr
    graph.unlink()
    assert "is missing" in alone(copied, "start_server.py").stderr


def test_its_weights_are_the_model_s(deployed):
    context = np.cumsum(np.ones((30, 3)) * [0.1, 0.02, 0.0], axis=0)
    there, here = (
        model.forecast(context, 16).mean for model in (load(deployed.folder), load("trajectory-3d"))
    )
    np.testing.assert_array_equal(there, here)


def test_metadata_tells_all(deployed):
    folder = deployed.folder
    content = json.loads((folder / "metadata.json").read_text())
    assert content["name"] == "demo"
    assert content["served"]["optimize"] == "onnx"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(content["files"]) == files - {"metadata.json"}
    for name, said in content["files"].items():
        data = (folder / name).read_bytes()
        assert said == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    card = content["model_card"]
    assert card["architecture"]["router"]["n_experts"] == 8
    assert card["parameters"] == sum(parameter.numel() for parameter in load("trajectory-3d").parameters())
    assert card["evaluation"]["by_type"]["mixed"]["gn"] < 0.05
    assert content["deployed_with"]["versions"]["torch"]
    assert content["parity"]["windows"] == 100


def test_it_tells_nothing_of_the_machine(deployed):
    places = (str(deployed.folder.parent), str(Path(__file__).parents[2]), str(Path.home()))
    for path in deployed.folder.rglob("*"):
        if path.is_file() and "app" not in path.parts:
            content = path.read_bytes()
            assert not any(place.encode() in content for place in places if len(place) > 1), path


@pytest.mark.slow
def test_every_form_that_torch_serves(tmp_path):
    for form in ("none", "pt2"):
        done = deploy(named_model("trajectory-3d"), form, optimize=form, root=tmp_path, windows=20)
        assert done.smoke.count("ok: ") == 6
        lines = (done.folder / "requirements.txt").read_text().splitlines()
        assert any(line.startswith("torch==") for line in lines)
        assert not any(line.startswith(("nvidia", "onnx")) for line in lines)
        assert (done.folder / "exported").exists() == (form == "pt2")


def planted(worse=0.0, largest=1e-6):
    return lambda *_: Parity(9, largest, largest, 1.0 + worse, 1.0, 1.0)


@pytest.mark.parametrize(
    ("parity", "words"),
    [
        (planted(worse=0.03), "3.0% worse"),
        (planted(worse=float("nan")), "worse"),
        (planted(largest=0.01), "bug"),
    ],
)
def test_a_form_that_forecasts_worse_is_refused(tmp_path, monkeypatch, parity, words):
    monkeypatch.setattr(deploying, "measure_parity", parity)
    monkeypatch.setattr(deploying, "load_exported", lambda folder: folder)
    monkeypatch.setattr(deploying, "export_model", lambda *_: type("Manifest", (), {"file": "model.pt2"}))
    with pytest.raises(DeploymentError, match=words):
        deploy(named_model("trajectory-3d"), "refused", optimize="pt2", root=tmp_path, windows=8)
    assert not list(tmp_path.iterdir())


def test_a_failed_smoke_test_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(deploying, "known_answers", lambda *_: {"cases": [{"name": "wrong", "request": {}}]})
    with pytest.raises(DeploymentError, match="smoke test failed"):
        deploy(named_model("trajectory-3d"), "failing", optimize="none", root=tmp_path, windows=8)
    assert not list(tmp_path.iterdir())


def test_places_that_are_taken(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/precious.txt").write_text("x")
    options = {"optimize": "none", "root": tmp_path, "windows": 8, "smoke_test": False}
    with pytest.raises(DeploymentError, match="--force"):
        deploy(named_model("trajectory-3d"), "taken", **options)
    assert (tmp_path / "taken/precious.txt").exists()
    done = deploy(named_model("trajectory-3d"), "taken", force=True, **options)
    assert not (done.folder / "precious.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(DeploymentError, match="name"):
        deploy(named_model("trajectory-3d"), "../out", **options)


def test_the_lock_is_what_is_installed():
    lines = lock(SERVING)
    assert len(lines) == len({line.partition("==")[0] for line in lines})
    for line in lines:
        name, version = re.fullmatch(r"([a-z0-9.-]+)==(\S+)(?: ; .*)?", line).groups()
        assert metadata.version(name).partition("+")[0] == version
    names = {line.partition("==")[0] for line in lines}
    assert {"starlette", "pydantic-core", "anyio"} <= names  # which others need
    assert not names & {"torch", "matplotlib", "pytest", "rich"}
    with pytest.raises(UnmetRequirementError, match="no-such-package is not installed"):
        lock(["no-such-package"])


def test_kubernetes_manifests_fit_together(deployed):
    folder = deployed.folder / "kubernetes"
    workload, service, whole = (
        yaml.safe_load((folder / f"{name}.yaml").read_text())
        for name in ("deployment", "service", "kustomization")
    )
    assert sorted(whole["resources"]) == ["deployment.yaml", "service.yaml"]
    pod = workload["spec"]["template"]
    assert workload["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/readyz",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    assert all(probe["port"] in ports for probe in probes.values())
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert container["image"] == whole["images"][0]["name"]
    options = [argument.partition("=")[0] for argument in container["args"]]
    helped = alone(deployed.folder, "start_server.py", "--help").stdout
    assert all(option in helped for option in options)
    # A session lives in one pod's memory, for ten minutes after its last push.
    assert workload["spec"]["replicas"] == 1 or service["spec"]["sessionAffinity"] == "ClientIP"
    assert service["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"] >= 600
    patience = sum(float(argument.split("=")[1]) for argument in container["args"] if "seconds" in argument)
    assert pod["spec"]["terminationGracePeriodSeconds"] > patience


def test_the_container(deployed):
    lines = (deployed.folder / "Dockerfile").read_text()
    assert "USER 10001" in lines
    assert "curl" not in lines
    compose = yaml.safe_load((deployed.folder / "compose.yaml").read_text())["services"]["forecast"]
    assert compose["ports"] == ["127.0.0.1:8080:8080"]
    assert re.fullmatch(r"\d+m", compose["deploy"]["resources"]["limits"]["memory"])
    ignored = (deployed.folder / ".dockerignore").read_text().split("\n")
    assert "model.safetensors" in ignored
    assert not [name for name in ignored if name in ("app", "exported", "metadata.json", "start_server.py")]


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="needs hadolint")
def test_hadolint_finds_nothing(deployed):
    done = subprocess.run(
        ["hadolint", str(deployed.folder / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


@given(st.text(max_size=80))
def test_labels_are_what_kubernetes_takes(name):
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?", label_of(name))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["trajectory-3d"],
        ["--latest", "a", "b"],
        ["trajectory-3d", "name", "--windows", "0"],
        ["trajectory-3d", "name", "--most-worse", "-1"],
        ["no-such-model", "name"],
    ],
)
def test_wrong_command_lines_end_with_2(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.main(argv) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not list(tmp_path.iterdir())


def test_latest_takes_its_run_s_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["--latest"]) == 2
    assert "no trained model" in capsys.readouterr().err
    found = named_model("trajectory-3d")
    monkeypatch.setattr("examples.trajectory_3d.model_discovery.latest_model", lambda: found)
    assert command.main(["--latest", "--optimize", "none", "--windows", "8"]) == 0
    assert (tmp_path / "outputs/trajectory_3d/deployments" / found.name / "start_server.py").is_file()
    printed = capsys.readouterr().out
    assert "start_server.py --port 8080" in printed
    assert "ended on SIGTERM" in printed  # the place is a relative one here
