"""Start a training job: `accelerate launch` with DeepSpeed ZeRO-2, on GPUs or on CPU.

The job itself is ``legor1.training.sft`` or ``legor1.training.grpo``. No torch here.
"""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from legor1.core.errors import Stopped, UserError
from legor1.core.files import fingerprint, write_json
from legor1.models.family import Recipe
from legor1.training import work_folder
from legor1.training.work_folder import REQUEST

ALLOCATOR = "PYTORCH_ALLOC_CONF"
WEIGHTS = "adapter_model.safetensors"


def command(recipe: Recipe, job: Path) -> list[str]:
    """Return the command line that runs ``job`` under accelerate with DeepSpeed."""
    # Without --use_deepspeed accelerate's --cpu would leave it out silently.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--use_deepspeed"]
    launch += ["--num_processes", str(recipe["processes"]), "--num_machines", "1"]
    launch += ["--mixed_precision", "bf16" if recipe["precision"] == "bfloat16" else "no"]
    launch += ["--dynamo_backend", "no", "--zero_stage", "2", "--main_process_port", "0"]
    return [*launch, "--module", f"legor1.training.{recipe['method']}", str(job)]


def train(
    recipe: Recipe,
    conversations: Path,
    tree: Path,
    base: Path,
    work: Path,
    out: Path,
    code: str = "",
    *,
    manifest: Path | None = None,
    start_from: Path | None = None,
    minutes: float | None = None,
    attempt: int = 1,
    log: Path | None = None,
) -> None:
    """Train one experiment's adapter into ``out``, resuming from ``work`` where it can.

    Args:
        recipe, code: what the training depends on, and the digest of its code.
        conversations, tree: ``train.jsonl``, and the dataset tree that its image paths start from.
        base: ``model.json`` of the base model.
        work: has the checkpoints of all trainings, each in a folder named by its fingerprint.
        out: gets ``adapter/``, ``history.jsonl`` and ``run.json``.
        manifest: that of the tree, whose images are part of what the result depends on.
        start_from: the folder of the adapter that it continues, where the recipe names one.
        minutes: the training stops gracefully before they are over; None or 0: never.
        attempt, log: as of ``work_folder.begin``.

    Raises:
        UserError: the training ended with an error, which it printed, or cannot begin.
        Stopped: it stopped gracefully, on SIGTERM or for lack of time.
    """
    deadline = time.time() + 60 * minutes if minutes else None
    if bool(start_from) != bool(recipe.get("start_from")):
        raise UserError(
            "a recipe with start_from takes --start-from. Remedy: give both or neither."
        )
    listed = [path for path in (manifest, start_from and start_from / WEIGHTS) if path]
    folder = work / fingerprint(recipe, [conversations, base, *listed], code)
    given = {"conversations": conversations, "tree": tree, "base": base, "work": folder, "out": out}
    paths = given | {"manifest": manifest, "start_from": start_from}
    with work_folder.enter(folder):
        work_folder.begin(folder, attempt, log)
        facts = {name: str(path.resolve()) for name, path in paths.items() if path}
        job = folder / "job.json"
        write_json(job, {"recipe": recipe, "deadline": deadline} | facts)
        status = supervise(command(recipe, job), environment(recipe), folder)
    name = recipe["experiment"]
    if status:
        raise UserError(
            f"training {name} ended with status {status}; the reason is above. "
            "Remedy: fix it and run again: the training resumes from the last checkpoint."
        )
    if stop := work_folder.stop_noted(folder):
        raise Stopped(
            f"training {name} stopped {stop['why']}, at step {stop['step']} of {stop['steps']}; "
            "run again, and it resumes from there"
        )


def supervise(command: list[str], environment: dict[str, str], folder: Path) -> int:
    """Run ``command`` to its end and return its status; SIGTERM asks the training to stop.

    accelerate's launcher would kill the processes 30 seconds later, in the middle of a long step;
    so it ignores the signal.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: (folder / REQUEST).touch())
    try:
        ignore = partial(signal.signal, signal.SIGTERM, signal.SIG_IGN)
        with subprocess.Popen(command, env=environment, preexec_fn=ignore) as process:
            return process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def environment(recipe: Recipe) -> dict[str, str]:
    """Return the environment of the job: threads and accelerator fixed, offline, untraced."""
    fixed = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    if sys.stderr.isatty():  # a log keeps the warnings
        fixed["PYTHONWARNINGS"] = "ignore"
    # DeepSpeed and others unpickle checkpoints: no file in one may run code.
    fixed |= {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
    fixed[work_folder.LAUNCHER] = str(os.getpid())
    fixed["PET_SIGNALS_TO_HANDLE"] = "SIGINT,SIGHUP,SIGQUIT"  # torchrun's list, less SIGTERM
    if recipe["device"] == "cpu":
        fixed |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        fixed["OMP_NUM_THREADS"] = str(recipe["threads"])
    else:  # batches differ in length, and memory in fixed blocks would be fragmented
        fixed[ALLOCATOR] = os.environ.get(ALLOCATOR, "expandable_segments:True")
    return os.environ | fixed
