"""The shipped base model: a real Qwen2.5-VL of 3 million parameters, trained from scratch.

It has all that the large model has (byte-level BPE with Qwen's special tokens and chat template,
multimodal rotary positions), only smaller. First its vision tower learns alone, then everything.
"""

import contextlib
import math
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from legor1.core.errors import Stopped
from legor1.core.files import atomic, fingerprint, share, write_json, write_jsonl, write_text
from legor1.core.progress import Progress
from legor1.models.family import Recipe
from legor1.models.qwen2_5_vl_batched import fuse
from legor1.training.base.heldout import LOOKS_TESTED, evaluate
from legor1.training.base.muon import Muon
from legor1.training.base.objective import Objective
from legor1.training.base.packing import SIGNALS, Drawing, leave_signals
from legor1.training.base.untrained import make_untrained

STAGES = ("vision", "joint")  # blocks of the recipe
WARMUP, HOLD, LOWEST = 0.02, 0.35, 0.02  # shares of a stage's steps, and of its learning rate
SLOWER = 0.5  # how much faster Muon learns than AdamW
LOGGED = 25  # steps from one line of the log to the next
KEPT = ("history", "heldout", "figures")  # in a checkpoint, besides how far it is
CARD = Path(__file__).parents[3] / "base" / "card.md"  # to be filled in by ``str.format``


def rate(step: int, steps: int) -> float:
    """Return the share of a stage's learning rate: warm-up, plateau, cosine."""
    done = step / steps
    decay = 0.5 * (1 + math.cos(math.pi * max(0.0, done - HOLD) / (1 - HOLD)))
    return min((step + 1) / max(1, WARMUP * steps), max(LOWEST, decay))


def optimizers(objective: Objective, stage: str, learning_rate: float) -> list:
    """Return Muon for the matrices that the stage trains, AdamW for the rest of its parameters."""
    trained = objective.named_parameters()
    if stage == "vision":
        trained = ((name, p) for name, p in trained if ".visual." in name or "head." in name)
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in trained:
        is_matrix = parameter.ndim == 2 and name.startswith("model.model.") and "embed" not in name
        (matrices if is_matrix else rest).append(parameter)
    slower = learning_rate * SLOWER
    muon = [{"params": matrices, "initial_lr": learning_rate}]
    adamw = [{"params": rest, "initial_lr": slower}]
    return [
        Muon(muon, learning_rate),
        torch.optim.AdamW(adamw, slower, betas=(0.9, 0.98), weight_decay=0.0),
    ]


