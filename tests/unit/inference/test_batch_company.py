"""Nothing that is promised to the byte depends on the company an image or a prompt is met in."""

from itertools import permutations

import grpo_cases
import pytest
import sft_cases
import torch
from inference_cases import RECIPE, draw_rows
from trainer_cases import lora_weights, picture, tiny
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl

from legor1.inference.predict import Predictor
from legor1.models.feature_cache import encode
from legor1.planning.preflight import TINY_BASE

Tower = modeling_qwen2_5_vl.Qwen2_5_VisionTransformerPretrainedModel
CASES = {"sft": (sft_cases, {"max_steps": 4}), "grpo": (grpo_cases, {"max_steps": 3})}


@pytest.fixture
def alone(monkeypatch):
    """Images in each call of the vision tower, as they come."""
    counts, forward = [], Tower.forward

    def counted(self, pixels, grid_thw, **kwargs):
        counts.append(len(grid_thw))
        return forward(self, pixels, grid_thw=grid_thw, **kwargs)

    monkeypatch.setattr(Tower, "forward", counted)
    return counts


def test_features_of_an_image_do_not_depend_on_the_others(alone):
    model = tiny()
    process, backbone = model["processing_class"].image_processor, model["model"].model
    images = [picture(number) for number in (1, 2, 3, 4)]  # the first and the last of one size

    def features(numbers):
        inputs = process(images=[images[number] for number in numbers], return_tensors="pt")
        with torch.no_grad():
            return encode(backbone, inputs["pixel_values"], inputs["image_grid_thw"])

    single = [features([number])[0] for number in range(4)]
    for count in (2, 3, 4):
        for numbers in permutations(range(4), count):
            for number, found in zip(numbers, features(numbers), strict=True):
                assert torch.equal(found, single[number]), numbers
    assert {*alone} == {1}


@pytest.mark.parametrize("method", CASES)
def test_a_training_does_not_depend_on_which_images_are_remembered(tmp_path, alone, method):
    cases, changes = CASES[method]

    def weights(name, forgetful=(), **options):
        trainer = cases.trainer(True, tmp_path / name, **changes, **options)
        recall, calls = trainer.cache.get, []

        def forgetting(keys, make):
            calls.append(keys)
            if len(calls) in forgetful:  # as a training that is resumed here
                for key in [*trainer.cache.entries]:
                    trainer.cache.drop(key)
            return recall(keys, make)

        trainer.cache.get = forgetting
        trainer.train()
        assert max(forgetful, default=0) <= len(calls)
        return lora_weights(trainer)

    whole = weights("whole")
    for other in (weights("none", feature_bytes=0), weights("resumed", forgetful=(2, 4))):
        assert all(torch.equal(other[name], value) for name, value in whole.items())
    assert alone and {*alone} == {1}


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """Answer a shard again and again: predictor, conversations, and the batches it was asked."""
    tree = tmp_path_factory.mktemp("tree")
    rows = draw_rows(tree)
    return Predictor(RECIPE | {"batch_tokens": 600}, tree, TINY_BASE, None), rows


def test_a_resumed_shard_answers_in_the_batches_of_an_undisturbed_one(shard, monkeypatch):
    predictor, rows = shard
    engine, plain, scores = predictor.engine, predictor.engine._answer, {}

    def answer(prompts):
        found = scores[tuple(prompt.instance for prompt in prompts)] = []
        hook = engine.model.lm_head.register_forward_hook(lambda *_: found.append(_[-1].clone()))
        answers = plain(prompts)
        hook.remove()
        return answers

    monkeypatch.setattr(engine, "_answer", answer)
    whole = [*predictor.answers(rows)]
    undisturbed = dict(scores)
    assert len(undisturbed) > 1 and max(map(len, undisturbed)) > 1
    order = [name for one in undisturbed for name in one]
    assert [one["instance_id"] for one in whole] == order
    for count in range(len(order) + 1):
        scores.clear()
        assert [*predictor.answers(rows, order[:count])] == whole[count:]
        assert [*scores] == [one for one in undisturbed if not {*one} <= {*order[:count]}]
        for one, found in scores.items():
            assert all(map(torch.equal, found, undisturbed[one]))
