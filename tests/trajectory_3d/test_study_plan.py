"""What a study is made of: grids, seeds, shortened trainings, names, partners; and what is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.cli import compare, evaluate
from examples.trajectory_3d.config import ExperimentConfig, check_run_name
from examples.trajectory_3d.run_experiments import check_plan
from examples.trajectory_3d.study.grid import parse_axis, parse_grid, parse_seeds, split_values
from examples.trajectory_3d.study.plan import make_plan, shipped_configs, trial_from_json
from examples.trajectory_3d.study.shorten import shortened
from m.config import ConfigError, load_config, to_dict
from m.moe import model_size

WORD = st.text("abcdefghij_", min_size=1, max_size=6)
SCALAR = st.one_of(
    st.integers(-(10**6), 10**6), st.booleans(), st.none(), st.floats(allow_nan=False, width=32), WORD
)
AWKWARD = st.text("ab,[]{}'\": #", max_size=8)  # must survive in quotes
LEAF = st.one_of(SCALAR, AWKWARD)
VALUE = st.recursive(
    LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORD, inner, max_size=3)),
    max_leaves=6,
)


def flow(value) -> str:
    """A value as YAML on one line, as a user would type it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()


@given(st.lists(VALUE, min_size=1, max_size=4))
def test_values_survive_the_commas_between_them(values):
    texts = split_values(",".join(map(flow, values)))
    assert [yaml.safe_load(text) for text in texts] == values


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_words(text):
    try:
        axis = parse_axis("a.b=" + text)
    except ConfigError:
        return
    assert axis.key == "a.b"
    assert all(axis.texts)
    assert len(axis.values) == len(axis.texts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.dim", "is not of the form"),
        ("=1,2", "is not of the form"),
        ("model..dim=1", "is not of the form"),
        ("model.dim=", "empty value"),
        ("model.dim=16,,32", "empty value"),
        ("model.dim=[16,32", "] is missing"),
        ("model.dim=[16},32", "closes nothing"),
        ("model.dim='16,32", "' is missing"),
        ("model.dim=16,32,16", "comes twice"),
        ("training.seed=1,2", "use --seeds"),
        ("name=a,b", "named by the study"),
    ],
)
def test_axes_that_cannot_be_read_are_refused(text, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[").replace("]", r"\]")):
        parse_axis(text)


def test_a_key_has_one_axis():
    with pytest.raises(ConfigError, match="comes twice"):
        parse_grid(["model.dim=16", "model.dim=32"])


@pytest.mark.parametrize(
    ("text", "seeds"), [("1", (0,)), ("3", (0, 1, 2)), ("0,7", (0, 7)), ("7,", (7,)), ("5, 2", (5, 2))]
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "a", "1.5", "1,,2", "3,3", "", ","])
def test_other_seeds_are_refused(text):
    with pytest.raises(ConfigError):
        parse_seeds(text)


def test_a_grid_multiplies_configurations_and_seeds():
    plan = make_plan(
        ["quick_test_3d", "small_3d_moe"],
        grid=["model.router.n_experts=4,8", "training.learning_rate=1e-3,3e-4"],
        seeds=(0, 7),
        overrides=["training.batch_size=64"],
    )
    found = {
        (
            trial.config,
            trial.experiment.model.router.n_experts,
            trial.experiment.training.learning_rate,
            trial.seed,
        )
        for trial in plan.trials
    }
    wanted = itertools.product(("quick_test_3d", "small_3d_moe"), (4, 8), (1e-3, 3e-4), (0, 7))
    assert found == set(wanted)
    assert len(plan.trials) == 16
    assert len({trial.name for trial in plan.trials}) == 16
    for trial in plan.trials:
        assert check_run_name(trial.name) == trial.experiment.name
        assert trial.experiment.training.seed == trial.experiment.dataset.seed == trial.seed
        assert trial.experiment.dataset.evaluation_seed == 0  # the test stream stays the same
        assert trial.experiment.training.batch_size == 64


def test_without_seeds_and_grid_a_trial_is_the_configuration_itself():
    (trial,) = make_plan(["small_3d_moe"]).trials
    own = to_dict(load_config(ExperimentConfig, shipped_configs()["small_3d_moe"]))
    assert {**to_dict(trial.experiment), "name": own["name"]} == own