class Training:
    """One process of a training; the first saves, logs and evaluates for all."""

    def __init__(self, recipe: Recipe, checkpoint: Path, rank: int = 0) -> None:
        """Begin, or resume from ``checkpoint`` if it exists."""
        torch.set_num_threads(1)
        self.recipe, self.checkpoint, self.rank = recipe, checkpoint, rank
        model, self.processor = make_untrained(recipe)
        self.objective = Objective(model, self.processor)
        self.stage, self.step, self.seconds, self.images = STAGES[0], 0, 0.0, 0
        self.history: list[dict] = []
        self.heldout: list[dict] = []
        self.figures: dict[str, list[float]] = {}  # since the last line of the log
        self.optimizers = self._begin(STAGES[0])
        if checkpoint.exists():
            self._load()
        self.asked = self.stopping = False

    def stop(self, *_: object) -> None:
        """Ask all processes to stop after the present step."""
        self.asked = True

    def run(self) -> None:
        """Train to the end.

        Raises:
            Stopped: as it was asked to; running it again resumes from there.
        """
        for stage in STAGES[STAGES.index(self.stage) :]:
            if stage != self.stage:
                self.optimizers = self._begin(stage)
            self._train()
            if self.stopping:
                raise Stopped(f"stopped in stage {stage}, at step {self.step}; run again to resume")

    def meet(self, where: str) -> None:
        """Wait for the other processes at a URL of torch.distributed, ready for long work."""
        fuse(self.objective.model)
        world = self.recipe["processes"]
        if world > 1:
            distributed.init_process_group("gloo", where, rank=self.rank, world_size=world)

    def part(self) -> None:
        """Leave the other processes: gloo's threads must not outlive the interpreter."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def _begin(self, stage: str) -> list:
        self.stage, self.step = stage, 0
        return optimizers(self.objective, stage, self.recipe[stage]["learning_rate"])

    def _train(self) -> None:
        settings = self.recipe[self.stage]
        drawing = Drawing(self.recipe, self.stage, self.rank, self.processor)
        bar = Progress(
            drawing.since(self.step), total=settings["steps"], initial=self.step, unit="steps",
            desc=f"Stage {self.stage}", disable=self.rank > 0,
        )  # fmt: skip
        last = time.monotonic()
        for batch in bar:
            loss, figures = self.objective(batch, answers=self.stage == "joint")
            loss.backward()
            self.stopping = self._agree(self.asked)
            self._update(rate(self.step, settings["steps"]))
            for name, value in figures.items():
                self.figures.setdefault(name, []).append(value)
            images = len(batch.grids) * self.recipe["processes"]
            now = time.monotonic()
            bar.set_postfix_str(f"{images / (now - last):.0f} images/s", refresh=False)
            self.step, self.images = self.step + 1, self.images + images
            self.seconds, last = self.seconds + now - last, now
            if self.rank == 0:
                self._keep(settings["steps"])
            if self.stopping:
                break

    def _update(self, share: float) -> None:
        """Take a step at a share of the learning rates."""
        nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * share
            optimizer.step()
            optimizer.zero_grad()

    def _agree(self, stopping: bool) -> bool:
        """Average the gradients over all processes; return whether any of them is to stop."""
        if self.recipe["processes"] == 1:
            return stopping
        gradients = [p.grad for p in self.objective.parameters() if p.grad is not None]
        together = parameters_to_vector([*gradients, torch.tensor([float(stopping)])])
        distributed.all_reduce(together)
        together /= self.recipe["processes"]
        vector_to_parameters(together[:-1], gradients)
        return bool(together[-1] > 0)

    def _keep(self, steps: int) -> None:
        """Log, evaluate and save where it is time."""
        last = self.step == steps
        if self.step % LOGGED == 0 or last:
            means = {name: float(np.mean(values)) for name, values in self.figures.items()}
            self.history.append(self.at() | means)
            self.figures = {}
        joint = self.stage == "joint"
        if joint and (self.step % self.recipe["evaluate_steps"] == 0 or last):
            results = evaluate(self.objective.model, self.processor, self.recipe)
            self.heldout += [self.at() | result for result in results]
        if self.stopping or last or self.step % self.recipe["save_steps"] == 0:
            self._save()

    def at(self) -> dict[str, object]:
        """Return how far it is."""
        seconds = round(self.seconds, 1)
        return {"stage": self.stage, "step": self.step, "images": self.images, "seconds": seconds}

    def _save(self) -> None:
        facts = self.at() | {name: getattr(self, name) for name in KEPT}
        facts["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
        with atomic(self.checkpoint) as temporary:
            torch.save(facts | {"weights": self.objective.state_dict()}, temporary)

    def _load(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        self.objective.load_state_dict(saved["weights"])
        self.optimizers = self._begin(saved["stage"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for name in (*KEPT, "step", "images", "seconds"):
            setattr(self, name, saved[name])


def build(recipe: Recipe, work: Path, out: Path, code: str = "") -> None:
    """Make tokenizer, processor and model, train the model, and write all into ``out``.

    Args:
        recipe: ``base.rebuild`` of the config.
        work: keeps the checkpoint of a training that was stopped, in a folder of its own.
        out: the model's folder; loads with ``AutoProcessor`` and ``from_pretrained``.
        code: the digest of this code: a checkpoint of other code is not used.

    Raises:
        UserError: the recipe's sizes fit no model of the family.
        Stopped: it was stopped by SIGINT or SIGTERM.
    """
    folder = work / f"base-{fingerprint(recipe, [], code)}"
    folder.mkdir(parents=True, exist_ok=True)
    training = Training(recipe, folder / "checkpoint.pt")
    for number in SIGNALS:
        signal.signal(number, training.stop)
    with tempfile.TemporaryDirectory() as meeting:
        given = recipe, folder / "checkpoint.pt", f"file://{meeting}/processes"
        spawn = multiprocessing.get_context("spawn").Process
        others = [spawn(target=_join, args=(r, *given)) for r in range(1, recipe["processes"])]
        for process in others:
            process.start()
        try:
            training.meet(given[-1])
            training.run()
        finally:
            training.part()
            for process in others:
                process.join(60)
                process.kill()
    _write(training, out)


def _join(rank: int, recipe: Recipe, checkpoint: Path, meeting: str) -> None:
    """Train as one of the other processes; the first decides when to stop."""
    leave_signals(rank)
    training = Training(recipe, checkpoint, rank)
    training.meet(meeting)
    with contextlib.suppress(Stopped):
        training.run()
    training.part()


def _write(training: Training, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    training.processor.save_pretrained(out)
    model = training.objective.model.bfloat16()
    model.save_pretrained(out)
    share(out)
    write_jsonl(out / "training_log.jsonl", training.history)
    write_jsonl(out / "heldout.jsonl", training.heldout)
    write_json(out / "recipe.json", training.recipe)
    results = training.heldout[-len(LOOKS_TESTED) :]
    names = list(results[0])[len(training.at()) :]
    cells = [[row[name] for name in names] for row in results]
    rows = [[f"{100 * x:.0f}" if isinstance(x, float) else str(x) for x in row] for row in cells]
    table = [names, ["---"] * len(names), *rows]
    facts = {**training.recipe, **training.at(), "minutes": training.seconds / 60}
    facts["parameters"] = sum(p.numel() for p in model.parameters())
    facts["table"] = "\n".join(f"| {' | '.join(row)} |" for row in table)
    write_text(out / "README.md", CARD.read_text("utf-8").format(**facts))
