"""Examples made ready once, against TRL's own collator."""

import numpy as np
import pytest
import torch
from datasets import Dataset, Image, List
from PIL import Image as Picture_
from sft_cases import dataset, trainer
from trainer_cases import TINY
from transformers import AutoProcessor
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from legor1.training.fast import packed_trainer as module
from legor1.training.fast.packed_trainer import Examples, Pictures, collate
from legor1.training.fast.packed_trainer import opened as decoded


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(TINY)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return trainer(True, tmp_path_factory.mktemp("made"))


def examples_of(made, data, **limits):
    pictures = Pictures(made.processing_class.image_processor, limits.get("limit", 1 << 24))
    return Examples(data, made.processing_class, pictures, made._positions)


def test_tokens_and_patches_are_those_of_trl(made, processor):
    data = dataset()
    examples = examples_of(made, data)
    stock = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    for row in range(len(data)):
        expected = stock([dict(data[row])])
        found = examples[row]
        assert found.ids.tolist() == expected["input_ids"][0].tolist()
        answer = expected["labels"][0] != -100
        assert found.ids[-found.answer :].tolist() == expected["labels"][0][answer].tolist()
        patches = torch.cat(examples.pictures.take(found.pictures))
        assert torch.equal(patches, expected["pixel_values"])
        grids = torch.stack([examples.pictures.grids[one] for one in found.pictures])
        assert torch.equal(grids, expected["image_grid_thw"])


def test_a_row_is_made_once_and_equal_files_are_one_picture(made, tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, value in zip(paths, (1, 1, 2), strict=True):
        Picture_.fromarray(np.full((60, 80, 3), value, np.uint8)).save(path)
    row = dataset(1, images=(3,))[0]
    data = Dataset.from_list([row | {"images": [str(path) for path in paths]}])
    examples = examples_of(made, data.cast_column("images", List(Image())))
    opened = []
    monkeypatch.setattr(module, "opened", lambda one: (opened.append(1), decoded(one))[1])
    first = examples[0]
    assert examples[0] is first
    assert [picture == first.pictures[0] for picture in first.pictures] == [True, True, False]
    assert len(opened) == 2
    assert torch.equal(*examples.pictures.take(first.pictures)[:2])
    assert len(opened) == 2 and examples.pictures.cache.size == 0


def test_patches_that_were_not_kept_are_cut_again(made):
    kept, forgotten = (examples_of(made, dataset(), limit=limit) for limit in (1 << 24, 0))
    pairs = zip(
        kept.pictures.take(kept[2].pictures),
        forgotten.pictures.take(forgotten[2].pictures),
        strict=True,
    )
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_packed_row_leaves_out_the_last_token_of_each(made):
    examples = examples_of(made, dataset())
    few = [examples[0], examples[1]]
    batch = collate(few)
    assert batch["input_ids"].tolist()[0] == [*few[0].ids[:-1].tolist(), *few[1].ids[:-1].tolist()]
    lengths = [prompt + answer for prompt, (answer,) in batch["groups"]]
    assert lengths == [len(one.ids) - 1 for one in few]
    assert batch["position_ids"].shape == (3, 1, sum(lengths))
    answers = [answer for _, (answer,) in batch["groups"]]
    assert answers == [one.answer for one in few]
    assert batch["shift_labels"].size(1) == sum(answers)
    assert batch["tokens"] == sum(lengths) + 2
