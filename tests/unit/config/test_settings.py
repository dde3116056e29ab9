import copy
import functools
import importlib
import math
from pathlib import Path

import jsonschema
import pytest
from trees import check_schema

from legor1.config.models import Config
from legor1.config.settings import check, family, load, merge, read
from legor1.core.errors import UserError
from legor1.core.files import read_json
from legor1.evaluation.suites import SUITES
from legor1.tasks import baselines

ROOT = Path(__file__).parents[3]
FULL = ROOT / "config.yaml"
OVERLAYS = sorted((ROOT / "workflow/configs").glob("*.yaml"))
ON_DEMO = ("figure1", "ablation_demo")  # merged onto demo.yaml
ON_GPU = ("thesis", "thesis_first", "ablation")
BESIDE = {"ablation": "study", "ablation_demo": "demo"}  # what is a part of another run
# Settings of a training of which the thesis says nothing, or that change no number.
KEPT = (
    "max_grad_norm",
    "save_steps",
    "logging_steps",
    "gradient_checkpointing",
    "pack_examples",
)


@pytest.fixture
def reference(monkeypatch):
    """The script that writes the keys' page and schema."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("config_keys")


def test_the_page_of_keys_and_the_schema_are_up_to_date(reference):
    assert reference.PAGE.read_text() == reference.page(), "Remedy: python docs/config_keys.py"
    assert read_json(reference.SCHEMA) == reference.schema(), "Remedy: python docs/config_keys.py"


def test_the_schema_admits_every_config_and_no_other_key():
    few = load(FULL)
    check_schema("config", few, *(load(FULL, read(overlay)) for overlay in OVERLAYS))
    with pytest.raises(jsonschema.ValidationError, match="unexpected"):
        check_schema("config", few | {"devcie": "cpu"})


def own(config: dict, name: str, block: str) -> dict:
    """A block as an experiment has it."""
    return getattr(Config.model_validate(config), f"{block}_of")(name).as_mapping()


def refusal(overlay: dict) -> str:
    with pytest.raises(UserError) as error:
        load(FULL, overlay)
    return str(error.value)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_shipped_overlays_are_valid(overlay):
    demo = [read(ROOT / "workflow/configs/demo.yaml")] if overlay.stem in ON_DEMO else []
    config = load(FULL, *demo, read(overlay))
    assert config["run"] == BESIDE.get(overlay.stem, overlay.stem)
    assert config["device"] == ("cuda" if overlay.stem in ON_GPU else "cpu")


def alike(one, other, *but):
    """Tell whether two experiments have the same settings, nested ones but for those named."""
    different = {name for name in {*one, *other} if one.get(name) != other.get(name)}
    return different == set(but)


def test_both_trainings_of_the_sound_study_have_one_budget():
    config = load(FULL)
    sft, grpo, both = (config["experiments"][name] for name in ("sft", "grpo", "sft_grpo"))
    assert alike(sft, grpo, "method", "training")
    assert alike(grpo, both, "start_from")
    for one in (sft, grpo):
        training = one["training"]
        completions = training["batch_size"] * training["accumulation"]
        assert completions // training.get("generations", 1) == 8  # prompts a step
        assert training["epochs"] == 3


def test_the_thesis_overlays_hold_the_thesis_hyperparameters():
    config = load(FULL, read(ROOT / "workflow/configs/thesis.yaml"))
    assert list(config["experiments"]) == ["thesis_few_shot", "thesis_sft", "thesis_grpo"]
    sft, grpo = (config["experiments"][name] for name in ("thesis_sft", "thesis_grpo"))
    assert own(config, "thesis_sft", "pixel_budget") == {"min_pixels": 3136, "max_pixels": 768**2}
    drawn = own(config, "thesis_sft", "inference")["sampling"]
    assert drawn == {"temperature": 0.95, "top_p": 0.7, "top_k": 50}
    assert sft["lora"] == {"r": 8, "alpha": 16, "dropout": 0.0}
    assert sft["training"] == {
        "epochs": 3,
        "batch_size": 1,
        "accumulation": 8,
        "learning_rate": 1e-4,
        "scheduler": "cosine",
        "warmup": 0.1,
        "loss_mean": "forward_pass",
    } | {name: sft["training"][name] for name in sft["training"] if name in KEPT}
    first = load(FULL, read(ROOT / "workflow/configs/thesis_first.yaml"))
    published = {
        "steps": 500,
        "batch_size": 4,
        "accumulation": 2,
        "generations": 2,
        "beta": 0.04,
        "learning_rate": 1e-5,
        "save_steps": 100,
    }
    for experiments, name, new in (
        (config["experiments"], "thesis_grpo", 164),
        (first["experiments"], "figure1_configuration1", 128),
        (first["experiments"], "figure1_configuration2", 128),
    ):
        one = experiments[name]
        assert one["lora"] == {"r": 8, "alpha": 64, "dropout": 0.05}
        assert one["training"].items() >= (published | {"max_new_tokens": new}).items()
        assert one["tasks"] == ["object"]
    for name in ("thesis_few_shot", "thesis_grpo"):
        assert own(config, name, "pixel_budget")["max_pixels"] == 2600 * 28 * 28
        decoding = own(config, name, "inference")
        assert (decoding["batch_size"], decoding["max_new_tokens"]) == (3, 128)
        assert decoding["sampling"] is None
    assert grpo["variant"] == "reasoning"


def test_every_experiment_has_its_repetition_penalty():
    """The thesis's own: of the checkpoint where ``generate`` decoded, none by LLaMA-Factory."""
    config, first = load(FULL), load(FULL, read(ROOT / "workflow/configs/thesis_first.yaml"))
    published = {"thesis_few_shot": 1.05, "thesis_sft": 1.0, "thesis_grpo": 1.05}
    sound = ("few_shot", "zero_shot", "sft", "grpo", "sft_grpo")
    expected = dict.fromkeys(sound, 1.0) | published
    for run, penalties in ((config, expected), (first, dict.fromkeys(first["experiments"], 1.05))):
        for name, experiment in run["experiments"].items():
            assert own(run, name, "inference")["repetition_penalty"] == penalties[name]
            assert experiment.get("training", {}).get("repetition_penalty", 1.0) == 1.0
    assert "repetition_penalty" in config["experiments"]["grpo"]["training"]
    assert "repetition_penalty: Input should be greater than 0" in refusal(
        {"inference": {"repetition_penalty": 0}}
    )


