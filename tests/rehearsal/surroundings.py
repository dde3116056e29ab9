"""What must be seen of a model's files once they are downloaded: that they are the real ones."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoProcessor, Qwen2_5_VLForConditionalGeneration

from legor1.models import loading
from legor1.models.registry import DEFAULT

PROMPTS = Path(__file__).parents[1] / "fixtures/qwen_prompts/prompts.json"
BUDGET = DEFAULT.budget(3136, 2038400)
# What belongs together: the files of the tiny base that would take the place of the real ones.
PARTS = {
    "config": ["config.json"],
    "generation": ["generation_config.json"],
    "images": ["preprocessor_config.json", "processor_config.json"],
    "vocabulary": [
        *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
        *("chat_template.json", "chat_template.jinja"),
    ],
    "weights": ["*.safetensors", "model.safetensors.index.json"],
}


def check_config(folder: Path) -> None:
    """The old, flat form is read as the sizes of the text model, with the rotations' sections."""
    assert "text_config" not in json.loads((folder / "config.json").read_text())
    config = AutoConfig.from_pretrained(folder)
    text = config.get_text_config()
    assert text.vocab_size in (152064, 151936)
    assert text.rope_parameters["mrope_section"] == [16, 24, 24]
    assert text.rope_parameters["rope_theta"] == 1e6
    assert (config.image_token_id, loading.context_length(folder)) == (151655, 128000)


def check_generation(folder: Path) -> None:
    """There are two end tokens, and settings that act only where the config repeats them."""
    assert loading.end_tokens(folder) == [151645, 151643]
    settings = json.loads((folder / "generation_config.json").read_text())
    assert (settings["do_sample"], settings["repetition_penalty"]) == (True, 1.05)


def check_images(folder: Path) -> None:
    """Flat bounds are read, and give way to the study's pixel budget."""
    assert "min_pixels" in json.loads((folder / "preprocessor_config.json").read_text())
    read = AutoProcessor.from_pretrained(folder).image_processor
    assert (read.size["shortest_edge"], read.size["longest_edge"]) == (3136, 12845056)
    assert read.image_mean[0] == 0.48145466
    bound = loading.load_processor(folder, BUDGET, padding_side="left").image_processor
    assert bound.size["longest_edge"] == BUDGET.max_pixels


def check_vocabulary(folder: Path) -> None:
    """Texts are tokenised as by the real vocabulary, whose special tokens have their ids."""
    processor = loading.load_processor(folder, BUDGET, padding_side="left")
    for prompt in json.loads(PROMPTS.read_text(encoding="utf-8"))["prompts"]:
        assert processor.tokenizer(prompt["text"])["input_ids"] == prompt["text_ids"]
    assert {151644, 151645, 151655} <= set(prompt["text_ids"])


def check_weights(folder: Path) -> None:
    """Weights lie in shards under their old names, and all of them find their places."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    names = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            names |= {*weights.keys()}
    assert names == index.keys()
    assert {name.partition(".")[0] for name in names} <= {"visual", "model", "lm_head"}
    assert not [name for name in names if name.startswith(("model.visual", "model.language"))]
    _, told = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(told.values()), told


CHECKS = {
    "config": check_config,
    "generation": check_generation,
    "images": check_images,
    "vocabulary": check_vocabulary,
    "weights": check_weights,
}
