import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from inference_cases import HOSTILE, QWEN, RECIPE, SIZES, base_with, draw_mixed_rows, draw_rows
from peft import LoraConfig, get_peft_model
from transformers import Qwen2_5_VLForConditionalGeneration
from trees import check_schema

from legor1.core.boxes import FRAMES, rescale_text, to_original
from legor1.core.code_digest import digest
from legor1.core.errors import UserError
from legor1.core.files import fingerprint, read_jsonl, write_json, write_jsonl
from legor1.core.images import open_image
from legor1.core.seeding import generator
from legor1.data.sources import describe_model
from legor1.inference import transformers_engine
from legor1.inference.batching import batches
from legor1.inference.decoding import penalised
from legor1.inference.predict import Predictor, predict
from legor1.inference.prediction_file import gather
from legor1.inference.transformers_engine import TransformersEngine
from legor1.models.loading import load_model
from legor1.planning.preflight import TINY_BASE
from legor1.tasks.prompts import chat_messages


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    return tree, draw_rows(tree)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    tree = tmp_path_factory.mktemp("mixed")
    return tree, draw_mixed_rows(tree)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The tiny base with the generation settings of the real one."""
    return base_with(QWEN, tmp_path_factory.mktemp("real") / "base")


@pytest.fixture(scope="module")
def predictor(rows, base):
    return Predictor(RECIPE, rows[0], base, None)


def by_id(predictions):
    return {one["instance_id"]: one for one in predictions}


def test_a_batch_answers_as_single_prompts_do(predictor, rows):
    batched = by_id(predictor.answers(rows[1]))
    assert len(batched) == len(SIZES)
    for row in rows[1]:
        assert by_id(predictor.answers([row])) == {row["instance_id"]: batched[row["instance_id"]]}


def plainly(predictor, base, mixed, **settings):
    """Return the tokens that ``generate`` writes to each row, in a batch of its own."""
    tree, rows = mixed
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    limit = {"max_new_tokens": RECIPE["max_new_tokens"]}
    for row in rows:
        turns = chat_messages(row, predictor.budget, demonstrations=True)
        text = predictor.processor.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        parts = [part for turn in turns for part in turn["content"]]
        images = [open_image(tree / part["image"]) for part in parts if part["type"] == "image"]
        inputs = predictor.processor(text=[text], images=images, return_tensors="pt")
        with torch.inference_mode():
            tokens = model.generate(**inputs, **limit, **settings)
        yield tokens[0, inputs["input_ids"].shape[1] :].tolist()


BATCHINGS = [(1, None), (3, None), (100, None), (None, 600)]  # prompts or tokens


def answered(predictor, mixed, monkeypatch, **changes):
    """Yield the tokens that the engine writes to the rows, once for each way to batch them."""
    prompts = predictor.prompts(mixed[1])
    for size, tokens in BATCHINGS:
        recipe = RECIPE | {"batch_size": size, "batch_tokens": tokens} | changes
        monkeypatch.setattr(predictor.engine, "recipe", recipe)
        yield [tokens for _, tokens in sorted(predictor.engine.complete(prompts))]


def test_answers_are_those_of_plain_generation(predictor, base, mixed, monkeypatch):
    said = {}
    for penalty in (1.0, 1.05, 1.3):
        settings = {"do_sample": False, "repetition_penalty": penalty}
        said[penalty] = [*plainly(predictor, base, mixed, **settings)]
        for answers in answered(predictor, mixed, monkeypatch, repetition_penalty=penalty):
            assert answers == said[penalty]
    assert len({*map(len, said[1.05])}) > 1  # so that some left the batch before others
    assert said[1.0] != said[1.3]
    # As the thesis did: the checkpoint samples at a temperature of almost 0, and has this penalty.
    assert [*plainly(predictor, base, mixed)] == said[1.05]


def test_sampled_answers_are_those_of_plain_generation(predictor, base, mixed, monkeypatch):
    """Given the same random numbers: the penalty comes before what cuts unlikely tokens."""
    sampling = {"temperature": 1.5, "top_p": 0.9, "top_k": 5}
    names = iter(row["instance_id"] for row in mixed[1])

    def drawn(probabilities, num_samples):
        sums, number = probabilities.double().cumsum(-1), numbers.random()
        return (sums <= number * sums[:, -1:]).sum(-1, keepdim=True)

    def begins(*args, **kwargs):
        nonlocal numbers
        numbers = generator(1, "sampling", next(names))
        return generate(*args, **kwargs)

    numbers, generate = None, Qwen2_5_VLForConditionalGeneration.generate
    with monkeypatch.context() as patch:
        patch.setattr(torch, "multinomial", drawn)
        patch.setattr(Qwen2_5_VLForConditionalGeneration, "generate", begins)
        settings = sampling | {"do_sample": True, "repetition_penalty": 1.3}
        said = [*plainly(predictor, base, mixed, **settings)]
    changes = {"sampling": sampling, "seed": 1, "repetition_penalty": 1.3}
    for answers in answered(predictor, mixed, monkeypatch, **changes):
        assert answers == said


def test_the_checkpoints_generation_settings_do_not_act(predictor, mixed, tmp_path, monkeypatch):
    hostile = base_with(HOSTILE, tmp_path / "base")
    other = Predictor(RECIPE, mixed[0], hostile, None)
    expected = next(answered(predictor, mixed, monkeypatch))
    assert next(answered(other, mixed, monkeypatch)) == expected
    assert [*plainly(predictor, hostile, mixed, num_return_sequences=1)] != expected


def test_what_pads_a_prompt_is_nothing_that_it_said():
    scores = torch.tensor([[1.0, -1.0, 1.0, 1.0]] * 2)
    ids, padding = torch.tensor([[3, 3, 1], [3, 0, 1]]), torch.tensor([2, 0])
    changed = penalised(scores.clone(), 2.0, ids, padding)
    assert changed.tolist() == [[1.0, -2.0, 1.0, 1.0], [0.5, -2.0, 1.0, 0.5]]
    assert penalised(scores, 1.0, ids, padding) is scores


def test_logits_of_a_batch_are_those_of_single_prompts(predictor, rows):
    seen = []
    head = predictor.engine.model.lm_head
    hook = head.register_forward_hook(lambda _, __, logits: seen.append(logits[:, -1].clone()))
    prompts = predictor.prompts(rows[1])
    together = dict(predictor.engine.complete(prompts))
    (order,) = batches([prompt.tokens for prompt in prompts], 24, tokens=2000)
    assert len({prompt.tokens for prompt in prompts}) > 2  # so there is padding
    batch = [*seen]
    steps = min(len(answer) for answer in together.values())
    for at, number in enumerate(order):
        seen.clear()
        assert [*predictor.engine.complete([prompts[number]])] == [(0, together[number])]
        for step in range(steps):
            torch.testing.assert_close(batch[step][at], seen[step][0], atol=1e-4, rtol=0)
    hook.remove()


def test_an_image_is_opened_and_encoded_once_however_often_it_is_shown(
    predictor, rows, monkeypatch
):
    opened, encoded = [], []

    def counted(path):
        opened.append(path.name)
        return open_image(path)

    def hooked(_, inputs, kwargs):
        encoded.extend(kwargs["grid_thw"].tolist())

    monkeypatch.setattr(transformers_engine, "open_image", counted)
    monkeypatch.setitem(predictor.recipe, "batch_tokens", 600)
    hook = predictor.engine.backbone.visual.register_forward_pre_hook(hooked, with_kwargs=True)
    shown = [picture for prompt in predictor.prompts(rows[1]) for picture in prompt.pictures]
    assert len([*predictor.answers(rows[1])]) == len(SIZES)
    hook.remove()
    assert sorted(opened) == [f"{number}.png" for number in range(len(SIZES))]
    assert len(encoded) == len(SIZES) < len(shown)
    assert not predictor.engine.cache.entries  # what is not shown again is not kept


def test_an_image_of_another_size_than_announced_is_an_error(predictor, rows):
    row = rows[1][0] | {"width": 300}
    with pytest.raises(UserError, match=r"0\.png has .* pixels, the conversations say .*Remedy: "):
        list(predictor.answers([row]))


def test_an_adapter_on_the_vision_tower_is_refused(rows, tmp_path):
    model = load_model(TINY_BASE, RECIPE)
    config = LoraConfig(r=2, target_modules=["qkv"], task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="changes the vision tower"):
        Predictor(RECIPE, rows[0], TINY_BASE, tmp_path)


def test_boxes_of_a_prediction_are_in_original_pixels(predictor, rows):
    moved = []
    for row in rows[1]:
        (one,) = predictor.answers([row])
        size = (row["width"], row["height"])
        processed = predictor.budget.processed_size(size)
        assert "bbox_2d" in one["completion"]
        assert one["prediction"] == rescale_text(one["completion"], processed, size)
        moved.append(one["prediction"] != one["completion"])
        assert one["reference"] == row["response"]
        assert (one["processed_width"], one["processed_height"]) == processed
        check_schema("prediction", one)
    assert any(moved)  # what is no box stays as it is


def test_a_prediction_follows_the_frame_of_its_row(predictor, rows):
    row = rows[1][0]
    size = (row["width"], row["height"])
    for frame in FRAMES:
        (one,) = predictor.answers([row | {"box_frame": frame}])
        assert (one["box_frame"], one["variant"]) == (frame, "plain")
        assert one["prediction"] == to_original(one["completion"], size, predictor.budget, frame)
        assert one["reference"] == row["response"]


def test_a_killed_shard_goes_on_where_it_stopped(predictor, rows, tmp_path, monkeypatch):
    tree, conversations = rows
    write_jsonl(tmp_path / "test.jsonl", conversations)
    describe_model(TINY_BASE, "tiny", None, tmp_path / "model.json")
    out = tmp_path / "shards" / "0.jsonl"

    def run():
        predict(RECIPE, tmp_path / "test.jsonl", tree, tmp_path / "model.json", None, (0, 2), out)

    run()
    whole = out.read_bytes()
    assert len(whole.splitlines()) == 3  # conversations 0, 2 and 4
    lines = whole.splitlines(keepends=True)
    inputs = [tmp_path / "test.jsonl", tmp_path / "model.json"]
    name = fingerprint(RECIPE, inputs, "")
    (out.parent / f"0.{name}.partial.jsonl").write_bytes(lines[0] + lines[1][:40])
    (out.parent / "0.another.partial.jsonl").write_bytes(b"of another recipe")
    out.unlink()
    answered = []
    plain = Predictor.answers

    def counted(self, rows, done):
        for one in plain(self, rows, done):
            answered.append(one["instance_id"])
            yield one

    monkeypatch.setattr(Predictor, "answers", counted)
    run()
    assert out.read_bytes() == whole
    assert len(answered) == 2
    assert [path.name for path in out.parent.iterdir()] == ["0.jsonl"]


def predict_here(folder, tree, shard, out, code=""):
    paths = (folder / "test.jsonl", tree, folder / "model.json", None)
    predict(ONE_BY_ONE, *paths, shard, out, code)


ONE_BY_ONE = RECIPE | {"batch_size": 1, "batch_tokens": None}


@pytest.fixture(scope="module")
def many(rows, tmp_path_factory):
    """A folder with the inputs of a stage: more conversations than are answered in no time."""
    (tree, conversations), folder = rows, tmp_path_factory.mktemp("many")
    copies = [
        r | {"instance_id": f"{r['instance_id']}/{n}"} for n in range(4) for r in conversations
    ]
    write_jsonl(folder / "test.jsonl", copies)
    describe_model(TINY_BASE, "tiny", None, folder / "model.json")
    return folder, tree


@pytest.fixture(scope="module")
def whole(many):
    """The answers of a single, undisturbed run."""
    folder, tree = many
    predict_here(folder, tree, (0, 1), folder / "whole.jsonl")
    return folder / "whole.jsonl"


def test_shards_together_equal_a_single_run(many, whole):
    folder, tree = many
    shards = [folder / f"shards/{number}.jsonl" for number in range(3)]
    for number, out in enumerate(shards):
        predict_here(folder, tree, (number, 3), out)
    gather(shards, folder / "gathered.jsonl")
    gather([whole], folder / "expected.jsonl")
    assert (folder / "gathered.jsonl").read_bytes() == (folder / "expected.jsonl").read_bytes()
    ids = [row["instance_id"] for row in read_jsonl(whole)]
    assert ids == [row["instance_id"] for row in read_jsonl(folder / "test.jsonl")]


def test_a_shard_killed_outright_goes_on_at_the_next_example(many, whole, monkeypatch):
    folder, tree = many
    write_json(folder / "recipe.json", ONE_BY_ONE)
    out = folder / "killed.jsonl"
    options = {"recipe": folder / "recipe.json", "conversations": folder / "test.jsonl"}
    options |= {"tree": tree, "base": folder / "model.json", "out": out}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    process = subprocess.Popen([sys.executable, "-m", "legor1.cli.main", "predict", *flags])
    answered = []
    while not answered:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
        answered = [line for path in folder.glob("killed.*") for line in path.open("rb")]
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    (partial,) = folder.glob("killed.*.partial.jsonl")
    left = partial.read_bytes().count(b"\n")
    asked = []
    plain = TransformersEngine._answer
    monkeypatch.setattr(
        TransformersEngine, "_answer", lambda self, some: (asked.extend(some), plain(self, some))[1]
    )
    predict_here(folder, tree, (0, 1), out, digest("predict"))
    assert left > 0 and len(asked) == 20 - left
    assert out.read_bytes() == whole.read_bytes()


def test_two_processes_do_not_answer_one_shard(many, monkeypatch):
    folder, tree = many
    monkeypatch.setattr("legor1.inference.predict.SECONDS_TO_LEAVE", 0)
    name = fingerprint(ONE_BY_ONE, [folder / "test.jsonl", folder / "model.json"], "")
    with (folder / f"0.{name}.partial.jsonl").open("a") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process adds its answers to"):
            predict_here(folder, tree, (0, 1), folder / "0.jsonl")


def test_gather_orders_the_shards(tmp_path):
    write_jsonl(tmp_path / "0.jsonl", [{"instance_id": "c", "prediction": ""}])
    write_jsonl(
        tmp_path / "1.jsonl", [{"instance_id": name, "prediction": ""} for name in ("b", "a")]
    )
    assert gather([tmp_path / "0.jsonl", tmp_path / "1.jsonl"], tmp_path / "all.jsonl") == 3
    assert [row["instance_id"] for row in read_jsonl(tmp_path / "all.jsonl")] == ["a", "b", "c"]


def test_sampled_answers_depend_on_seed_and_instance_not_on_the_batch(predictor, rows):
    def answers(**drawn):
        predictor.engine.recipe = RECIPE | drawn
        found = predictor.answers(rows[1])
        return {row["instance_id"]: row["completion"] for row in found}

    sampling = {"temperature": 1.5, "top_p": 0.9, "top_k": 50}
    try:
        greedy = answers()
        first = answers(sampling=sampling, seed=1)
        alone = answers(sampling=sampling, seed=1, batch_tokens=1)
        second = answers(sampling=sampling, seed=2)
    finally:
        predictor.engine.recipe = RECIPE
    assert first == alone
    assert first != second
    assert first != greedy