@pytest.mark.parametrize(
    "overlays", [["thesis_first"], ["demo", "figure1"]], ids=lambda names: names[-1]
)
def test_the_trainings_of_figure_1_differ_in_their_rewards_alone(overlays):
    config = load(FULL, *(read(ROOT / f"workflow/configs/{name}.yaml") for name in overlays))
    names = ["figure1_configuration1", "figure1_configuration2"]
    one, other = (config["experiments"][name] for name in names)
    assert alike(one, other, "training")
    assert alike(one["training"], other["training"], "suite")
    assert [one["training"]["suite"], other["training"]["suite"]] == names


def test_columns_choose_experiments_and_their_order():
    chosen = load(FULL, {"columns": ["sft", "few_shot"]})
    assert list(chosen["experiments"]) == ["sft", "few_shot"]
    assert chosen["experiments"]["sft"] == load(FULL)["experiments"]["sft"]
    assert check(chosen) == chosen
    said = refusal({"columns": ["sfd"]})
    assert "columns: there is no experiment 'sfd'. Did you mean sft? Remedy: name some" in said
    assert "columns: List should have at least 1 item" in refusal({"columns": []})


def test_every_training_is_repeated_with_each_further_seed():
    config = load(FULL, {"columns": ["few_shot", "sft", "grpo"], "seeds": [43, "44"]})
    repeats = ["sft_seed43", "sft_seed44", "grpo_seed43", "grpo_seed44"]
    assert list(config["experiments"]) == ["few_shot", "sft", "grpo", *repeats]
    once_more = config["experiments"]["sft_seed44"]
    assert once_more == config["experiments"]["sft"] | {"seed": 44, "repeats": "sft"}
    assert [family(config, name) for name in repeats] == ["sft", "sft", "grpo", "grpo"]
    assert family(config, "few_shot") == "few_shot"
    assert check(config) == config


