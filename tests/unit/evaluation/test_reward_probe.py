import json

import numpy as np
import pytest

from legor1.cli.main import main
from legor1.core.errors import UserError
from legor1.core.files import write_jsonl
from legor1.evaluation.reward_probe import probe

COLOURS = ("red", "blue", "green", "white")
WORDS = [f"word{number}" for number in range(200)]


def rows(variant="plain"):
    """Return 30 conversations of each task, from six manuals."""
    rng, made = np.random.default_rng(0), []
    for number in range(30):
        low = rng.uniform(0, 200, (2, 2))
        corners = np.hstack([low, low + rng.uniform(30, 90, (2, 2))]).round().astype(int).tolist()
        colours = rng.choice(COLOURS, 2)
        items = [
            {"bbox_2d": box, "label": f"1 {colour} brick"}
            for box, colour in zip(corners, colours, strict=True)
        ]
        texts = {
            "object": json.dumps(items),
            "grounding": f"Place {' '.join(rng.choice(WORDS, 6))}.",
            "state": ("Yes.", "No.")[number % 3 > 0],
        }
        for task, text in texts.items():
            response = f"<answer>{text}</answer>" if variant == "reasoning" else text
            made.append(
                {
                    "instance_id": f"{task}/{number}",
                    "task": task,
                    "manual": f"m{number % 6}",
                    "variant": variant,
                    "width": 300,
                    "height": 300,
                    "prompt": 'Which parts are needed? [{"bbox_2d": [x1, y1, x2, y2]}]',
                    "response": response,
                    "demonstrations": [{"response": texts[task]}] if number % 2 else [],
                }
            )
    return made


def probed(tmp_path, suite, own=(), variant="plain"):
    """Return (reward, task, probe) → what was earned."""
    write_jsonl(tmp_path / "c.jsonl", rows(variant))
    result = probe(tmp_path / "c.jsonl", suite, own)
    return {(p["reward"], p["task"], p["probe"]): p for p in result["probes"]}


def flagged(found):
    return {key for key, earned in found.items() if earned["pays_too_much"]}


def test_the_studys_own_rewards_pay_no_probe_more_than_it_deserves(tmp_path):
    found = probed(tmp_path, "sound")
    assert flagged(found) == set()
    assert found["object", "object", "a thousand boxes"]["share"] < 0.01
    assert found["object", "object", "every box twice"]["share"] == pytest.approx(0.5)
    yes, no = (found["state", "state", f"always {word}"] for word in ("yes", "no"))
    assert yes["share"] == yes["most"] == pytest.approx(1 / 3)
    assert no["share"] == no["most"] == pytest.approx(2 / 3)
    shown = found["grounding", "grounding", "the demonstration's answer"]
    assert (shown["n"], shown["share"]) == (15, 1), "half of the queries show it, and it is right"


def test_the_published_reward_pays_for_what_its_defect_says(tmp_path):
    found = probed(tmp_path, "thesis", variant="reasoning")
    gained = {"one box left out", "every box twice", "the right labels in a corner"}
    assert {name for reward, _, name in flagged(found) if reward == "object"} >= gained
    assert found["object", "object", "one box left out"]["share"] == pytest.approx(1)
    assert not any(reward == "format" for reward, *_ in flagged(found))


def test_the_first_iterations_reward_pays_for_boxes_without_end(tmp_path):
    found = probed(tmp_path, "figure1_configuration1")
    assert found["object", "object", "a thousand boxes"]["share"] > 100
    assert ("object", "object", "a thousand boxes") in flagged(found)


def test_a_reward_of_ones_own_is_probed_too(tmp_path, capsys):
    own = tmp_path / "my_rewards.py"
    own.write_text("def long(completion, task):\n    return min(len(completion) / 200, 1.0)\n")
    found = probed(tmp_path, "sound", [f"{own}:long"])
    assert ("long", "object", "a thousand boxes") in flagged(found)
    given = "--conversations", tmp_path / "c.jsonl", "--own", f"{own}:long"
    assert main(["probe-reward", "sound", *map(str, given), "--out", str(tmp_path / "p.json")]) == 0
    said = capsys.readouterr().out
    assert "PAYS TOO MUCH: long (object), a thousand boxes: share " in said
    result = json.loads((tmp_path / "p.json").read_text())
    count = sum(p["pays_too_much"] for p in result["probes"])
    assert said.splitlines()[-1].endswith(f"that pay too much {count}")


def test_true_answers_that_earn_nothing_are_an_error(tmp_path):
    write_jsonl(tmp_path / "c.jsonl", [row for row in rows() if row["task"] == "object"])
    with pytest.raises(UserError, match=r"c\.jsonl: the true answers earn nothing.*reasoning"):
        probe(tmp_path / "c.jsonl", "thesis")
