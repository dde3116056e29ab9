"""A base model that is small enough for tests."""

from pathlib import Path

import pytest

from legor1.config.settings import load
from legor1.training.base import untrained

SIZES = {
    "text": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 96,
    },
    "vision": {"depth": 2, "hidden_size": 64, "num_heads": 2, "intermediate_size": 96},
}


@pytest.fixture(scope="session")
def recipe():
    full = load(Path(__file__).parents[4] / "config.yaml", {})["base"]["rebuild"]
    model = {part: full["model"][part] | sizes for part, sizes in SIZES.items()}
    model["vision"]["fullatt_block_indexes"] = [0, 1]
    stage = {"steps": 4, "images": 4, "learning_rate": 0.004}
    return full | {
        "processes": 1, "vocabulary": 600, "model": model, "vision": stage, "joint": stage,
        "save_steps": 100, "evaluate_steps": 100,
    }  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def uncompiled():
    """Compiling takes longer than the few steps of a test, in other processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHDYNAMO_DISABLE", "1")
        patch.setattr("torch._dynamo.config.disable", True)
        yield


@pytest.fixture(scope="session")
def base(recipe):
    """The untrained model and its processor."""
    return untrained.make_untrained(recipe)
