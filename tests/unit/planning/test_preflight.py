import urllib.error
from pathlib import Path

import pytest

from legor1.config.settings import load, read, typed
from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.data.sources import RECORD, describe, download_folder
from legor1.planning import preflight

ROOT = Path(__file__).parents[3]


@pytest.fixture
def full() -> dict:
    return load(ROOT / "config.yaml")


@pytest.fixture
def demo() -> dict:
    return load(ROOT / "config.yaml", read(ROOT / "workflow/configs/demo.yaml"))


@pytest.fixture
def bare_machine(monkeypatch):
    """A machine without GPU and network, whatever this one has."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(preflight.urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(preflight, "_count_gpus", lambda: 0)
    monkeypatch.setattr(preflight, "find_spec", lambda name: name)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def problems(config: dict, results: Path, rules=preflight.EVERY_RULE) -> str:
    return "\n".join(preflight.missing(typed(config), results, rules))


@pytest.mark.usefixtures("bare_machine")
def test_everything_missing_is_named_at_once_with_the_way_to_the_demo(full, tmp_path):
    with pytest.raises(UserError) as error:
        preflight.require(typed(full), tmp_path)
    message = str(error.value)
    for part in (
        "PPPPPeter/arta",
        "Qwen2.5-VL-7B-Instruct",
        "1 NVIDIA GPU",
    ):
        assert part in message
    assert message.endswith("or run the demo, which needs none: make demo.")


@pytest.mark.usefixtures("bare_machine")
def test_the_demo_needs_neither_gpu_nor_network(demo, tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    monkeypatch.setattr(preflight, "TINY_BASE", tmp_path / "base")
    preflight.require(typed(demo), tmp_path)


@pytest.mark.usefixtures("bare_machine")
def test_only_what_the_jobs_to_run_need_is_asked_for(full, tmp_path):
    assert problems(full, tmp_path, {"render_report", "score_predictions"}) == ""
    assert "GPU" in problems(full, tmp_path, {"predict_shard"})
    assert "Qwen" not in problems(full, tmp_path, {"predict_shard"})
    assert "GPU" not in problems(full, tmp_path, {"fetch_base"})


@pytest.mark.usefixtures("bare_machine")
def test_as_many_gpus_as_processes(full, tmp_path, monkeypatch):
    full["processes"] = 2
    monkeypatch.setattr(preflight, "_count_gpus", lambda: 1)
    assert "2 NVIDIA GPU(s) needed, 1 found" in problems(full, tmp_path)
    monkeypatch.setattr(preflight, "_count_gpus", lambda: 2)
    assert "GPU" not in problems(full, tmp_path)


@pytest.mark.usefixtures("bare_machine")
def test_gpus_are_counted_from_the_drivers_list(tmp_path, monkeypatch):
    monkeypatch.undo()
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA A100 (UUID: a)'\necho 'GPU 1: NVIDIA A100'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert preflight._count_gpus() == 2
    program.write_text("#!/bin/sh\necho 'has failed'\nexit 9\n")
    assert preflight._count_gpus() == 0


@pytest.mark.usefixtures("bare_machine")
def test_offline_mode_is_named_before_the_network(full, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    said = problems(full, tmp_path, {"fetch_base"})
    assert "HF_HUB_OFFLINE is set, and resources/models/Qwen/Qwen2.5-VL-7B-Instruct" in said


def downloaded(kind: str, repo: str, revision: str) -> None:
    source = {"repo": repo, "revision": revision, "commit": "c" * 40}
    record = describe({"a": {"size": 1, "sha256": "0" * 64}}, source)
    write_json(download_folder(kind, repo, revision) / RECORD, record)


@pytest.mark.usefixtures("bare_machine")
def test_an_earlier_download_needs_no_network(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, block in (("dataset", full["dataset"]), ("model", full["base"])):
        downloaded(kind, **block["huggingface"])
    assert problems(full, tmp_path, {"fetch_base"}) == ""
    said = problems(full, tmp_path, {"fetch_dataset"})
    assert "set HF_HUB_OFFLINE=1 to use what is in resources/datasets/PPPPPeter/arta/main" in said
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert problems(full, tmp_path, {"fetch_dataset"}) == ""


@pytest.mark.usefixtures("bare_machine")
def test_a_hub_that_answers_with_an_error_is_within_reach(full, tmp_path, monkeypatch):
    def refuse(address, **_):
        raise urllib.error.HTTPError(address, 401, "no", {}, None)

    monkeypatch.setattr(preflight.urllib.request, "urlopen", refuse)
    assert problems(full, tmp_path, {"fetch_base", "fetch_dataset"}) == ""


def test_a_folder_that_is_no_dataset(full, tmp_path):
    full["dataset"] = {"source": "directory", "directory": str(tmp_path / "none")}
    assert "none is no folder" in problems(full, tmp_path, {"fetch_dataset"})
    full["dataset"]["directory"] = str(tmp_path)
    assert "is no LEGO-ARTA tree" in problems(full, tmp_path, {"fetch_dataset"})
    (tmp_path / "qwen_data" / "object").mkdir(parents=True)
    (tmp_path / "qwen_data" / "object" / "object_qwen.jsonl").touch()
    assert problems(full, tmp_path, {"fetch_dataset"}) == ""


def test_results_that_cannot_be_written(full, tmp_path):
    blocked = tmp_path / "results"
    blocked.write_text("a file where a folder should be")
    assert f"{blocked / 'study'} cannot be written" in problems(full, blocked / "study", set())


def test_looking_leaves_nothing_behind(full, tmp_path):
    assert problems(full, tmp_path / "results" / "study", set()) == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("bare_machine")
def test_missing_packages_are_named_together(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(
        preflight, "find_spec", lambda name: None if name in ("trl", "peft") else name
    )
    said = problems(demo, tmp_path, {"train_sft"})
    assert said == "Python packages are missing (trl, peft): make setup"
