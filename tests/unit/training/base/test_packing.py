import numpy as np
import pytest
import torch
from torch.nn import functional as F

from legor1.data.synthetic.dataset import parse_sizes
from legor1.models.registry import DEFAULT
from legor1.tasks.prompts import assistant
from legor1.training.base import objective
from legor1.training.base.heldout import Case
from legor1.training.base.objective import Objective
from legor1.training.base.packing import Example, Packer, demonstrated, plain
from legor1.training.base.questions import BINARY, Question, random_booklet

BUDGET = DEFAULT.budget(18816, 25088)


def drawn(kind, seed=1, size=(240, 180)):
    rng = np.random.default_rng(seed)
    return [*kind(rng, random_booklet(rng, size, BUDGET))]


def as_the_processor_does(processor, example, question):
    """Return the inputs of one question alone, with its answer."""
    turns = [*Case(example, question, None).turns, assistant(question.answer)]
    text = processor.apply_chat_template(turns, tokenize=False).removesuffix("\n")
    images = [scene.image for scene in example.scenes()]
    return processor(text=[text], images=images, return_tensors="pt")


@pytest.mark.parametrize("kind", [plain, demonstrated])
def test_one_question_is_what_the_processor_makes_of_the_chat(base, kind):
    model, processor = base
    for example in drawn(kind)[::3]:
        question = example.questions[0]
        batch = Packer(processor).pack([Example(example.scene, [question], example.solved)])
        expected = as_the_processor_does(processor, example, question)
        assert batch.ids.tolist() == expected["input_ids"].tolist()
        torch.testing.assert_close(batch.pixels, expected["pixel_values"])
        positions, _ = model.model.get_rope_index(
            expected["input_ids"],
            expected["mm_token_type_ids"],
            image_grid_thw=expected["image_grid_thw"],
        )
        assert batch.positions.tolist() == positions.tolist()
        solved = [*(asked for _, asked in example.solved), question]
        answers = processor.decode(batch.ids[batch.weights > 0])
        assert answers == "".join(f"{asked.answer}<|im_end|>" for asked in solved)


def test_a_packed_loss_equals_that_of_separate_sequences(base, monkeypatch):
    model, processor = base
    monkeypatch.setattr(
        torch, "autocast", lambda *_, **__: torch.enable_grad()
    )  # exact, in float32
    monkeypatch.setattr(objective, "SPREAD", 1e-3)  # no soft targets
    examples = [*drawn(plain, 3)[-4:], *drawn(demonstrated, 3)[-2:]]
    batch = Packer(processor).pack(examples)
    assert len(batch.ids) < len(examples), "several share a row"
    model.eval()
    with torch.no_grad():
        _, figures = Objective(model, processor)(batch, answers=True)
        total, weights = 0.0, 0.0
        for example in examples:
            seen = set()
            for question in example.questions:
                inputs = as_the_processor_does(processor, example, question)
                scores = model(**inputs).logits[0, :-1].log_softmax(-1)
                losses = F.nll_loss(scores, inputs["input_ids"][0, 1:], reduction="none")
                alone = Packer(processor).pack([Example(example.scene, [question], example.solved)])
                weight = alone.weights[0, 1:].clone()
                if seen:  # the demonstrations' answers are learnt once
                    weight[: int((alone.branches[0] == 0).sum()) - 1] = 0
                seen.add(question)
                total += float((losses * weight).sum())
                weights += float(weight.sum())
    assert figures["answers"] == pytest.approx(total / weights, rel=1e-4)


def test_no_branch_sees_another_and_no_example_its_neighbour(base):
    batch = Packer(base[1]).pack(drawn(plain))
    for row, mask in enumerate(batch.mask()[:, 0]):
        queries, keys = mask.nonzero().T
        examples, branches = batch.examples[row], batch.branches[row]
        assert (examples[queries] == examples[keys]).all()
        assert ((branches[keys] == 0) | (branches[queries] == branches[keys])).all()
        assert (keys <= queries).all()
    assert mask.any(dim=1).all(), "padding sees itself, or its scores would be undefined"


def test_demonstrations_are_of_the_task_and_state_has_a_yes_and_a_no():
    asked = {}
    for seed in range(12):
        for example in drawn(demonstrated, seed):
            tasks = {q.task for q in example.questions} | {q.task for _, q in example.solved}
            (task,) = tasks
            asked.setdefault(task, []).append([q.answer for _, q in example.solved])
            assert all(scene is not example.scene for scene, _ in example.solved)
    assert asked.keys() == {"object", "grounding", "state"}
    assert {len(answers) for task in ("object", "grounding") for answers in asked[task]} == {1}
    pairs = [tuple(answers) for answers in asked["state"]]
    assert {BINARY, BINARY[::-1]} <= {*pairs}


def test_a_neighbouring_coordinate_is_nearly_right(base):
    model, processor = base
    learnt = Objective(model, processor)
    ids = processor.tokenizer.convert_tokens_to_ids(["100", "101", "140"])
    scores = torch.full((3, model.config.text_config.vocab_size), -20.0)
    scores[range(3), ids] = 0.0
    exact, near, far = learnt._soft(scores, torch.tensor([ids[0]] * 3)).tolist()
    assert exact < near < far


def test_weights(base):
    processor = base[1]
    example = drawn(plain)[-1]
    for answer, first, rest in (
        ("Yes.", 10.0, 0.6),
        ("red.", 3.0, 3.0),
        ("[1, 2, 3, 4]", 2.0, 2.0),
    ):
        batch = Packer(processor).pack(
            [Example(example.scene, [Question("state", "?", answer, 2.0)])]
        )
        weights = batch.weights[batch.weights > 0].tolist()
        assert weights == pytest.approx([first] + [rest] * (len(weights) - 1))


def test_sizes_of_the_recipe_all_pack(base, recipe):
    for size in parse_sizes(",".join(recipe["image_sizes"])):
        batch = Packer(base[1]).pack(drawn(plain, size=size))
        assert len(batch.shown) == int((batch.ids == base[1].image_token_id).sum())
        assert len(batch.shown) == int(batch.grids.prod(1).sum()) // 4
