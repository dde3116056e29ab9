"""A trained model is merged into one that plain transformers loads, and pushed to a hub."""

import contextlib
import io
import json
import re
import shutil

import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from receiving_hub import ReceivingHub
from study import ROOT
from trainer_cases import learn
from transformers import AutoModelForImageTextToText

from legor1.core.errors import UserError
from legor1.core.files import write_json, write_jsonl
from legor1.core.layout import IN_RUN
from legor1.data.sources import describe_model
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.publishing.share import merge, push

IDS = torch.tensor([[5, 6, 7, 8]])


def base():
    return AutoModelForImageTextToText.from_pretrained(TINY_BASE, dtype=torch.float32)


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with an adapter that has learnt something, and what its card is made of."""
    run = tmp_path_factory.mktemp("run")
    describe_model(TINY_BASE, "workflow/base/tiny", None, run / IN_RUN.base_model)
    settings = LoraConfig(
        r=2, lora_alpha=4, target_modules=DEFAULT.lora_targets, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base(), settings)
    learn(model)
    home = run / IN_RUN.adapter("sft")
    model.save_pretrained(home / "adapter")
    budget = {"min_pixels": 9408, "max_pixels": 15680}
    facts = {
        "experiment": "sft",
        "method": "sft",
        "recipe": {
            "tasks": ["object"],
            "precision": "bfloat16",
            "demonstrations": False,
            "pixel_budget": budget,
        },
        "base": json.loads((run / IN_RUN.base_model).read_text()),
        "question": {
            "prompt": "Which parts?",
            "image_settings": DEFAULT.image_settings(DEFAULT.budget(**budget)),
            "frame": "processed",
            "scale": None,
        },
        "rows": 8,
        "steps": 2,
        "trainable_parameters": 10,
        "total_parameters": 100,
        "data": {"conversations": "0" * 64, "manifest": None},
        "start_from": None,
        "provenance": {"commit": "abc", "dirty": False, "versions": {"torch": "2"}},
    }
    write_json(home / "run.json", facts)
    write_jsonl(home / "history.jsonl", [{"loss": 1.0, "step": 2}])
    (home / "adapter/README.md").write_text("---\nlibrary_name: peft\n---\n")
    return run


@pytest.fixture(scope="module")
def merged(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("merged") / "model"
    merge(run, "sft", "float32", out)
    return out


def test_transformers_alone_loads_what_the_adapter_says(run, merged):
    home = run / IN_RUN.adapter("sft") / "adapter"
    adapted = logits(PeftModel.from_pretrained(base(), home))
    alone = logits(AutoModelForImageTextToText.from_pretrained(merged, dtype=torch.float32))
    assert torch.allclose(alone, adapted, atol=1e-4)
    assert not torch.allclose(alone, logits(base()), atol=1e-2)


def test_it_has_all_that_lies_beside_the_base(merged):
    names = {
        path.name for path in TINY_BASE.iterdir() if path.suffix in (".json", ".jinja", ".txt")
    }
    for name in names - {"config.json"}:
        assert (merged / name).read_bytes() == (TINY_BASE / name).read_bytes(), name
    assert len({path.stat().st_mode for path in merged.iterdir()}) == 1


def test_its_card_asks_a_question_as_it_stands(merged, tmp_path, monkeypatch):
    card = (merged / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["library_name"], front["tags"]) == ("transformers", ["sft", "legor1"])
    shutil.copytree(merged, tmp_path, dirs_exist_ok=True)
    shutil.copyfile(ROOT / "docs/demo/card-light.png", tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1].replace("=512", "=8")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "README.md", "exec"), {})
    assert said.getvalue().strip()


def test_only_what_merge_wrote_is_replaced(run, merged, tmp_path):
    with pytest.raises(UserError, match=r"run\.json does not exist\. Remedy: name an experiment"):
        merge(run, "grpo", "float32", tmp_path / "out")
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UserError, match="was not written by this command"):
        merge(run, "sft", "float32", tmp_path)
    before = (merged / "model.safetensors").read_bytes()
    merge(run, "sft", "float32", merged)
    assert (merged / "model.safetensors").read_bytes() == before


@pytest.fixture
def hub(monkeypatch):
    hub = ReceivingHub()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", hub.address, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # which it has not
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield hub
    hub.close()


def test_every_file_arrives_in_a_private_repository(hub, merged):
    facts = push(merged, "me/sft", public=False)
    assert hub.private == {("model", "me/sft"): True}
    assert hub.files == {path.name: path.read_bytes() for path in merged.iterdir()}
    assert hub.tokens == {"Bearer hf_secret"}
    assert facts["commit"] in facts["at"]
    push(merged, "me/sft", public=False)  # again, into the same


def test_an_export_is_a_dataset(hub, tmp_path):
    (tmp_path / "README.md").write_text("---\nconfigs: []\n---\n")
    (tmp_path / "a.png").write_bytes(b"png")
    push(tmp_path, "me/data", public=True)
    assert hub.private == {("dataset", "me/data"): False}
    assert hub.files.keys() == {"README.md", "a.png"}


def test_nothing_goes_where_all_can_read_it_unless_asked(hub, merged):
    hub.private[("model", "me/open")] = False
    with pytest.raises(UserError, match=r"me/open is public.*Remedy: give --public"):
        push(merged, "me/open", public=False)
    assert not hub.files
    push(merged, "me/open", public=True)
    assert hub.files


@pytest.mark.parametrize("path", ["/repos/create", "/preupload", "/lfs/objects", "/commit"])
def test_what_the_hub_refuses_is_said(hub, merged, path):
    hub.refuse = path, 403
    with pytest.raises(
        UserError, match=r"could not be pushed to the model me/sft: .*Remedy: check"
    ):
        push(merged, "me/sft", public=False)
    assert not hub.files


def test_a_folder_without_a_card_is_not_pushed(hub, tmp_path):
    with pytest.raises(UserError, match=r"has no README\.md.*Remedy: push an adapter's folder"):
        push(tmp_path, "me/sft", public=False)
    assert not hub.private
