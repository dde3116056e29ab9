"""How many object completions a second the rewards of both suites do, on one core.

make benchmark-rewards

The completions are drawn: one to six boxes each, most of them near the true ones, with labels of
several words, some right; a tenth is cut short or has prose around it.
"""

import argparse
import json
import random
import time

from legor1.evaluation.reward_probe import paid
from legor1.evaluation.suites import SUITES

COLOURS = ("red", "blue", "sand green", "dark tan", "light grey", "bright orange", "trans-clear")
PARTS = ("2x4 brick", "1x2 plate", "slope 45", "technic pin", "wheel hub", "1x1 round tile")


def main() -> None:
    """Print a line a suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--completions", type=int, default=10_000)
    count = parser.parse_args().completions
    rng = random.Random(0)
    for name in ("sound", "thesis"):
        suite = SUITES[name]
        row = {"task": "object"}
        paid(suite, suite.rewards, row, *rollout(rng))  # what is imported once does not count
        rollouts = [rollout(rng) for _ in range(count)]
        began = time.process_time()
        rewards = [paid(suite, suite.rewards, row, *texts)["object"] for texts in rollouts]
        seconds = time.process_time() - began
        print(
            f"{name:>6}: {count / seconds:,.0f} object completions a second"
            f" ({count:,} in {seconds:.2f} s of one core, mean reward {sum(rewards) / count:.3f})"
        )


def rollout(rng: random.Random) -> tuple[str, str]:
    """Return a completion and its solution."""
    true = [item(rng) for _ in range(rng.randint(1, 6))]
    said = [shifted(one, rng) if rng.random() < 0.8 else item(rng) for one in true]
    text = json.dumps(said)
    if rng.random() < 0.1:
        text = rng.choice([text[: len(text) * 3 // 4], f"Here they are: {text}. Is that right?"])
    text = f"<think>First I look for the pieces.</think><answer>{text}</answer>"
    return text, f"<answer>{json.dumps(true)}</answer>"


def item(rng: random.Random) -> dict[str, object]:
    """Return a box anywhere with a label."""
    x, y = rng.randrange(800), rng.randrange(800)
    box = [x, y, x + rng.randrange(20, 200), y + rng.randrange(20, 200)]
    label = f"{rng.randint(1, 20)} {rng.choice(COLOURS)} {rng.choice(PARTS)}"
    return {"bbox_2d": box, "label": label}


def shifted(one: dict[str, object], rng: random.Random) -> dict[str, object]:
    """Return a box near ``one``, half of the time with its label."""
    box = [value + rng.randint(-9, 9) for value in one["bbox_2d"]]
    return {"bbox_2d": box, "label": one["label"] if rng.random() < 0.5 else item(rng)["label"]}


if __name__ == "__main__":
    main()
