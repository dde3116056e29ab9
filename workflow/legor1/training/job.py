"""What SFT and GRPO share: rows, model, LoRA, DeepSpeed, and the training from start to end."""

import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import deepspeed
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.core.files import beside, read_json, read_jsonl
from legor1.core.seeding import generator
from legor1.models import loading
from legor1.models.family import Model, ModelFamily, Processor
from legor1.models.lora import attached, settings
from legor1.models.registry import base_folder, family_of
from legor1.tasks.prompts import chat_messages
from legor1.training.adapter import publish, to_full_precision
from legor1.training.callbacks import Curves, Divergence, Live, Stops, Trainer, explain
from legor1.training.fast.exact_resume import Checkpoints
from legor1.training.work_folder import end_with_launcher, join, note_failure, note_stop

DEEPSPEED: dict[str, object] = beside(__file__)
# Only inference uses it, but on CPU it would be compiled at the start of the first training, for
# minutes; and a training killed meanwhile would leave a lock that all later ones wait for.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class Job:
    """A training job, with what ``launch.train`` was given, and the time of its deadline."""

    def __init__(self, path: Path) -> None:
        facts = read_json(path)
        self.recipe: dict = facts["recipe"]
        self.settings: dict = self.recipe["training"]
        paths = [Path(facts[name]) for name in ("conversations", "tree", "base", "work", "out")]
        self.conversations, self.tree, self.base, self.work, self.out = paths
        self.manifest = Path(facts["manifest"]) if facts.get("manifest") else None
        self.start_from = Path(facts["start_from"]) if facts.get("start_from") else None
        self.deadline: float | None = facts.get("deadline")

    @property
    def folder(self) -> Path:
        """The base model's folder."""
        return base_folder(self.base)

    @cached_property
    def family(self) -> ModelFamily:
        """The base model's family."""
        return family_of(self.folder)

    @cached_property
    def budget(self) -> PixelBudget:
        """The pixel budget of the recipe."""
        return self.family.budget(**self.recipe["pixel_budget"])

    @cached_property
    def processor(self) -> Processor:
        """The processor; completions are padded on the left, as generation needs."""
        return loading.load_processor(self.folder, self.budget, padding_side="left")

    def model(self) -> Model:
        """Return the base model, its vision tower frozen, with the adapter to continue if any."""
        base = loading.freeze_vision(loading.load_model(self.folder, self.recipe))
        return attached(base, self.start_from, self.lora()) if self.start_from else base

    def lora(self) -> LoraConfig:
        """Return the LoRA settings of the recipe."""
        lora = self.recipe["lora"]
        return settings(lora["r"], lora["alpha"], lora["dropout"], self.family.lora_targets)

    def rows(self) -> list[dict]:
        """Return the conversations to train on: at most ``rows_per_task`` of each chosen task.

        The choice of a row depends on the seed and its id alone. A UserError says if there is none.
        """
        chosen: list[dict] = []
        needed = ["instance_id", "task", "response", "box_frame"]
        conversations = read_jsonl(self.conversations, needed)
        seed = self.recipe["seed"]
        for task in self.recipe["tasks"]:
            rows = [row for row in conversations if row["task"] == task]
            rows.sort(key=lambda row: generator(seed, "rows", row["instance_id"]).random())
            chosen += rows[: self.recipe["rows_per_task"]]
        if not chosen:
            raise UserError(
                f"{self.conversations} has no row of {', '.join(self.recipe['tasks'])}. "
                "Remedy: choose other tasks for this experiment, or add data."
            )
        return chosen

    def dataset(self, **columns: Callable[[dict], object]) -> Dataset:
        """Return the rows as TRL reads them: ``prompt``, ``images`` (paths) and the given columns.

        Raises as ``check_lengths``, and a UserError that names an image that cannot be read.
        """
        table, rows = [], self.rows()
        loading.check_lengths(
            rows,
            self.processor,
            self.budget,
            demonstrations=self.recipe["demonstrations"],
            limit=self.recipe.get("max_tokens") or loading.context_length(self.folder),
            new_tokens=self.settings.get("max_new_tokens"),
        )
        for row in rows:
            messages = chat_messages(row, self.budget, demonstrations=self.recipe["demonstrations"])
            parts = [part for turn in messages for part in turn["content"]]
            names = [part.pop("image") for part in parts if part["type"] == "image"]
            extra = {name: column(row) for name, column in columns.items()}
            table.append(
                {"prompt": messages, "images": [_readable(self.tree / n) for n in names]} | extra
            )
        return Dataset.from_list(table)

    def arguments(self) -> dict:
        """Return the arguments that both of TRL's trainers take."""
        on_cpu = self.recipe["device"] == "cpu"
        settings = self.settings
        return {
            "output_dir": str(self.work),
            "per_device_train_batch_size": settings["batch_size"],
            "gradient_accumulation_steps": settings["accumulation"],
            "max_steps": settings.get("steps") or -1,
            "num_train_epochs": settings.get("epochs") or 1,
            "learning_rate": settings["learning_rate"],
            "lr_scheduler_type": settings["scheduler"],
            "warmup_steps": settings["warmup"],
            "max_grad_norm": settings["max_grad_norm"],
            "save_steps": settings["save_steps"],
            "logging_steps": settings["logging_steps"],
            "logging_nan_inf_filter": False,  # it would hide from Divergence what it looks for
            "gradient_checkpointing": settings["gradient_checkpointing"],
            "gradient_checkpointing_kwargs": {"use_reentrant": False},
            "bf16": self.recipe["precision"] == "bfloat16",
            "use_cpu": on_cpu,
            "ddp_backend": "gloo" if on_cpu else "nccl",
            "deepspeed": DEEPSPEED,
            "dataloader_pin_memory": not on_cpu,
            "disable_tqdm": True,
            "log_level": "warning",
            "report_to": "none",
            "seed": self.recipe["seed"],
        }

    def run(self, trainer: Trainer) -> None:
        """Train, from the last whole checkpoint if there is one, and publish the result."""
        if not trainer.is_deepspeed_enabled or trainer.args.deepspeed_plugin.zero_stage != 2:
            raise RuntimeError("DeepSpeed ZeRO-2 is not on; start the training by `legor1 train`")
        trainer.remove_callback(PrinterCallback)  # its lines are raw logs; history.jsonl keeps them
        stops, checkpoints = Stops(self), Checkpoints(trainer, self.work)
        live, curves = Live(self.recipe["experiment"], self.work), Curves(self.out / "curves")
        for callback in (Divergence(trainer), stops, checkpoints, curves, live):
            trainer.add_callback(callback)
        try:
            trainer.train(resume_from_checkpoint=checkpoints.resume())
        except Exception as error:
            if meaning := checkpoints.explain(error) or explain(error, trainer.state.global_step):
                raise meaning from error
            raise
        if "ref" in trainer.model.peft_config:  # TRL's copy of the adapter that it started from
            trainer.model.delete_adapter("ref")
        to_full_precision(trainer.model)
        first, state = trainer.is_world_process_zero(), trainer.state
        if first and stops.reason:
            note_stop(self.work, state.global_step, state.max_steps, stops.reason)
        elif first:
            publish(self, trainer, checkpoints.seconds())
            live.end()
        trainer.accelerator.end_training()


def _readable(path: Path) -> str:
    """Return the path of an image; a UserError says that it cannot be read, and why."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}. "
            "Remedy: bring the file back, or fetch the dataset again; then run again."
        ) from error
    return str(path)


def main(run: Callable[[Job], None]) -> None:
    """Run a training module: its one argument is the job file; a user's error ends in one line."""
    end_with_launcher()
    job = Job(Path(sys.argv[1]))
    with join(job.work):
        try:
            run(job)
        except Exception as error:
            note_failure(job.work)
            if not isinstance(error, UserError):
                raise
            print(error, file=sys.stderr)
            sys.exit(2)
