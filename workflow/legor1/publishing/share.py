"""A trained model for others: merged into its base, and on the hub, private unless asked."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import atomic_folder, read_json, read_jsonl, share, write_text
from legor1.core.layout import IN_RUN
from legor1.data.sources import model_files
from legor1.models.card import card

CONFIG, ADAPTER, CARD = "config.json", "adapter_config.json", "README.md"
WRITTEN = (CONFIG, "model.safetensors.index.json")  # with the weights; all else is the base's


def merge(run: Path, experiment: str, precision: str, out: Path) -> dict[str, object]:
    """Write the base model with an experiment's adapter merged into it, to the folder ``out``.

    Tokenizer, processor, chat template and generation settings are the base's. An earlier one is
    replaced. A UserError says that there is no such adapter, or another folder in its place.
    """
    from legor1.models.lora import load_adapted
    from legor1.models.registry import base_folder

    facts, home = run / IN_RUN.training(experiment), run / IN_RUN.adapter(experiment)
    if not facts.is_file():
        raise UserError(
            f"{facts} does not exist. Remedy: name an experiment of the run that was trained."
        )
    base = base_folder(run / IN_RUN.base_model)
    recipe = {"precision": precision, "attention": "sdpa", "device": "cpu"}
    model = load_adapted(base, home / "adapter", recipe).merge_and_unload()
    made, history = read_json(facts), read_jsonl(home / "history.jsonl")
    made["recipe"]["precision"] = precision
    with atomic_folder(out, marker=CONFIG) as folder:
        model.save_pretrained(folder)
        for path in model_files(base):
            if path.suffix != ".safetensors" and path.name not in WRITTEN:
                shutil.copyfile(path, folder / path.name)
        write_text(folder / CARD, card(made, history, merged=True))
        share(folder)
    return {"parameters": model.num_parameters(), "precision": precision, "written": out}


def push(folder: Path, repo: str, public: bool) -> Mapping[str, object]:
    """Upload an adapter, a merged model or an export with its card to the hub, in one commit.

    The repository is made, private unless ``public``. A UserError says that the folder has no card,
    that the repository is public though ``public`` was not given, or what the hub refused.
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    if not (folder / CARD).is_file():
        raise UserError(
            f"{folder} has no {CARD}, so it says nothing of itself. Remedy: push an adapter's "
            "folder, one of `legor1 merge`, or one of `legor1 export --format huggingface`."
        )
    models = (CONFIG, ADAPTER)
    kind = "model" if any((folder / name).is_file() for name in models) else "dataset"
    api = HfApi()
    try:
        api.create_repo(repo, repo_type=kind, private=not public, exist_ok=True)
        if not public and not api.repo_info(repo, repo_type=kind).private:
            raise UserError(
                f"the {kind} {repo} is public, so anyone could read what is pushed. "
                "Remedy: give --public if that is meant, or name another repository."
            )
        message = f"Upload {folder.name} from legor1"
        done = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type=kind, commit_message=message
        )
    except (HTTPError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{folder} could not be pushed to the {kind} {repo}: {reason}. Remedy: check the name "
            "and that HF_TOKEN may write to it, and push again; what has arrived is not sent twice."
        ) from error
    return {"commit": done.oid, "at": done.commit_url}