def test_seeds_that_would_mix_experiments_up_are_refused():
    sft = load(FULL)["experiments"]["sft"]
    assert "seeds: 42 is the run's seed. Remedy: name other" in refusal({"seeds": [43, 42]})
    assert "seeds.0: Input should be a valid integer (given: 'x')" in refusal({"seeds": ["x"]})
    taken = {"experiments": {"sft": sft, "sft_seed43": sft}, "seeds": [43]}
    assert "experiments.sft_seed43: seeds makes one of this name" in refusal(taken)


def test_an_experiments_own_blocks_go_before_the_runs():
    blocks = {"pixel_budget": {"max_pixels": 4000}, "inference": {"max_new_tokens": 9}}
    drawn = {"inference": {"sampling": {"temperature": 0.5}}}
    overlay = {
        "experiments": {"a": {"method": "baseline"} | blocks},
        "inference": {"batch_tokens": None, "batch_size": 5},
    }
    overlay["experiments"]["b"] = {"method": "baseline"} | drawn
    config = load(FULL, overlay)
    assert own(config, "a", "pixel_budget") == {"min_pixels": 3136, "max_pixels": 4000}
    sizes = {"batch_tokens": None, "batch_size": 5, "max_new_tokens": 9}
    greedy = {"engine": "transformers", "repetition_penalty": 1.0, "sampling": None, "shards": 4}
    assert own(config, "a", "inference") == greedy | sizes
    sampling = {"temperature": 0.5, "top_p": 1.0}
    assert own(config, "b", "inference")["sampling"] == sampling


def test_the_full_config_says_everything_itself():
    written, resolved = read(FULL), load(FULL)
    assert resolved == written, "a default was filled in that config.yaml does not show"


def test_merge_is_deep_and_changes_neither_side():
    base, overlay = {"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}}
    merged = merge(base, overlay)
    assert merged == {"a": {"b": 1, "c": [3]}, "d": 1}
    merged["a"]["c"].append(4)
    assert (base, overlay) == ({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}})


def test_an_overlay_with_experiments_has_all_of_them():
    only = {"experiments": {"untrained": {"method": "baseline", "demonstrations": False}}}
    assert list(load(FULL, only)["experiments"]) == ["untrained"]
    first = ["few_shot", "zero_shot", "sft", "grpo", "sft_grpo"]
    assert list(load(FULL, {"seed": 1})["experiments"])[:5] == first


def test_later_overlays_change_single_values_of_earlier_ones():
    demo = read(ROOT / "workflow/configs/demo.yaml")
    mine = {"experiments": {"sft": {"training": {"steps": 3}}}}
    changed = load(FULL, demo, mine)["experiments"]
    assert changed["sft"]["training"]["steps"] == 3
    assert changed["sft"]["lora"] == demo["experiments"]["sft"]["lora"]
    assert list(changed) == list(demo["experiments"])


