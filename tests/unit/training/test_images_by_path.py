"""GRPO reads each image once a step, whatever trainer runs and however the step is split."""

from collections import Counter

import pytest
import torch
from datasets import Dataset, Image, List
from grpo_cases import numbers, trainer
from trainer_cases import TINY, lora_weights, picture
from transformers import AutoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from legor1.training import grpo
from legor1.training.grpo import by_path

# The study's shape: eight forward passes of a group of eight, three images a prompt.
STEP = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 8,
    "num_generations": 8,
    "max_completion_length": 2,
}
PROMPTS, SHOWN = 8, 3


def written(folder, rows, shown=SHOWN) -> Dataset:
    """Prompts with images in files, by path; the first one is in all of them."""
    paths = {}
    for number in range(1 + rows * (shown - 1)):
        paths[number] = str(folder / f"{number}.png")
        picture(number).save(paths[number])
    table = []
    for row in range(rows):
        images = [0, *range(1 + row * (shown - 1), 1 + (row + 1) * (shown - 1))]
        content = [{"type": "image"} for _ in images] + [{"type": "text", "text": f"Row {row}?"}]
        prompt = [{"role": "user", "content": content}]
        table.append({"prompt": prompt, "images": [paths[image] for image in images]})
    return Dataset.from_list(table)


@pytest.fixture
def counted(monkeypatch):
    """What was opened, by name, and how often the image processor ran."""
    opened, runs = Counter(), []
    open_image, process = grpo.open_image, Qwen2VLImageProcessor.__call__
    monkeypatch.setattr(
        grpo,
        "open_image",
        lambda path: (opened.update([path.name]), open_image(path))[1],
    )
    monkeypatch.setattr(
        Qwen2VLImageProcessor,
        "__call__",
        lambda self, *args, **kwargs: (runs.append(1), process(self, *args, **kwargs))[1],
    )
    return opened, runs


def made(shared, folder, data, **changes):
    one = trainer(shared, folder, data, **changes)
    one.processing_class = by_path(one.processing_class)
    return one


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "stock"])
def test_a_step_opens_and_cuts_each_image_once(tmp_path, counted, shared):
    steps = 2 if shared else 1
    made(shared, tmp_path, written(tmp_path, steps * PROMPTS), **STEP, max_steps=steps).train()
    opened, runs = counted
    assert len(opened) == 1 + steps * PROMPTS * (SHOWN - 1)
    assert set(opened.values()) == {1}  # the first, in all prompts, is at hand in the second step
    assert len(runs) == len(opened) <= steps * PROMPTS * SHOWN


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "stock"])
def test_the_training_is_that_of_decoded_images(tmp_path, shared):
    data = written(tmp_path, rows=4)
    changes = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 1}
    runs = []
    for make, rows in ((trainer, data.cast_column("images", List(Image()))), (made, data)):
        one = make(shared, tmp_path, rows, **changes)
        one.train()
        runs.append((numbers(one), lora_weights(one)))
    (expected, weights), (found, ours) = runs
    assert found == expected
    assert all(torch.equal(weight, weights[name]) for name, weight in ours.items())


def test_it_is_saved_as_the_processor_that_it_copies(tmp_path):
    processor = AutoProcessor.from_pretrained(TINY)
    images = by_path(processor).image_processor
    picture(1).save(tmp_path / "1.png")
    images.fetch_images([[str(tmp_path / "1.png")], None])
    made = by_path(processor)
    made.image_processor = images
    for one, name in ((processor, "plain"), (made, "by_path")):
        one.save_pretrained(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "plain").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "by_path").iterdir())
    for name in files:
        plain, ours = ((tmp_path / kind / name).read_bytes() for kind in ("plain", "by_path"))
        assert plain == ours
