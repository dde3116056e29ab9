"""LLaMA-Factory: sharegpt JSONL with ``<image>`` placeholders, and dataset_info.json.

LLaMA-Factory resizes an image by a rule of its own (``image_max_pixels``), then Qwen2.5-VL's
processor by another, and no box in the text follows. With a pixel budget, images are therefore
exported at the size that the processor makes of them, with boxes in their pixels: neither resizes
them again as long as ``image_max_pixels`` is no less than the budget. Without one, images and boxes
are the original ones.

Demonstrations are earlier turns; ``mask_history: true`` keeps their answers out of the loss.
"""

from pathlib import Path
from typing import Any

from legor1.core.boxes import PixelBudget, rescale_text
from legor1.core.errors import UserError
from legor1.core.files import write_json, write_jsonl
from legor1.data.export.exported_images import Images, Row

PLACEHOLDERS = ("<image>", "<video>", "<audio>")
# Qwen2.5-VL's own processor leaves images alone whose pixels are between these.
LEAST, MOST = 3136, 12845056


def check_budget(budget: PixelBudget) -> None:
    """Check that the model's processor does not resize the exported images again.

    Raises:
        UserError: it would.
    """
    if budget.min_pixels < LEAST or budget.max_pixels > MOST:
        raise UserError(
            f"Qwen2.5-VL's processor resizes images outside {LEAST} to {MOST} pixels again, so the "
            f"boxes would be off. Remedy: keep --min-pixels and --max-pixels within these."
        )


def write(sides: dict[str, list[Row]], images: Images, folder: Path) -> None:
    """Write one JSONL a side, dataset_info.json and the images into ``folder``.

    Raises:
        UserError: a text holds a placeholder of LLaMA-Factory's, or an image is not right.
    """
    for side, rows in sides.items():
        write_jsonl(folder / f"{side}.jsonl", (_example(row, images) for row in rows))
    write_json(folder / "dataset_info.json", {f"legor1_{side}": _entry(side) for side in sides})


def _entry(side: str) -> dict[str, Any]:
    return {
        "file_name": f"{side}.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }


def _example(row: Row, images: Images) -> Row:
    turns = [*row["demonstrations"], row]
    messages, paths = [], [images.place(turn) for turn in turns]
    for turn in turns:
        _check_text(turn)
        answer = turn["file_response" if "file_response" in turn else "response"]
        if row.get("box_frame", "processed") == "processed":
            answer = rescale_text(answer, (turn["width"], turn["height"]), images.size(turn))
        messages.append({"role": "user", "content": PLACEHOLDERS[0] + turn["prompt"]})
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages, "images": paths}


def _check_text(turn: Row) -> None:
    found = [one for one in PLACEHOLDERS if one in turn["prompt"] + turn["response"]]
    if found:
        raise UserError(
            f"{turn['instance_id']}: its text holds {found[0]}, which LLaMA-Factory would take for "
            "an image, a video or a sound. Remedy: leave the row out, or change its text."
        )
