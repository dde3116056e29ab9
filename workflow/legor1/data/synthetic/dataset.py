"""A dataset tree of drawn brick scenes in LEGO-ARTA's layout, oddities of the real one included.

``legor1 synthesize DIR --manuals 30 --steps 12 --objects 60 --seed 7`` writes, for each manual,
``steps`` true step images with a falsified one each (tasks grounding and state) and ``objects``
part call-outs (task object). Every picture depends on the seed, its manual and its name alone.
"""

import json
import multiprocessing
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path

from PIL.Image import Image

from legor1.core.boxes import Size
from legor1.core.errors import UserError
from legor1.core.files import atomic_folder, write_json, write_text
from legor1.core.progress import Progress
from legor1.core.seeding import generator
from legor1.data.synthetic import scenes
from legor1.data.synthetic.looks import MANUAL_LOOK
from legor1.data.synthetic.wording import BARE, PROMPTS

IMAGE_SIZES = ((480, 360), (360, 480), (420, 420), (540, 300))
SMALLEST, LARGEST, MOST_ELONGATED = 64, 4096, 3  # beyond these, counts and studs cannot be read
URI = "file:///mnt/arta/lego"  # where the dialogues claim the images lie
MARKER = "synthetic.json"
FILES = {
    "grounding": "grounding_qwen.jsonl",
    "object": "object_qwen_new.jsonl",
    "state": "state_qwen.jsonl",
}
COPIED = 4  # one true image in so many has its copy in step_dataset, and its own row

Turns = list[dict]


@dataclass(frozen=True)
class Plan:
    """What every manual of a tree has in common."""

    steps: int
    objects: int
    seed: int
    sizes: tuple[Size, ...]


@dataclass
class Manual:
    """One manual as it is drawn: its instructions and its dialogues by task."""

    name: str
    instructions: list[dict] = field(default_factory=list)
    dialogues: dict[str, list[Turns]] = field(default_factory=lambda: {t: [] for t in FILES})

    def instruct(self, text: list[str], vlm: dict | None) -> None:
        """Add the next instruction."""
        number = len(self.instructions)
        self.instructions.append({"instruction_id": number, "text": text, "VLM": vlm})

    def illustrate(self, text: list[str], image: str, step_class: str, number: int) -> None:
        """Add the next instruction, with an image; some step numbers are strings."""
        path, step = f"arta/lego/{self.name}/images/{image}", number if number % 3 else str(number)
        self.instruct(text, {"img_path": path, "step_class": step_class, "step_num": step})

    def ask(self, task: str, image: str, prompt: str, answer: str) -> None:
        """Add a dialogue."""
        shown = {"type": "image", "image": f"{URI}/{self.name}/images/{image}"}
        asked = {"role": "user", "content": [shown, {"type": "text", "text": prompt}]}
        answered = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        self.dialogues[task].append([asked, answered])


def parse_sizes(text: str) -> tuple[Size, ...]:
    """Read ``480x360,360x480`` as (width, height) pairs in pixels.

    Raises:
        UserError: it says something else, or a size that no booklet page has.
    """
    matches = [re.fullmatch(r"\s*(\d{1,5})x(\d{1,5})\s*", piece) for piece in text.split(",")]
    sizes = tuple((int(match[1]), int(match[2])) for match in matches if match)
    if len(sizes) < len(matches):
        raise UserError(
            f"image sizes {text!r} cannot be read. Remedy: write WIDTHxHEIGHT in pixels, "
            "several separated by commas, such as 480x360,360x480."
        )
    _check_sizes(sizes)
    return sizes


def synthesize(
    root: Path,
    *,
    manuals: int,
    steps: int,
    objects: int,
    seed: int,
    image_sizes: Sequence[Size] = IMAGE_SIZES,
    workers: int = 1,
) -> None:
    """Draw a dataset tree at ``root``; it appears whole or not at all.

    Args:
        root: the tree's folder; one that an earlier call made is replaced.
        manuals: how many manuals; each is independent of how many there are.
        steps, objects: step images, each with a falsified one, and part call-outs a manual.
        image_sizes: (width, height) in pixels; each image has one of them.
        workers: processes to draw with; the tree is the same however many.

    Raises:
        UserError: ``root`` holds something else, or an argument makes no sense.
    """
    root, plan = Path(root).resolve(), Plan(steps, objects, seed, tuple(image_sizes))
    _check(plan, manuals, workers)
    with atomic_folder(root, MARKER) as temporary:
        drawn = _draw_all(temporary, plan, manuals, workers)
        _add_oddities(temporary, plan, drawn[0])
        _write_texts(temporary, drawn)
        write_json(temporary / MARKER, {"schema_version": 1, "manuals": manuals, **vars(plan)})


def _check(plan: Plan, manuals: int, workers: int) -> None:
    amounts = {"manuals": manuals, "steps": plan.steps, "objects": plan.objects, "workers": workers}
    for name, amount in amounts.items():
        if amount < 1:
            raise UserError(f"{name} is {amount}. Remedy: ask for at least 1.")
    _check_sizes(plan.sizes)