def test_without_names_every_shipped_configuration_is_compared_the_cheapest_first():
    configs = [trial.config for trial in make_plan().trials]
    shipped = {p.stem for p in Path(compare.__file__).parents[1].glob("configs/*.yaml")}
    assert set(configs) == shipped - {"finetune_recordings"}  # which needs a model and recordings
    assert configs.index("quick_test_3d") < configs.index("small_3d_moe") < configs.index("large_3d_moe")


def test_a_dense_partner_has_the_active_parameters_and_the_seed_of_its_mixture():
    plan = make_plan(["quick_test_3d", "small_3d_moe"], seeds=(0, 1), dense=True)
    by_name = {trial.name: trial for trial in plan.trials}
    mixtures = [trial for trial in plan.trials if trial.partner is not None]
    assert len(mixtures) == 4
    for trial in mixtures:
        partner = by_name[trial.partner]
        assert partner.experiment.model.router.is_dense
        assert partner.seed == trial.seed
        ours, theirs = (model_size(each.experiment.model) for each in (trial, partner))
        assert ours.active_parameters / theirs.active_parameters == pytest.approx(1.0, abs=0.01)
        assert ours.total_parameters > 1.5 * theirs.total_parameters


def test_mixtures_that_differ_in_idle_experts_share_one_dense_partner():
    plan = make_plan(["quick_test_3d"], grid=["model.router.n_experts=4,8"], seeds=(0, 1), dense=True)
    assert len(plan.trials) == 2 * 2 + 2
    assert len({trial.partner for trial in plan.trials if trial.partner}) == 2
    names = {trial.name for trial in plan.trials}
    assert {trial.partner for trial in plan.trials if trial.partner} <= names
    check_plan(plan)


