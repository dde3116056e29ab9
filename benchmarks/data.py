"""How long the data stages take on a tree of LEGO-ARTA's full size, beside the least it could be.

    python benchmarks/data.py                  # 100 manuals x 56 steps, 191 objects each
    python benchmarks/data.py --scale 10       # ten times the manuals
    python benchmarks/data.py --tree /tmp/t    # keep the tree there, and use it again

The floor is what any reader must do: decode all JSON, and read the first 24 bytes of every image.
Floor and stages run in turn, several times, each in a process of its own; the table shows medians.
The images are stripes of two greys, not bricks: the stages read no pixels.
"""

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

STEPS, OBJECTS, MANUALS = 56, 191, 100
WIDTH, HEIGHT = 640, 480
URI = "file:///mnt/arta/lego"
WORDS = ("Place", "the", "red", "1x2", "plate", "on", "top", "of", "the", "blue", "brick.")

Turns = list[dict]


def main() -> None:
    """Draw the tree, run floor and stages, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=int, default=1, help="times the full size (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--tree", type=Path, help="the tree's folder; drawn if it is not there")
    parser.add_argument("--floor", type=Path, help=argparse.SUPPRESS)  # run only this
    given = parser.parse_args()
    if given.floor:
        floor(given.floor)
        return
    with tempfile.TemporaryDirectory() as temporary:
        tree = given.tree or Path(temporary, "tree")
        if not tree.exists():
            began = time.perf_counter()
            files = draw(tree, MANUALS * given.scale)
            print(f"drew {files:,} images in {time.perf_counter() - began:.1f} s", flush=True)
        report(measure(commands(tree, Path(temporary)), given.repeats))


def commands(tree: Path, out: Path) -> dict[str, list[str]]:
    """Return what is measured, in the order in which it is run."""
    legor1 = [sys.executable, "-m", "legor1.cli.main"]
    instances, sides = str(out / "instances.parquet"), str(out / "split.json")
    quarantine = ["--quarantine", str(out / "quarantine.jsonl")]
    return {
        "floor": [sys.executable, __file__, "--floor", str(tree)],
        "index": [*legor1, "index", str(tree), "--out", instances, *quarantine],
        "split": [*legor1, "split", instances, "--seed", "42", "--out", sides],
        "convert": [*legor1, "convert", instances, sides, "--seed", "42", "--out", str(out)],
    }


def measure(stages: dict[str, list[str]], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Return each stage's (seconds, MiB of its largest process) in every repeat."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in stages}
    for _ in range(repeats):
        for name, command in stages.items():
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                sys.exit(f"{name} failed")
            measured[name].append((time.perf_counter() - began, usage.ru_maxrss / 1024))
    return measured


def report(measured: dict[str, list[tuple[float, float]]]) -> None:
    """Print seconds, their ratio to the floor, and memory."""
    seconds = {name: statistics.median(s for s, _ in runs) for name, runs in measured.items()}
    memory = {name: max(m for _, m in runs) for name, runs in measured.items()}
    stages = [name for name in measured if name != "floor"]
    seconds["together"] = sum(seconds[name] for name in stages)
    memory["together"] = max(memory[name] for name in stages)
    print(f"{'':10}{'seconds':>10}{'x floor':>10}{'MiB':>10}")
    for name, value in seconds.items():
        ratio = value / seconds["floor"]
        print(f"{name:10}{value:10.2f}{ratio:10.2f}{memory[name]:10.0f}")


def floor(tree: Path) -> None:
    """Decode all JSON and read the first 24 bytes of every image, and nothing else."""
    decoder = json.JSONDecoder()
    for folder, _, names in os.walk(tree):
        for name in names:
            path = f"{folder}/{name}"
            if name.endswith(".png"):
                with open(path, "rb") as file:  # noqa: PTH123 (Path takes longer)
                    file.read(24)
            elif name.endswith(".json"):
                json.loads(Path(path).read_bytes())
            elif name.endswith(".jsonl"):
                text, position = Path(path).read_text(encoding="utf-8"), 0
                while position < len(text):
                    _, position = decoder.raw_decode(text, position)
                    while text[position : position + 1].isspace():
                        position += 1


def draw(tree: Path, manuals: int) -> int:
    """Write a tree of ``manuals`` manuals and return how many images it has."""
    asked: dict[str, list[Turns]] = {"grounding": [], "object_new": [], "state": []}
    images = 0
    for number in range(manuals):
        name = f"lego-bench-{number:04d}"
        told = {"manual_id": name, "instructions": instructions(name)}
        write(tree / f"json_data/{name}.json", json.dumps(told).encode())
        for file, task, turns in rows(name):
            data = picture(number, images)
            images += 1
            write(tree / file, data)
            if turns:
                asked[task].append(turns)
    for task, dialogues in asked.items():
        kind, _, new = task.partition("_")
        text = "\n\n".join(json.dumps(turns, indent=1) for turns in dialogues)
        write(tree / f"qwen_data/{kind}_qwen{'_new' if new else ''}.jsonl", text.encode())
    return images


def instructions(manual: str) -> list[dict]:
    """Return a manual's metadata: an instruction a step, each with its image."""
    return [
        {
            "instruction_id": step,
            "text": [f"Step {step}.", sentence(step)],
            "VLM": {
                "img_path": f"arta/lego/{manual}/images/page_{step}_step.png",
                "step_class": "step",
                "step_num": step if step % 3 else str(step),
            },
        }
        for step in range(1, STEPS + 1)
    ]


