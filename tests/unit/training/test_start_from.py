"""A training that goes on from another's adapter: its model, its reference, and what it notes."""

import copy
import json

import pytest
import torch
import trainings
from grpo_cases import batch
from grpo_cases import trainer as grpo_trainer
from peft import PeftModel
from safetensors.torch import load_file
from trainer_cases import tiny
from trl.trainer.utils import use_adapter

from legor1.core.errors import UserError
from legor1.core.files import read_jsonl, sha256
from legor1.models.loading import load_model
from legor1.models.lora import WEIGHTS, attached
from legor1.planning.preflight import TINY_BASE
from legor1.training import launch
from legor1.training.job import Job

PLAIN = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}
ROWS = [(0, 5), (0, 3), (1, 4), (1, 6)]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return trainings.write_adapter(tmp_path_factory.mktemp("start") / "adapter")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trainings.write_data(tmp_path_factory.mktemp("data"))


def job(data, folder, start=None, **changes) -> Job:
    changes |= {"start_from": "sft"} if start else {}
    return Job(trainings.write_job(data, folder, trainings.recipe("sft", **changes), start))


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[5, 6, 7, 8]])).logits


def test_the_policy_is_the_adapter_and_all_of_it_trains(data, start, tmp_path):
    model = job(data, tmp_path, start, lora=PLAIN["lora"]).model()
    base = load_model(TINY_BASE, trainings.RECIPE)
    assert torch.equal(logits(model), logits(PeftModel.from_pretrained(base, start)))
    trained = {n.replace(".default.", ".") for n, p in model.named_parameters() if p.requires_grad}
    assert trained == load_file(start / WEIGHTS).keys()
    assert model.peft_config["default"].lora_dropout == 0.0  # the training's own


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ({"r": 2}, "has r 4 and alpha 8, but the recipe's lora 2 and 8"),
        ({"alpha": 2}, "lora 4 and 2. Remedy: set"),
    ],
)
def test_another_shape_is_refused(data, start, tmp_path, lora, said):
    with pytest.raises(UserError, match=said):
        job(data, tmp_path, start, lora=trainings.RECIPE["lora"] | lora).model()


def test_a_recipe_and_its_adapter_go_together(data, start, tmp_path):
    given = {name: data[name] for name in ("conversations", "tree", "base")}
    given |= {"work": tmp_path / "work", "out": tmp_path / "out"}
    for start_from, recipe in ((start, {}), (None, {"start_from": "sft"})):
        with pytest.raises(UserError, match=r"takes --start-from. Remedy: give both or neither"):
            launch.train(trainings.recipe("sft", **recipe), **given, start_from=start_from)


def test_work_on_another_adapter_is_not_resumed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "supervise", lambda *_: 0)
    given = {name: data[name] for name in ("conversations", "tree", "base")}
    given |= {"work": tmp_path / "work", "out": tmp_path / "out"}
    recipe = trainings.recipe("sft", start_from="sft")
    adapter = trainings.write_adapter(tmp_path / "adapter")
    for _ in range(2):
        launch.train(recipe, **given, start_from=adapter)
    assert len([*given["work"].iterdir()]) == 1
    (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes() + b" ")
    launch.train(recipe, **given, start_from=adapter)
    assert len([*given["work"].iterdir()]) == 2


@pytest.mark.parametrize("shared", [True, False])
def test_the_reference_is_the_adapter_that_it_started_from(start, tmp_path, monkeypatch, shared):
    """Not the bare base, which TRL takes where LoRA is new; and it stays as the policy moves."""
    given = tiny()
    settings = copy.deepcopy(given.pop("peft_config"))
    given["model"] = attached(given["model"], start, settings)
    monkeypatch.setattr("grpo_cases.tiny", lambda **_: given)
    monkeypatch.setattr("grpo_cases.learn", lambda model: None)
    made = grpo_trainer(shared, tmp_path, loss_type="dapo")
    scored = batch(made, ROWS)

    def scores(model):
        with torch.no_grad():
            return made._get_per_token_logps_and_entropies(model, **scored)[0]

    with use_adapter(made.model, "ref"):
        reference = scores(made.model)
    with use_adapter(made.model, None):
        bare = scores(made.model)
    assert torch.equal(reference, scores(made.model))
    assert (reference - bare).abs().max() > 0.01
    with torch.no_grad():
        for name, weight in made.model.named_parameters():
            if ".default." in name:
                weight += 0.01
    assert not torch.equal(reference, scores(made.model))
    with use_adapter(made.model, "ref"):
        assert torch.equal(reference, scores(made.model))


@pytest.fixture(scope="module")
def chain(data, tmp_path_factory):
    """SFT, and two GRPO trainings with a KL term: one from that adapter, the other from none."""
    folder = tmp_path_factory.mktemp("chain")
    short = {"steps": 2, "logging_steps": 1, "learning_rate": 0.01, "warmup": 0}
    first = trainings.write_job(
        data, folder / "sft", trainings.recipe("sft", training=short, **PLAIN)
    )
    adapter = first.parent / "out/adapter"
    again = trainings.recipe("grpo", training=short, **PLAIN)
    jobs = [
        first,
        trainings.write_job(data, folder / "both", again | {"start_from": "sft"}, adapter),
        trainings.write_job(data, folder / "grpo", again),
    ]
    statuses = trainings.run(folder, *((job, {}) for job in jobs))
    assert statuses == [0, 0, 0], "".join(map(trainings.log, jobs))
    return jobs


def test_under_zero_2_the_policy_leaves_its_reference_behind(chain):
    """The KL divergence is none at first: the reference is the adapter; then it grows."""
    for job in chain[1:]:
        first, second = [row["kl"] for row in trainings.history(job) if "kl" in row]
        assert first == pytest.approx(0, abs=1e-9) and second > 1e-9


def test_the_published_adapter_is_whole_and_names_its_start(chain):
    first, both, fresh = (job.parent / "out" for job in chain)
    weights = [load_file(out / "adapter" / WEIGHTS) for out in (first, both)]
    assert weights[0].keys() == weights[1].keys()
    moved = [(weights[0][name] - weights[1][name]).abs().max() for name in weights[0]]
    assert 0 < max(moved) < 0.1  # two steps of 0.01 from there
    facts = [json.loads((out / "run.json").read_text()) for out in (first, both, fresh)]
    hashed = sha256(first / "adapter" / WEIGHTS)
    assert facts[1]["start_from"] == {"experiment": "sft", "adapter": hashed}
    assert facts[0]["start_from"] is facts[2]["start_from"] is None
    counts = {(one["total_parameters"], one["trainable_parameters"]) for one in facts}
    assert len(counts) == 1  # TRL's copy is not counted
    card = (both / "adapter/README.md").read_text()
    assert f"started from: the adapter of sft, SHA-256 `{hashed}`" in card
    assert "started from: a new adapter" in (first / "adapter/README.md").read_text()
    assert read_jsonl(both / "history.jsonl")[0]["step"] == 1
