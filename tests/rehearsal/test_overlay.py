"""The rehearsal changes sizes and the device alone, and sees when a file is not the real one."""

import shutil
from pathlib import Path

import pytest
import qwen_files
import yaml
from study import ROOT
from surroundings import CHECKS, PARTS

from legor1.config.settings import load, read
from legor1.planning.preflight import TINY_BASE

HERE = Path(__file__).parent
REHEARSED = {  # an overlay and what it is merged onto
    "overlay.yaml": ROOT / "config.yaml",
    "overlay_first.yaml": ROOT / "workflow/configs/thesis_first.yaml",
}
DEVICE = {"device": "cpu", "precision": "float32", "attention": "sdpa", "threads": 1}
SIZES = {"rows_per_task", "steps", "epochs", "accumulation", "shards", "replicates"}
SIZES |= {"max_new_tokens", "max_pixels"}


def leaves(value, *path):
    """Yield (path of keys, value) of a nested mapping."""
    if not isinstance(value, dict):
        yield path, value
        return
    for key, inner in value.items():
        yield from leaves(inner, *path, key)


@pytest.mark.parametrize("name", REHEARSED)
def test_an_overlay_touches_sizes_and_the_device_alone(name):
    real, overlay = read(REHEARSED[name]), yaml.safe_load((HERE / name).read_text())
    for path, value in leaves(overlay):
        if path[0] in DEVICE:
            assert (path, value) == ((path[0],), DEVICE[path[0]])
            continue
        assert path[-1] in SIZES, ".".join(path)
        there = real
        for key in path[:-1]:
            there = there.get(key, {})
        # A size is made smaller, never larger: what the config leaves out is in config.yaml.
        known = there.get(path[-1], load(ROOT / "config.yaml")[path[0]].get(path[-1]))
        assert value < known, ".".join(path)


def test_every_experiment_is_rehearsed():
    assert "columns" not in yaml.safe_load((HERE / "overlay.yaml").read_text())
    assert len(read(ROOT / "config.yaml")["experiments"]) == 8


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "model"
    qwen_files.write_small(folder, qwen_files.LARGER)
    return folder


@pytest.mark.parametrize("part", PARTS)
def test_a_file_of_the_tiny_base_is_told_from_the_real_one(real, part, tmp_path):
    CHECKS[part](real)
    swapped = shutil.copytree(real, tmp_path / "model")
    for pattern in PARTS[part]:
        for path in swapped.glob(pattern):
            path.unlink()
        for path in TINY_BASE.glob(pattern):
            shutil.copy(path, swapped)
    with pytest.raises((AssertionError, OSError, RuntimeError)):
        CHECKS[part](swapped)
