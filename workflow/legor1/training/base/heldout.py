"""What the base model can do: its own answers about booklets that it has not seen, scored."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from legor1.data.synthetic.looks import MANUAL_LOOK
from legor1.data.synthetic.wording import MANUAL, PROMPTS, SLOTS, Convention
from legor1.models.family import Model, Processor, Recipe
from legor1.tasks.discovery import TASKS
from legor1.tasks.prompts import Turn, assistant
from legor1.training.base.packing import Example, demonstrated
from legor1.training.base.questions import Question, booklets

LOOKS_TESTED = ("random", "manual")  # the base's own, and the demo's, in the demo's wording
BOOKLETS, TOGETHER, LONGEST = 16, 32, 96  # booklets a look; prompts a batch; tokens of an answer


@dataclass(frozen=True)
class Case:
    """A question with its demonstrations, and how the booklet words things."""

    example: Example
    question: Question
    convention: Convention

    @property
    def turns(self) -> list[Turn]:
        """The chat up to the answer."""
        turns = []
        for _, solved in self.example.solved:
            turns += [_user(solved), assistant(solved.answer)]
        return [*turns, _user(self.question)]


def _user(question: Question) -> Turn:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question.text}]}


def cases(look: str, recipe: Recipe) -> Iterator[Case]:
    """Yield the tasks' own questions about held-out booklets of one of ``LOOKS_TESTED``."""
    for rng, random in booklets(recipe, "held out", BOOKLETS):
        manual = replace(random, look=MANUAL_LOOK, convention=MANUAL)
        booklet = manual if look == "manual" else random
        for example in demonstrated(rng, booklet):
            for question in example.questions:
                if PROMPTS[question.task] in question.text:
                    yield Case(example, question, booklet.convention)


@torch.inference_mode()
def answers(model: Model, processor: Processor, asked: Sequence[Case]) -> Iterator[str]:
    """Yield the model's greedy answer to each case."""
    for start in range(0, len(asked), TOGETHER):
        batch = asked[start : start + TOGETHER]
        texts = [
            processor.apply_chat_template(case.turns, tokenize=False, add_generation_prompt=True)
            for case in batch
        ]
        images = [[scene.image for scene in case.example.scenes()] for case in batch]
        inputs = processor(
            text=texts, images=images, padding=True, padding_side="left", return_tensors="pt"
        )
        made = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        prompt = inputs["input_ids"].size(1)
        yield from processor.batch_decode(made[:, prompt:], skip_special_tokens=True)


def measure(asked: Sequence[Case], answered: Sequence[str]) -> dict[str, float]:
    """Return the metrics of answers, each from 0 to 1: the tasks' own, and what is exactly right.

    ``f1_50_labelled``: of boxes with their labels; ``exact``: of instructions; a slot of one, such
    as ``colour``: how often it is right; ``balanced_accuracy``: of the state task.
    """
    features, right = defaultdict(list), defaultdict(list)
    for case, answer in zip(asked, answered, strict=True):
        task, truth = case.question.task, case.question.answer
        features[task].append(TASKS[task].scoring.measure(answer, truth))
        if task == "grounding":
            right["exact"].append(answer.strip() == truth)
            said, true = case.convention.slots(answer), case.convention.slots(truth)
            for slot in SLOTS:
                right[slot].append(said.get(slot) == true[slot])
    metrics = {name: float(np.mean(values)) for name, values in right.items()}
    for task, name in (("object", "f1_50_labelled"), ("state", "balanced_accuracy")):
        scoring = TASKS[task].scoring
        sums = {f: np.sum([row[f] for row in features[task]]) for f in scoring.features}
        metrics[name] = float(scoring.metrics[name](sums))
    return metrics


def evaluate(model: Model, processor: Processor, recipe: Recipe) -> Iterator[dict[str, object]]:
    """Yield the look and the metrics for each of ``LOOKS_TESTED``."""
    model.eval()
    for look in LOOKS_TESTED:
        asked = [*cases(look, recipe)]
        yield {"look": look, **measure(asked, [*answers(model, processor, asked)])}
    model.train()