def rows(manual: str) -> Iterator[tuple[str, str, Turns | None]]:
    """Yield (image, task, dialogue) of each image; a true step's one is asked in grounding."""
    for step in range(1, STEPS + 1):
        true, false = f"page_{step}_step.png", f"page_{step}_step_fake1.png"
        turns = dialogue(manual, true, "What should I do in this step?", sentence(step))
        yield f"lego/{manual}/images/{true}", "grounding", turns
        turns = dialogue(manual, false, "Is this step done correctly?", "No.")
        yield f"step_dataset/lego/{manual}/images/{false}", "state", turns
    for part in range(1, OBJECTS + 1):
        name = f"page_{part}_eop.png"
        turns = dialogue(manual, name, "Which parts are needed for this step?", boxes(part))
        yield f"object_dataset/lego/{manual}/images/{name}", "object_new", turns


def dialogue(manual: str, image: str, prompt: str, answer: str) -> Turns:
    """Return a question and its answer as the dataset writes them."""
    shown = {"type": "image", "image": f"{URI}/{manual}/images/{image}"}
    return [
        {"role": "user", "content": [shown, {"type": "text", "text": prompt}]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]


def sentence(number: int) -> str:
    """Return an instruction of some twenty words."""
    return " ".join(WORDS[(number * i) % len(WORDS)] for i in range(1, 21))


def boxes(number: int) -> str:
    """Return an object answer of one to five boxes, in pixels."""
    found = []
    for i in range(1 + number % 5):
        x, y = 20 + (number * 37 + i * 101) % 500, 20 + (number * 53 + i * 71) % 350
        label = f"{i + 1} {WORDS[2 + i % 3]} plate"
        found.append({"bbox_2d": [x, y, x + 90, y + 60], "label": label})
    return json.dumps(found)


def picture(manual: int, image: int) -> bytes:
    """Return a PNG of one bit a pixel whose first row of stripes tells manual and image apart."""
    row = bytes(WIDTH // 8)
    first = struct.pack(">II", manual, image).ljust(WIDTH // 8, b"\x55")
    pixels = zlib.compress(b"\0" + first + (b"\0" + row) * (HEIGHT - 1), 1)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def write(path: Path, data: bytes) -> None:
    """Write a file, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