def test_defaults_are_filled_in_where_a_block_is_missing():
    config = read(FULL)
    del config["evaluation"], config["experiments"]["grpo"]["training"]["temperature"]
    filled = check(config)
    assert filled["evaluation"] == {
        "protocols": ["sound", "thesis"],
        "replicates": 10000,
        "confidence": 0.95,
    }
    assert filled["experiments"]["grpo"]["training"]["temperature"] == 1.0
    assert "evaluation" not in config


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ({"expirements": {}}, "unknown key expirements. Did you mean experiments?"),
        (
            {"inference": {"batchsize": 3}},
            "unknown key inference.batchsize. Did you mean batch_size?",
        ),
        (
            {"device": "gpu"},
            "device: there is no 'gpu'. Did you mean cpu? Remedy: choose cuda or cpu",
        ),
        (
            {"seed": "x"},
            "seed: Input should be a valid integer (given: 'x'). Remedy: write another value",
        ),
        ({"seed": True}, "seed: Input should be a valid integer (given: True)"),
        ({"dataset": None}, "dataset: Input should be keys and values (given: None)"),
        ({"run": "../elsewhere"}, "run: String should match pattern"),
        (
            {"evaluation": {"confidence": 95}},
            "evaluation.confidence: Input should be less",
        ),
        ({"dataset": {"source": "directory"}}, "dataset.directory is missing"),
        ({"device": "cpu"}, "flash_attention_2 needs a GPU. Remedy: set `attention: sdpa`"),
        ({"inference": {"batch_size": 3}}, "inference: the size of a batch is not clear"),
        ({"inference": {"batch_tokens": None}}, "inference: the size of a batch is not clear"),
        ({"pixel_budget": {"min_pixels": 9999999}}, "min_pixels exceeds max_pixels"),
        (
            {"experiments": {"a": {"method": "baseline", "pixel_budget": {"max_pixels": 1000}}}},
            "experiments.a.pixel_budget: min_pixels exceeds max_pixels",
        ),
        (
            {"experiments": {"a": {"method": "baseline", "inference": {"shards": 2}}}},
            "unknown key experiments.a.inference.shards",
        ),
        ({"inference": {"sampling": {"top_p": 0.5}}}, "inference.sampling.temperature is missing"),
        (
            {"experiments": {1: {"method": "baseline"}}},
            "experiments: Input should be a valid str",
        ),
        ({"experiments": {"a": {"method": "sfd"}}}, "experiments.a.method: there is no 'sfd'"),
        ({"experiments": {"a": {"method": "sft"}}}, "experiments.a.training is missing"),
        ({"experiments": {"a": 5}}, "experiments.a: Input should be keys and values (given: 5)"),
        ({"experiments": {"a": {}}}, "experiments.a.method is missing. Remedy: add it"),
        (
            {"protocols": {"sound": {"defects": 5}}},
            "sound.defects: Input should be a",
        ),
        ({"columns": ["sft", "sft"]}, "columns: something is there twice (given: ['sft', 'sft'])"),
        (
            {"experiments": {"a": {"method": "baseline", "lora": {"r": 8, "alpha": 8}}}},
            "unknown key experiments.a.lora",
        ),
    ],
)
def test_errors_name_the_key_and_the_remedy(overlay, said):
    message = refusal(overlay)
    assert said in message
    assert "Remedy: " in message


def experiment(method: str, **training: object) -> dict:
    sizes = {"batch_size": 1, "accumulation": 8, "learning_rate": 0.1, "steps": 5}
    lora = {"r": 8, "alpha": 16}
    block = {"method": method, "tasks": ["object"], "rows_per_task": 9, "lora": lora}
    return {"experiments": {"a": block | {"training": sizes | training}}}


def chain(**starts: str) -> dict:
    """Trainings a, b and c, in the same way but for what each starts from, and few_shot."""
    block = experiment("sft")["experiments"]["a"]
    blocks = {name: block | {"start_from": start} for name, start in starts.items()}
    blocks = dict.fromkeys("abc", block) | blocks
    return {"experiments": {"few_shot": {"method": "baseline"}} | blocks}


def test_a_training_takes_over_the_lora_of_what_it_starts_from():
    overlay = chain(b="a", c="b")
    lora = {"r": 8, "alpha": 16, "dropout": 0.05}
    overlay["experiments"]["a"] = overlay["experiments"]["a"] | {"lora": lora}
    for name in "bc":
        del overlay["experiments"][name]["lora"]
    found = load(FULL, overlay)["experiments"]
    assert [found[name]["lora"] for name in "abc"] == [lora] * 3
    overlay["experiments"]["c"]["lora"] = lora | {"dropout": 0.0}
    config = load(FULL, overlay)
    assert config["experiments"]["c"]["lora"]["dropout"] == 0.0
    assert check(config) == config


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        (
            {"b": "d"},
            "experiments.b.start_from: there is no trained experiment 'd'. Did you mean",
        ),
        (
            {"b": "few_shot"},
            "experiments.b.start_from: there is no trained experiment 'few_shot'. Did you mean",
        ),
        ({"a": "b", "b": "c", "c": "a"}, "experiments.b.start_from leads back to b. Remedy: leave"),
        ({"a": "a"}, "experiments.a.start_from leads back to a. Remedy: leave it out"),
    ],
)
def test_what_cannot_be_started_from_is_refused(starts, said):
    message = refusal(chain(**starts))
    assert said in message
    assert "Remedy: " in message


def test_before_a_circle_only_the_circle_is_wrong():
    message = refusal(chain(a="b", b="c", c="b"))
    assert "experiments.b.start_from leads" in message and "experiments.a" not in message


