"""An adapter as it was saved, compared with the model that was trained.

PEFT loads the file beside the adapter in memory, and both score the first training rows.
"""

from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor

from legor1.core.images import open_image
from legor1.tasks.prompts import answer, assistant, chat_messages, image_paths
from legor1.training.stopping import Job, diverged

ROWS = 2  # each is computed twice, which takes a large model on a CPU minutes
SAVED = "saved"  # PEFT's name of the adapter that was read from disk
# How far log-probabilities of answer tokens may lie apart. In float32 the saved adapter is the same
# to the last bit, and the largest difference is judged. In bfloat16 rounding moves single tokens
# far, so the mean is judged; a lost adapter would differ by about 1.
TOLERANCES = {"float32": ("largest", 0.0), "bfloat16": ("mean", 0.05)}


def compare(job: Job, model: PeftModel, folder: Path) -> dict[str, object]:
    """Return how the adapter in ``folder`` agrees with the trained ``model``.

    A RuntimeError says that they do not agree, a UserError that the training diverged.
    """
    training = model.training
    model.eval()
    probes = [_probe(job, row, model.device) for row in job.rows()[:ROWS]]
    trained = _scores(model, probes)
    if not trained.isfinite().all():
        raise diverged("the trained model's log-probabilities are not finite")
    model.load_adapter(folder, SAVED)
    model.set_adapter(SAVED)
    saved = _scores(model, probes)
    model.set_adapter("default")
    model.delete_adapter(SAVED)
    model.train(training)
    apart = (trained - saved).abs()
    measured = {"largest": apart.max().item(), "mean": apart.mean().item()}
    judged, allowed = TOLERANCES[job.recipe["precision"]]
    if not measured[judged] <= allowed:
        raise RuntimeError(
            f"the saved adapter gives other log-probabilities than it should: {judged} "
            f"difference {measured[judged]:g}, allowed {allowed:g}. Nothing was published."
        )
    facts = measured | {"judged": judged, "allowed": allowed}
    return {"rows": len(probes), "tokens": len(trained), "saved": facts}


def _probe(job: Job, row: dict, device: torch.device) -> tuple[dict[str, Tensor], int]:
    """Return the model's inputs of a row with its true answer, and the answer's length."""
    turns = chat_messages(row, job.budget, demonstrations=job.recipe["demonstrations"])
    images = [open_image(job.tree / path) for path in image_paths(turns)]
    processor = job.processor
    asked = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    turns.append(assistant(answer(row, job.budget)))
    whole = processor.apply_chat_template(turns, tokenize=False)
    tokens = len(processor.tokenizer(whole.removeprefix(asked))["input_ids"])
    inputs = processor(text=[whole], images=images, return_tensors="pt")
    return dict(inputs.to(device)), tokens


@torch.no_grad()
def _scores(model: PeftModel, probes: list[tuple[dict[str, Tensor], int]]) -> Tensor:
    """Return the log-probabilities of all answers' tokens, concatenated."""
    scores = []
    for inputs, length in probes:
        logits = model(**inputs, use_cache=False, logits_to_keep=length + 1).logits[0, :-1]
        tokens = inputs["input_ids"][0, -length:, None]
        scores.append(logits.float().log_softmax(-1).gather(-1, tokens)[:, 0])
    return torch.cat(scores)
