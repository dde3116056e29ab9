"""Datasets and models from the Hugging Face hub, and the note of which base model is used."""

import errno
import os
from pathlib import Path

from legor1.errors import UserError
from legor1.files import sha256, write_json

# What the pipeline reads; the hub's repositories hold more.
PATTERNS = {
    "dataset": [
        "json_data/**",
        "qwen_data/**",
        "lego/**",
        "object_dataset/**",
        "step_dataset/**",
        "train_test_example/**",
    ],
    "model": ["*.json", "*.safetensors", "*.txt", "*.jinja"],
}


def fetch(kind: str, repo: str, revision: str, out: Path) -> None:
    """Download ``repo`` at ``revision`` into ``out``; what is there already is not fetched again.

    Args:
        kind: ``dataset`` or ``model``.
        repo: owner/name.
        revision: a commit, tag or branch.
        out: folder that gets the files.

    Raises:
        UserError: no network, no such repository or revision, no right to read it, or a full disk.
    """
    from httpx2 import HTTPError
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            repo,
            repo_type=kind,
            revision=revision,
            local_dir=out,
            allow_patterns=PATTERNS[kind],
        )
    except (hub.GatedRepoError, hub.RepositoryNotFoundError) as error:
        raise _failure(
            kind, repo, revision, error, "check the name; if it is gated, set HF_TOKEN"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise _failure(
            kind, repo, revision, error, "name a commit or branch that exists"
        ) from error
    except (OSError, HTTPError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        network = "fetch it where there is network (`snakemake fetch`), without HF_HUB_OFFLINE"
        remedy = f"free space below {out}" if full else network
        raise _failure(kind, repo, revision, error, remedy) from error


def _failure(kind: str, repo: str, revision: str, error: Exception, remedy: str) -> UserError:
    reason = str(error).strip().partition("\n")[0]
    return UserError(f"the {kind} {repo} at {revision} cannot be had: {reason}. Remedy: {remedy}.")


def link_dataset(folder: Path, out: Path) -> None:
    """Make ``out`` a link to the dataset tree in ``folder``, so that nothing is copied.

    Raises:
        UserError: ``folder`` is no dataset tree, or ``out`` is a real folder.
    """
    if not list(folder.glob("qwen_data/**/*.jsonl")):
        raise UserError(
            f"{folder} is no dataset tree (it has no qwen_data/**/*.jsonl). "
            "Remedy: name the folder that holds qwen_data/."
        )
    if out.exists() and not out.is_symlink():
        raise UserError(
            f"{out} is a folder of its own, so it is not replaced by a link to {folder}. "
            "Remedy: remove it, or choose another `run` in the config."
        )
    out.unlink(missing_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.symlink_to(folder.resolve(), target_is_directory=True)


def model_files(folder: Path) -> list[Path]:
    """Return the files in ``folder`` that make up a model, sorted; its card and logs do not."""
    return sorted(path for pattern in PATTERNS["model"] for path in folder.glob(pattern))


def describe_model(folder: Path, source: str, revision: str | None, out: Path) -> None:
    """Write ``model.json``: where the base model lies and what its files hash to.

    The path is relative to ``out``'s folder, so that both can move together.

    Raises:
        UserError: ``folder`` holds no model.
    """
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no model (config.json and *.safetensors). "
            "Remedy: choose base.source: shipped, rebuild or huggingface."
        )
    facts = {
        "schema_version": 1,
        "source": source,
        "revision": revision,
        "path": os.path.relpath(folder, out.parent),
        "files": {path.name: sha256(path) for path in model_files(folder)},
    }
    write_json(out, facts)
