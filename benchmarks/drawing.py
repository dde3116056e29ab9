"""The data of benchmarks: drawn manuals, made into conversations by the pipeline's own commands."""

from pathlib import Path

SIZES = "480x360,360x480,420x420,540x300"


def draw(folder: Path, manuals: int, steps: int, objects: int, sizes: str = SIZES) -> Path:
    """Draw manuals into ``folder``/tree; return the folder of their train.jsonl and test.jsonl.

    Args:
        folder: to write to.
        manuals: how many.
        steps, objects: of each manual.
        sizes: of the images, WIDTHxHEIGHT, separated by commas.
    """
    from legor1.cli.main import main

    tree, instances, split = (str(folder / n) for n in ("tree", "instances.parquet", "split.json"))
    scenes = ["--manuals", manuals, "--steps", steps, "--objects", objects, "--seed", 7]
    main(["synthesize", tree, *map(str, scenes), "--image-size", sizes])
    main(["index", tree, "--out", instances, "--quarantine", str(folder / "quarantine.jsonl")])
    main(["split", instances, "--tree", tree, "--seed", "42", "--out", split])
    main(["convert", instances, split, "--seed", "42", "--out", str(folder / "conversations")])
    return folder / "conversations/plain"
