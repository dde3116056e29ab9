"""More GPUs, or processes, by changing one number: the same training on two."""

import pytest
from real_models import recipe, write_rows

from legor1.core.files import read_json, read_jsonl
from legor1.data.sources import describe_model
from legor1.planning.preflight import TINY_BASE
from legor1.training.launch import train

TINY = {"precision": "float32", "pixel_budget": {"min_pixels": 9408, "max_pixels": 15680}}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_two_processes_train_together(method, tmp_path):
    conversations, tree = write_rows(tmp_path, 8)
    base = tmp_path / "model.json"
    describe_model(TINY_BASE, "shipped", None, base)
    settings = recipe(method, processes=2, threads=1, rows_per_task=8, **TINY)
    settings["training"] |= {"steps": 2}
    train(settings, conversations, tree, base, tmp_path / "work", tmp_path / "out")
    facts = read_json(tmp_path / "out/run.json")
    assert (facts["processes"], facts["steps"], facts["rows"]) == (2, 2, 8)
    logged = [row for row in read_jsonl(tmp_path / "out/history.jsonl") if "loss" in row]
    assert len(logged) == 2
    # A step of two processes reads twice as many rows (SFT: 2 × 2 of 8; GRPO: 2 groups of 2).
    assert logged[-1]["epoch"] == pytest.approx({"sft": 1.0, "grpo": 0.5}[method])
    states = {p.name for p in (tmp_path / "work").glob("*/checkpoint-2/global_step2/*optim*.pt")}
    assert states == {f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1)}
