"""What a training publishes: an adapter that plain peft loads, its card, and its facts."""

import contextlib
import io
import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
import trainings
import yaml
from inference_cases import RECIPE
from peft import PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from study import ROOT
from trainer_cases import learn
from transformers import AutoModelForImageTextToText
from trees import check_schema

from legor1.core.errors import UserError
from legor1.core.files import sha256
from legor1.data.synthetic.dataset import synthesize
from legor1.inference.predict import Predictor
from legor1.planning.preflight import TINY_BASE
from legor1.training import adapter
from legor1.training.job import Job


def job_of(folder, **changes) -> Job:
    data = trainings.write_data(folder / "data")
    path = trainings.write_job(data, folder, trainings.recipe("sft", **changes))
    return Job(path)


def trained(job: Job):
    """Return what ``publish`` needs of a trainer whose adapter has learnt something."""
    model = get_peft_model(job.model(), job.lora())
    learn(model)
    history = [{"loss": "2.5", "step": 1}, {"resumed": 1, "step": 1}, {"loss": 1.25, "step": 2}]
    return SimpleNamespace(
        model=model,
        accelerator=SimpleNamespace(unwrap_model=lambda model: model),
        state=SimpleNamespace(log_history=history, global_step=2),
        train_dataset=range(8),
        args=SimpleNamespace(world_size=1),
    )


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[5, 6, 7, 8]])).logits


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    job = job_of(tmp_path_factory.mktemp("published"))
    job.manifest = job.conversations  # any file
    trainer = trained(job)
    before = logits(trainer.model)
    adapter.publish(job, trainer, 12.34)
    return job, before


def test_plain_peft_loads_it(published):
    job, before = published
    base = AutoModelForImageTextToText.from_pretrained(TINY_BASE, dtype=torch.float32)
    assert torch.equal(logits(PeftModel.from_pretrained(base, job.out / "adapter")), before)


def test_it_is_the_language_models_lora_and_no_more(published):
    job, _ = published
    layers = 4 * 7  # q, k, v, o, gate, up and down of each
    with safe_open(job.out / "adapter/adapter_model.safetensors", "pt") as weights:
        keys = list(weights.keys())
    assert len(keys) == 2 * layers
    assert all(".language_model.layers." in key and ".lora_" in key for key in keys)
    files = sorted(path.name for path in (job.out / "adapter").iterdir())
    assert files == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert sorted(path.name for path in job.out.iterdir()) == [
        "adapter",
        "history.jsonl",
        "run.json",
    ]
    assert [path.name for path in job.work.iterdir()] == []  # no second copy


def test_its_files_can_be_read_by_whom_the_umask_lets(published):
    job, _ = published
    assert len({path.stat().st_mode for path in (job.out / "adapter").iterdir()}) == 1


def test_its_settings_name_the_base_and_not_where_it_lay(published):
    job, _ = published
    settings = json.loads((job.out / "adapter/adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "workflow/base/tiny"


def test_the_facts_say_what_it_was_made_from(published):
    job, _ = published
    facts = json.loads((job.out / "run.json").read_text())
    check_schema("run", facts)
    assert facts["resumed"] == [1]
    assert facts["seconds"] == 12.3
    assert facts["data"]["conversations"] == sha256(job.conversations)


def test_the_card_says_what_it_was_made_of(published):
    job, _ = published
    facts = json.loads((job.out / "run.json").read_text())
    card = (job.out / "adapter/README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "peft"
    assert front["tags"] == ["lora", "sft", "legor1"]
    assert "| loss | 1.25 |" in card
    for said in (sha256(job.conversations), '"learning_rate": 0.002', "PeftModel.from_pretrained"):
        assert said in card
    assert str(facts["provenance"]["commit"]) in card
    assert f"torch {facts['provenance']['versions']['torch']}" in card


def test_the_cards_code_asks_and_answers_as_the_study_does(published, tmp_path, monkeypatch):
    job, _ = published
    shutil.copytree(job.out / "adapter", tmp_path, dirs_exist_ok=True)
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")  # where the card's base model lies
    drawn = tmp_path / "drawn"
    synthesize(drawn, manuals=1, steps=1, objects=1, seed=1, image_sizes=[(224, 192)], workers=1)
    picture = min(drawn.glob("object_dataset/**/*.png"))
    shutil.copyfile(picture, tmp_path / "image.png")
    row = job.rows()[0] | {"image": "image.png", "width": 224, "height": 192}
    recipe = RECIPE | {"demonstrations": False, "max_new_tokens": 64, "repetition_penalty": 1.0}
    recipe |= {"pixel_budget": job.recipe["pixel_budget"]}
    weights = tmp_path / "adapter_model.safetensors"
    learnt = load_file(weights)
    save_file({name: 0.1 * weight for name, weight in learnt.items()}, weights)  # keeps its senses
    predictor = Predictor(recipe, tmp_path, TINY_BASE, tmp_path)
    (expected,) = predictor.answers([row])
    code = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "README.md", "exec"), {})
    answer, *boxes = said.getvalue().splitlines()
    assert answer == expected["completion"]
    shown = [[round(float(n)) for n in line.partition(": ")[2].split()] for line in boxes]
    assert shown == [part["bbox_2d"] for part in json.loads(expected["prediction"])] != []


def test_of_a_training_that_diverged_the_cause_is_named(tmp_path):
    job = job_of(tmp_path)
    trainer = trained(job)
    with torch.no_grad():
        next(p for n, p in trainer.model.named_parameters() if "lora_B" in n).fill_(torch.nan)
    with pytest.raises(UserError, match="holds NaN or infinity, so its training diverged"):
        adapter.publish(job, trainer, 1)
    assert list((job.out).glob("*")) == []


@pytest.mark.parametrize("broken", ["weights", "keys"])
def test_an_adapter_that_is_not_what_was_trained_is_not_published(tmp_path, monkeypatch, broken):
    job = job_of(tmp_path)
    (job.out / "adapter").mkdir(parents=True)
    (job.out / "run.json").touch()  # of an earlier training
    trainer = trained(job)
    save = trainer.model.save_pretrained

    def save_other(folder, **kwargs):
        with torch.no_grad():
            first = next(p for n, p in trainer.model.named_parameters() if "lora_B" in n)
            first += 0.01
            save(folder, **kwargs)
            first -= 0.01

    if broken == "weights":
        monkeypatch.setattr(trainer.model, "save_pretrained", save_other)
        said = "lora_B.weight was not saved as it was trained"
    else:
        next(trainer.model.base_model.model.model.visual.parameters()).requires_grad_(True)
        said = "trained or saved, but not both: .*visual"
    with pytest.raises(RuntimeError, match=said):
        adapter.publish(job, trainer, 1)
    assert [path.name for path in job.out.iterdir()] == ["adapter"]
    assert list((job.out / "adapter").iterdir()) == []