def test_data_of_its_own_makes_a_group_of_its_own():
    plan = make_plan(
        ["quick_test_3d", "small_3d_moe", "large_3d_moe"], seeds=(0, 1), baselines=("last value",)
    )
    data = {trial.config: trial.data for trial in plan.trials}
    assert data["quick_test_3d"] == data["small_3d_moe"] != data["large_3d_moe"]
    assert [job.data for job in plan.baselines] == [data["quick_test_3d"], data["large_3d_moe"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"configs": ["quick_test"]}, "did you mean 'quick_test_3d'"),
        ({"configs": ["absent.yaml"]}, "absent.yaml: no such configuration file"),
        ({"grid": ["model.router.n_expert=4,8"]}, "did you mean 'model.router.n_experts'"),
        ({"grid": ["model.dim=64,many"]}, "model.dim"),
        ({"grid": ["training.max_steps=10,20"], "max_steps": 5}, "--max-steps and training.max_steps"),
        ({"overrides": ["training.max_steps=20"], "max_steps": 5}, "--max-steps and training.max_steps"),
        ({"grid": ["model.dim=64,128"], "overrides": ["model.dim=32"]}, "give one of them"),
        ({"overrides": ["training.seed=3"]}, "use --seeds"),
        ({"overrides": ["model.dmi=32"]}, "did you mean 'model.dim'"),
    ],
)
def test_plans_that_mean_nothing_are_refused_before_anything_runs(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(**{"configs": ["quick_test_3d"], **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overrides": ["model.router.kind=topq"]}, "topq"),
        ({"overrides": ["training.best_metric=position_eror"]}, "position_error"),
        ({"overrides": ["dataset.type_weights={helix: 1.0}"]}, "helix"),
        ({"baselines": ("constant velocty",)}, "--baselines.*constant velocity"),
    ],
)
def test_what_only_the_machinery_knows_is_checked_before_anything_runs(arguments, message):
    with pytest.raises(ConfigError, match=message):
        check_plan(make_plan(["quick_test_3d"], **arguments))


def test_trials_survive_the_way_to_disk():
    plan = make_plan(["quick_test_3d"], grid=["training.learning_rate=1e-3,3e-4"], dense=True)
    for trial, content in zip(plan.trials, plan.to_json()["trials"], strict=True):
        assert trial_from_json(content, "test") == trial


@settings(deadline=None)  # it reads files
@given(st.integers(1, 3000), st.sampled_from(sorted(shipped_configs())))
@example(1710, "wide_3d_moe")  # 600 tied steps of 12,000: 85.5, and 85.499... by a share rounded first
def test_a_shortened_training_is_a_valid_one_in_proportion(steps, name):
    path = shipped_configs()[name]
    whole = yaml.safe_load(path.read_text())
    content = shortened(whole, steps)
    own = whole["training"]["max_steps"]
    assert whole == yaml.safe_load(path.read_text())
    if steps >= own:
        assert content == whole
        return
    training = content["training"]
    assert training["max_steps"] == steps
    for key in ("eval_interval", "checkpoint_interval"):
        assert 1 <= training[key] <= min(whole["training"][key], steps)
        assert -(-steps // training[key]) <= max(4, steps // whole["training"][key] + 1)
    tied = whole["model"]["experts"].get("tied_steps", 0)
    assert content["model"]["experts"].get("tied_steps", 0) == round(tied * steps / own)


def test_an_explicit_warm_up_keeps_its_share():
    content = {"training": {"max_steps": 1000, "warmup_steps": 100}}
    assert shortened(content, 50)["training"]["warmup_steps"] == 5


@pytest.mark.parametrize(
    ("tokens", "grid", "rest"),
    [
        (["a", "--grid", "x.y=1,2", "z=3", "--seeds", "3"], ["x.y=1,2", "z=3"], ["a", "--seeds", "3"]),
        (["--grid", "x.y=1,2", "a", "z=3"], ["x.y=1,2"], ["a", "z=3"]),
        (["--grid=x.y=1,2", "z=3"], ["x.y=1,2", "z=3"], []),
        (["z=3", "--grid", "x=1", "--dense", "w=4"], ["x=1"], ["z=3", "--dense", "w=4"]),
        (["--grid", "x=1", "--grid", "y=2"], ["x=1", "y=2"], []),
    ],
)
def test_axes_are_told_from_overrides_by_their_place(tokens, grid, rest):
    assert compare.take_grid(tokens) == (grid, rest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quick_test"], "did you mean 'quick_test_3d'"),
        (["quick_test_3d", "--grid", "--seeds", "2"], "--grid needs settings"),
        (["quick_test_3d", "--seeds", "none"], "--seeds takes"),
        (["quick_test_3d", "--name", "../up"], "--name"),
        (["quick_test_3d", "--device", "cuda:1"], "CUDA_VISIBLE_DEVICES"),
        (["quick_test_3d", "--what"], "unknown argument '--what'"),
    ],
)
def test_requests_that_mean_nothing_end_with_code_2(arguments, message, tmp_path, capsys):
    assert compare.main(["compare", *arguments, "--output-root", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--early-stop", "quick_test_3d"], "name configurations before --early-stop"),
        (["--ray", "quick_test_3d"], "name configurations before"),
        (["--parallel", "0"], "1 or more"),
    ],
)
def test_options_that_cannot_be_parsed_say_what_to_do(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        compare.main(["compare", *arguments])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_plan_can_be_looked_at_without_running_it(tmp_path, capsys):
    arguments = ["compare", "quick_test_3d", "--seeds", "2", "--plan", "--output-root", str(tmp_path)]
    assert compare.main(arguments) == 0
    shown = capsys.readouterr().out
    size = model_size(make_plan(["quick_test_3d"]).trials[0].experiment.model)
    assert "2 trials to train" in shown
    assert f"of {size.total_parameters / 1e6:.2f} M parameters active, 1000 steps of 256 windows" in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["compare", "evaluate"])
def test_help_of_the_commands_imports_nothing_heavy(command):
    code = (
        f"import sys\nfrom examples.trajectory_3d.cli import compare\n"
        f"try:\n    compare.main(['{command}', '--help'])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'rich', 'jsonargparse', 'ray', 'optuna'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"usage: trajectory-3d-compare {command}" in done.stdout


def test_compare_evaluate_is_the_evaluation(monkeypatch):
    seen = []
    monkeypatch.setattr(
        evaluate, "_report", lambda path, experiment, arguments: seen.append((path, experiment, arguments))
    )
    config = str(shipped_configs()["small_3d_moe"])
    options = [
        "--baselines",
        "none",
        "--oracle",
        "--output",
        "here",
        "--device",
        "cpu",
        "dataset.noise_std=0.1",
    ]
    assert compare.main(["evaluate", "--model", "trajectory-3d", "--config", "small_3d_moe", *options]) == 0
    assert compare.main(["evaluate", *options, "--config", config, "--model", "trajectory-3d"]) == 0
    assert evaluate.main(["trajectory-3d", config, *options]) == 0
    assert seen[0][:2] == seen[1][:2] == seen[2][:2]
    by_compare, by_eval = (vars(each[2]) for each in (seen[0], seen[2]))
    assert {key: by_compare[key] for key in ("baselines", "oracle", "output", "device")} == {
        key: by_eval[key] for key in ("baselines", "oracle", "output", "device")
    }