def _check_sizes(sizes: Sequence[Size]) -> None:
    if not sizes:
        raise UserError("no image size is given. Remedy: give at least one, such as 480x360.")
    for width, height in sizes:
        short, long = sorted((width, height))
        if short < SMALLEST or long > LARGEST or long > short * MOST_ELONGATED:
            raise UserError(
                f"an image of {width}x{height} pixels cannot show bricks well. Remedy: keep "
                f"its sides between {SMALLEST} and {LARGEST}, the longer at most {MOST_ELONGATED} "
                "times the shorter."
            )


def _draw_all(root: Path, plan: Plan, manuals: int, workers: int) -> list[Manual]:
    names = [f"lego-demo-{number:03d}" for number in range(1, manuals + 1)]
    draw = partial(_draw_manual, root, plan)
    progress = partial(Progress, total=manuals, desc="Drawing", unit="manuals")
    if workers == 1:
        return list(progress(map(draw, names)))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return list(progress(pool.map(draw, names)))


def _draw_manual(root: Path, plan: Plan, name: str) -> Manual:
    manual = Manual(name)
    manual.instruct(["Welcome. Lay out the parts before you build."], None)
    for number in range(1, plan.objects + 1):
        page = [f"Find {box['label']}." for box in _draw_object(root, plan, manual, number)]
        manual.illustrate(page, f"{number}_eop.png", "eop", number)
    models = (generator(plan.seed, "model", f"{name}/{number}") for number in count(1))
    grown = chain.from_iterable(scenes.grow_model(rng, MANUAL_LOOK) for rng in models)
    for number, step in zip(range(1, plan.steps + 1), grown, strict=False):
        if not step.before:
            manual.instruct([BARE], None)
        manual.illustrate([step.text], f"{number}_step.png", "step", number)
        _draw_step(root, plan, manual, number, step)
    return manual


def _draw_object(root: Path, plan: Plan, manual: Manual, number: int) -> list[dict]:
    image = f"{number}_eop.png"
    rng = generator(plan.seed, "object", f"{manual.name}/{image}")
    size = plan.sizes[rng.integers(len(plan.sizes))]
    picture, parts = scenes.draw_call_out(rng, size, MANUAL_LOOK)
    _save(picture, root / "object_dataset/lego" / manual.name / "images" / image)
    boxes = [{"bbox_2d": list(box), "label": part.label} for box, part in parts]
    manual.ask("object", image, PROMPTS["object"], json.dumps(boxes))
    return boxes


def _draw_step(root: Path, plan: Plan, manual: Manual, number: int, step: scenes.Step) -> None:
    rng = generator(plan.seed, "step", f"{manual.name}/{number}_step")
    size = plan.sizes[rng.integers(len(plan.sizes))]
    true, fake = f"{number}_step.png", f"{number}_step_fake1.png"
    folders = [root / side / manual.name / "images" for side in ("lego", "step_dataset/lego")]
    draw = partial(scenes.draw_step, number, step.before, size=size, look=MANUAL_LOOK)
    _save(draw(step.added), folders[0] / true)
    _save(draw(scenes.falsify(rng, step, MANUAL_LOOK)), folders[1] / fake)
    manual.ask("grounding", true, PROMPTS["grounding"], step.text)
    if number % COPIED == 1:
        shutil.copyfile(folders[0] / true, folders[1] / true)
        manual.ask("state", true, f"{step.text} {PROMPTS['state']}", "Yes.")
    manual.ask("state", fake, f"{step.text} {PROMPTS['state']}", "No.")


def _save(picture: Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, compress_level=2)


def _add_oddities(root: Path, plan: Plan, manual: Manual) -> None:
    """Put each of the real dataset's oddities into a manual; those that cost a row add one."""
    grounding, objects, state = (manual.dialogues[task] for task in FILES)
    first = json.loads(objects[0][1]["content"][0]["text"])
    objects[0][1]["content"][0]["text"] = repr(first)  # a Python literal, not JSON
    state[-1][1]["content"][0]["text"] = "Yes."  # a falsified image that the answer calls true
    folder = root / "step_dataset/lego" / manual.name / "images"
    fake = f"{plan.steps}_step_fake1.png"
    (folder / fake).rename(folder / fake.replace("fake1", "fake2"))
    shown = state[-1][0]["content"][0]
    shown["image"] = shown["image"].replace("_fake1", "fake2")
    manual.instructions[0]["text"] = manual.instructions[0]["text"][0]  # a string, not a list
    vlm = manual.instructions[plan.objects]["VLM"]
    vlm["step_class"] = vlm["step_num"] = None
    objects.append(objects[-1])
    beyond = f"{plan.steps + 1}_step.png"  # no such image
    manual.ask("grounding", beyond, PROMPTS["grounding"], "Admire your model.")
    grounding.append([dict(turn, content=turn["content"][-1:]) for turn in grounding[0]])
    _draw_object(root, plan, manual, plan.objects + 1)
    answer = objects[-1][1]["content"][0]
    boxes = [box | {"label": "ImageContent"} for box in json.loads(answer["text"])]
    answer["text"] = json.dumps(boxes)


def _write_texts(root: Path, manuals: Sequence[Manual]) -> None:
    for manual in manuals:
        content = {"manual_id": manual.name, "instructions": manual.instructions}
        write_json(root / "json_data" / f"{manual.name}.json", content)
    for task, name in FILES.items():
        rows = chain.from_iterable(manual.dialogues[task] for manual in manuals)
        stream = "\n\n".join(json.dumps(row, indent=1) for row in rows)
        write_text(root / "qwen_data" / name, stream + "\n")