@pytest.mark.parametrize("change", [{"r": 4}, {"alpha": 8}])
def test_an_adapter_goes_on_in_its_own_shape(change):
    overlay = chain(b="a", c="b")
    del overlay["experiments"]["b"]["lora"]
    overlay["experiments"]["c"]["lora"] = {"r": 8, "alpha": 16} | change
    message = refusal(overlay)
    assert (
        "experiments.c.lora: the adapter of b, which it continues, has r 8 and alpha 16" in message
    )
    assert "Remedy: write the same, or leave lora out" in message


def test_a_new_adapter_needs_its_lora():
    overlay = experiment("sft")
    del overlay["experiments"]["a"]["lora"]
    assert "experiments.a.lora is missing. Remedy: add it." in refusal(overlay)


def test_columns_hold_what_their_trainings_start_from():
    assert "columns: b starts from a. Remedy: add a, or drop b" in refusal(
        chain(b="a") | {"columns": ["few_shot", "b"]}
    )
    load(FULL, chain(b="a") | {"columns": ["b", "a"]})


def test_repeats_of_a_chain_start_from_the_repeats_of_their_seed():
    config = load(FULL, chain(b="a", c="b") | {"seeds": [43, 44]})
    found = {
        n: one.get("start_from") for n, one in config["experiments"].items() if "c" in n or "b" in n
    }
    assert found["b"] == "a" and found["c"] == "b"
    assert [found[f"{name}_seed44"] for name in "bc"] == ["a_seed44", "b_seed44"]
    assert found["c_seed43"] == "b_seed43"
    assert check(config) == config


def test_numbers_that_yaml_reads_as_text_are_numbers():
    changed = load(FULL, experiment("sft", learning_rate="1e-4", gradient_checkpointing="false"))
    training = changed["experiments"]["a"]["training"]
    assert training["learning_rate"] == 0.0001
    assert training["gradient_checkpointing"] is False
    assert load(FULL, {"seed": "8", "report": {"title": "8"}})["report"]["title"] == "8"
    assert "learning_rate: Input should be a valid number (given: 'low')" in refusal(
        experiment("sft", learning_rate="low")
    )


def test_a_training_has_one_length():
    assert "give either steps or epochs" in refusal(experiment("sft", epochs=3))


def test_grpo_steps_are_made_of_whole_groups():
    group = {"generations": 3, "max_new_tokens": 8, "rewards": {"object": 1.0}}
    assert "do not make whole groups of 3" in refusal(experiment("grpo", **group))
    load(FULL, experiment("grpo", **group | {"generations": 4}))


def test_a_loss_that_hangs_on_how_a_step_is_split_is_refused():
    group = {"generations": 2, "max_new_tokens": 8, "rewards": {"object": 1.0}}
    bnpo = experiment("grpo", **group, loss_type="bnpo")
    said = refusal(bnpo)
    assert "experiments.a.training.loss_type: bnpo averages over the tokens of one forward" in said
    assert "Remedy: set loss_type: dapo" in said
    one_pass = experiment("grpo", **group | {"accumulation": 1, "batch_size": 4}, loss_type="bnpo")
    load(FULL, one_pass)
    assert "bnpo" in refusal(one_pass | {"processes": 2})


@pytest.mark.parametrize("loss, spread", [("dr_grpo", "none"), ("dapo", "group"), (None, "group")])
def test_dr_grpo_does_not_divide_by_the_spread_of_rewards(loss, spread):
    group = {"generations": 2, "max_new_tokens": 8, "rewards": {"object": 1.0}}
    group |= {"loss_type": loss} if loss else {}
    training = load(FULL, experiment("grpo", **group))["experiments"]["a"]["training"]
    assert training["scale_rewards"] == spread
    chosen = load(FULL, experiment("grpo", **group, scale_rewards="batch"))
    assert chosen["experiments"]["a"]["training"]["scale_rewards"] == "batch"
    wrong = refusal(experiment("grpo", **group | {"loss_type": "gspo"}))
    assert "a.training.loss_type: there is no 'gspo'" in wrong and "scale_rewards" not in wrong


def test_rewards_are_those_of_the_suite():
    group = {"generations": 2, "max_new_tokens": 8, "rewards": {"object": 1.0, "format": 0.1}}
    filled = load(FULL, experiment("grpo", **group))
    training = filled["experiments"]["a"]["training"]
    assert training["suite"] == "sound"
    assert training["share_prompts"] is True
    assert training["check_sharing"] is False
    load(FULL, experiment("grpo", **group, suite="thesis"))
    first = experiment("grpo", **group, suite="figure1_configuration2")
    assert "'format' in the suite figure1_configuration2. Did you mean object?" in refusal(first)
    assert "there is no 'thessis'. Did you mean thesis?" in refusal(
        experiment("grpo", **group, suite="thessis")
    )
    unknown = experiment("grpo", **group | {"rewards": {"objct": 1.0}})
    assert "there is no 'objct' in the suite sound. Did you mean object?" in refusal(unknown)


def test_the_schema_knows_the_suites_and_their_rewards(reference):
    assert reference.schema()["$defs"]["GrpoTraining"]["properties"]["suite"]["enum"] == list(
        SUITES
    )
    group = {"generations": 2, "max_new_tokens": 8}
    for name, suite in SUITES.items():
        weights = dict.fromkeys(suite.rewards, 0.5)
        filled = load(FULL, experiment("grpo", **group, suite=name, rewards=weights))
        assert filled["experiments"]["a"]["training"]["rewards"] == weights


def test_settings_of_another_method_are_unknown():
    assert "unknown key experiments.a.training.beta" in refusal(experiment("sft", beta=0.1))


def test_all_errors_are_named_at_once():
    message = refusal({"devcie": "cpu", "sede": 1})
    assert "devcie" in message
    assert "sede" in message


def test_read_takes_yaml_files_and_json_text(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("run: x\n")
    assert read(file) == read('{"run": "x"}') == {"run": "x"}


@pytest.mark.parametrize("text", ["- a\n", "a: [1\n", ""])
def test_read_refuses_what_holds_no_mapping(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"a\.yaml.*Remedy: "):
        read(file)


def test_read_names_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml cannot be read.*Remedy: "):
        read(tmp_path / "none.yaml")


def test_a_protocol_is_a_named_set_of_defects():
    few = {"method": "baseline", "protocol": "leaky"}
    config = load(
        FULL,
        {"protocols": {"leaky": {"defects": ["self_demo"]}}, "experiments": {"few_shot": few}},
    )
    assert config["protocols"]["leaky"] == {"defects": ["self_demo"], "object_format": "json"}
    assert list(config["protocols"]) == ["sound", "thesis", "leaky"]
    assert config["experiments"]["few_shot"]["variant"] == "plain"


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        (
            {"experiments": {"few_shot": {"method": "baseline", "protocol": "thesiss"}}},
            "experiments.few_shot.protocol: there is no 'thesiss' among protocols. "
            "Did you mean thesis? Remedy: name one of sound, thesis",
        ),
        (
            {"protocols": {"sound": {"defects": ["self_dmo"]}}},
            "protocols.sound.defects: there is no defect of data preparation 'self_dmo'. "
            "Did you mean self_demo?",
        ),
        ({"protocols": {"sound": {"defects": "some"}}}, "Did you mean none?"),
        ({"protocols": {"sound": {"defects": ["summed_iou"]}}}, "there is no defect of data"),
        (
            {"protocols": {"tree": {"defects": "none"}}},
            "protocols: data/tree is the dataset",
        ),
        ({"protocols": {"sound": {"object_format": "xml"}}}, "Remedy: choose json or tags"),
        (
            {"protocols": {"sound": {"defect": "all"}}},
            "key protocols.sound.defect. Did you mean defects?",
        ),
    ],
)
def test_what_is_no_protocol_is_named_with_the_nearest(overlay, said):
    assert said in refusal(overlay)


def numeric(value, path=()):
    """The paths of all numbers in a config, and of what may be one instead of null."""
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in numeric(inner, (*path, key))]
    optional = value is None and path[-1] not in ("directory", "sampling", "columns")
    return [path] if optional or type(value) in (int, float) else []


REAL = ("wall_minutes", "epochs", "warmup", "object", "grounding", "state")
HOSTILE = (math.nan, math.inf, -math.inf, 100.0, 0.5, "5", "nan", "1e999", True, 2**64, 2**5000)
HOSTILE += (-1, 0, [], {}, None, "", "1\n", "9" * 5000)


def test_no_number_of_a_config_can_be_what_it_must_not():
    overlay = {"inference": {"sampling": {"temperature": 0.5, "top_p": 0.5, "top_k": 5}}}
    overlay |= {"wall_minutes": 60, "max_tokens": 9, "columns": ["sft", "grpo"]}
    config = load(FULL, overlay)
    keys = [path for path in numeric(config) if "model" not in path]  # transformers' own settings
    assert len(keys) > 50
    for *inside, key in keys:
        for value in HOSTILE:
            changed = copy.deepcopy(config)
            block = functools.reduce(dict.__getitem__, inside, changed)
            was, block[key] = block[key], value
            try:
                now = functools.reduce(dict.__getitem__, inside, check(changed))[key]
            except UserError as error:
                assert key in str(error) and "Remedy: " in str(error)
                continue
            real = isinstance(was, float) or key in REAL
            assert now is None or type(now) is int or (real and type(now) is float), (key, value)
            assert now is None or abs(now) < 2**32


@pytest.mark.parametrize("seed", [2**32, 8589934592, 42.0, math.nan])
def test_a_seed_is_what_every_library_takes(seed):
    assert load(FULL, {"seed": 2**32 - 1})["seed"] == 2**32 - 1
    assert "\n  seed: " in refusal({"seed": seed})
    assert "\n  seeds.0: " in refusal({"seeds": [seed]})


@pytest.mark.parametrize("name", baselines.NAMES)
def test_an_experiment_cannot_take_a_baselines_place(name):
    said = refusal({"experiments": {name: {"method": "baseline"}}})
    assert f"experiments.{name}: a baseline that needs no model has this name" in said
    assert "Remedy: rename" in said


@pytest.mark.parametrize("name", ["x" * 300, "ab\n", "", "../x", "é"])
def test_names_become_files(name):
    assert "\n  run: " in refusal({"run": name})
    assert "\n  experiments: " in refusal({"experiments": {name: {"method": "baseline"}}})
    assert "\n  protocols: " in refusal({"protocols": {name: {"defects": "none"}}})


@pytest.mark.parametrize("size", ["0x0", "480x0", "480x360\n", "100000x1", "480 x 360"])
def test_images_are_drawn_in_real_sizes(size):
    said = refusal({"dataset": {"synthetic": {"image_sizes": [size]}}})
    assert "dataset.synthetic.image_sizes.0: " in said and "WIDTHxHEIGHT in pixels" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"run: a\nseed: 1\nseed: 2\n", "line 3 .*the key seed is in line 2 already"),
        (b"inference:\n  {shards: 1, 'shards': 2}", "line 2 .*the key shards is in line 2"),
        (b'{"run": "a", "run": "b"}', "line 1 .*the key run is in line 1 already"),
        ("run: é\n".encode("utf-16"), "cannot be read: 'utf-8' codec"),
        (b"run: \xff\n", "cannot be read: 'utf-8' codec"),
        (b"[" * 100_000, "recursion"),
        (b"seed: " + b"9" * 5000, "digits"),
    ],
)
def test_what_is_no_config_is_named_by_file_and_line(tmp_path, text, said):
    path = tmp_path / "overlay.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError, match=f"overlay.yaml.*{said}.*Remedy: "):
        read(path)


def test_a_mapping_may_go_on_from_another(tmp_path):
    path = tmp_path / "aliases.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: [*a, *a]\n")
    assert read(path)["b"] == {"x": 3, "y": 2}


def test_the_trainings_of_the_demo_have_one_budget():
    experiments = load(FULL, read(ROOT / "workflow/configs/demo.yaml"))["experiments"]
    trained = [experiments[name] for name in ("sft", "grpo", "sft_grpo")]
    for key in ("tasks", "rows_per_task", "lora"):
        assert trained[0][key] and all(each[key] == trained[0][key] for each in trained), key
    trainings = [each["training"] for each in trained]
    prompts = [
        each["steps"] * each["batch_size"] * each["accumulation"] // each.get("generations", 1)
        for each in trainings
    ]
    assert len(set(prompts)) == len({each["steps"] for each in trainings}) == 1
