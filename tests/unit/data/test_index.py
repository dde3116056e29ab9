"""Reading a dataset tree: every quirk is kept or set aside, none lost."""

import itertools
import json

import pyarrow.parquet as pq
import pytest
from trees import BOX, Tree, check_schema, instruction, reasons_of, records_of, rows_of, turns

from legor1.core import images
from legor1.core.errors import UserError
from legor1.core.files import read_jsonl
from legor1.data.instances import COLUMNS, read_records
from legor1.data.lego_arta.index import index, write_index

GROUNDING, OBJECT, STATE = "grounding_qwen.jsonl", "object_qwen_new.jsonl", "state_qwen.jsonl"


@pytest.fixture
def tree(tmp_path):
    """A tree that has one good object row, so that it is a tree whatever a test adds."""
    tree = Tree(tmp_path / "tree")
    tree.objects("m1/images/1_eop.png", BOX)
    return tree


def test_an_object_row(tree):
    rows, quarantine = rows_of(tree)
    assert not quarantine
    assert rows["object/m1/images/1_eop"] == {
        "instance_id": "object/m1/images/1_eop",
        "task": "object",
        "manual": "m1",
        "image": "object_dataset/lego/m1/images/1_eop.png",
        "image_width": 400,
        "image_height": 300,
        "prompt": "Which parts?",
        "response": BOX,
        "step_class": "eop",
        "step_num": None,
        "previous_instruction": "",
        "step_instruction": "",
        "step_previous_instruction": "",
        "falsified": False,
        "file_response": BOX,
        "file_frame": "pixels",
    }


def test_metadata_gives_class_number_and_instructions(tree):
    tree.manual(
        "m1",
        instruction(4, ["Turn it.", "Hold it."]),
        instruction(5, "Add a brick.", "m1/images/a.png", "step", "7"),
        instruction(6, "Look.", "m1/images/b.png", "eop", 8),
    )
    tree.image("lego/m1/images/a.png")
    tree.ask(GROUNDING, "m1/images/a.png", "Add it.")
    tree.objects("m1/images/b.png", BOX)
    rows, quarantine = rows_of(tree)
    assert not quarantine
    step = rows["grounding/m1/images/a"]
    assert (step["step_class"], step["step_num"], step["response"]) == ("step", 7, "Add it.")
    assert step["step_previous_instruction"] == "Turn it. Hold it."
    assert step["previous_instruction"] == ""  # the published loader drops what has no view
    assert step["step_instruction"] == "Add a brick."
    eop = rows["object/m1/images/b"]
    assert (eop["step_class"], eop["step_num"], eop["previous_instruction"]) == ("eop", 8, "")


@pytest.mark.parametrize(
    ("name", "step_class", "number"),
    [
        ("page_3_12_STEP_.png", "step", 12),
        ("page-12_step_b.png", "step", 12),
        ("page_4_b_EoP.png", "eop", 4),
        ("12_step_4_eop.png", "step", None),
        ("p_12_step.png", "", None),
        ("footsteps.png", "", None),
    ],
)
def test_the_file_name_decides_where_metadata_do_not(name, step_class, number):
    from legor1.data.lego_arta.steps import step_of_name

    step = step_of_name(name)
    assert (step.step_class, step.number) == (step_class, number)


def test_metadata_without_a_class_leave_it_to_the_name(tree):
    tree.manual("m1", instruction(1, "One.", "m1/images/p_9_step_.png", None, 3))
    tree.image("lego/m1/images/p_9_step_.png")
    tree.ask(GROUNDING, "m1/images/p_9_step_.png", "Do.")
    row = rows_of(tree)[0]["grounding/m1/images/p_9_step_"]
    assert (row["step_class"], row["step_num"], row["step_instruction"]) == ("step", 9, "One.")


def test_each_task_keeps_its_classes(tree):
    tree.manual(
        "m1",
        instruction(1, "a", "m1/images/a.png", "fullscreeneop", 1),
        instruction(2, "b", "m1/images/b.png", "step", None),
    )
    for name in ("a", "b", "c"):
        tree.image(f"lego/m1/images/{name}.png")
        tree.image(f"step_dataset/lego/m1/images/{name}.png")
        tree.ask(GROUNDING, f"m1/images/{name}.png", "Do.")
        tree.ask(STATE, f"m1/images/{name}.png")
        tree.objects(f"m1/images/{name}.png", BOX)
    rows, quarantine = rows_of(tree)
    assert list(rows) == [
        "object/m1/images/1_eop",
        "state/m1/images/a@step_dataset",
        "state/m1/images/b@step_dataset",
    ]
    assert [entry["reason"] for entry in quarantine] == [
        "class fullscreeneop is not of the grounding task",
        "no step number",
        "class unknown is not of the grounding task",
        "class fullscreeneop is not of the object task",
        "class step is not of the object task",
        "class unknown is not of the object task",
        "class unknown is not of the state task",
    ]


@pytest.fixture
def states(tree):
    """Two falsified images of one step; the true image lies in both folders, with a row."""
    tree.manual(
        "m1",
        instruction(1, "First.", "m1/images/p_1_step.png", "step", 1),
        instruction(2, "Second.", "m1/images/p_2_step.png", "step", 2),
    )
    tree.image("lego/m1/images/p_2_step.png", colour=1)
    tree.image("step_dataset/lego/m1/images/p_2_step.png", colour=2)
    tree.image("step_dataset/lego/m1/images/p_2_step_fake1.png", colour=3)
    tree.image("step_dataset/lego/m1/images/p_2_step_fake12.png", colour=4)
    tree.ask(STATE, "m1/images/p_2_step_fake1.png", "Yes.")
    tree.ask(STATE, "m1/images/p_2_stepfake12.png", "")
    return tree


def test_the_name_tells_a_falsified_state_and_the_true_one_is_added(states):
    rows, quarantine = rows_of(states)
    assert not quarantine
    seen = {key: (row["response"], row["image"]) for key, row in rows.items() if key[0] == "s"}
    folder = "step_dataset/lego/m1/images"
    assert seen == {
        "state/m1/images/p_2_step": ("Yes.", "lego/m1/images/p_2_step.png"),
        "state/m1/images/p_2_step_fake1": ("No.", f"{folder}/p_2_step_fake1.png"),
        "state/m1/images/p_2_step_fake12": ("No.", f"{folder}/p_2_step_fake12.png"),
    }
    assert [row["falsified"] for key, row in rows.items() if key[0] == "s"] == [False, True, True]


def test_the_step_of_a_falsified_image_is_that_of_its_true_image(states):
    rows, _ = rows_of(states)
    true, fake = rows["state/m1/images/p_2_step"], rows["state/m1/images/p_2_step_fake1"]
    for row in (true, fake):
        assert (row["step_instruction"], row["step_previous_instruction"]) == ("Second.", "First.")
    assert (true["previous_instruction"], fake["previous_instruction"]) == ("First.", "")


def test_the_copy_in_step_dataset_is_an_instance_of_its_own(states):
    states.ask(STATE, "m1/images/p_2_step.png")
    states.ask(STATE, "m1/images/p_2_step.png")
    rows, quarantine = rows_of(states)
    assert [(e["position"], e["reason"]) for e in quarantine] == [
        (4, "repeats an image of its task")
    ]
    added, copy = (rows[f"state/m1/images/p_2_step{end}"] for end in ("", "@step_dataset"))
    assert added["image"] == "lego/m1/images/p_2_step.png"
    assert copy["image"] == "step_dataset/lego/m1/images/p_2_step.png"
    for row in (added, copy):
        assert (row["response"], row["falsified"]) == ("Yes.", False)
        assert (row["previous_instruction"], row["step_num"]) == ("First.", 2)


def test_the_true_image_of_a_falsified_one_that_cannot_be_used_is_added(tree):
    tree.manual("m1", instruction(1, "One.", "m1/images/a.png", "step", 1))
    tree.image("lego/m1/images/a.png")
    tree.image("step_dataset/lego/m1/images/a_fake1.png")
    tree.ask(STATE, "m1/images/a_fake1.png")
    tree.ask(STATE, "m1/images/b_fake1.png")
    rows, quarantine = rows_of(tree)
    assert rows["state/m1/images/a"]["response"] == "Yes."
    assert [e["reason"] for e in quarantine] == [
        "class unknown is not of the state task",
        "image missing",
    ]


def test_a_true_image_that_cannot_be_used_is_set_aside(states):
    (states.root / "lego/m1/images/p_2_step.png").write_text("no image")
    rows, quarantine = rows_of(states)
    assert "state/m1/images/p_2_step" not in rows
    assert [(e["position"], e["reason"], e["image"]) for e in quarantine] == [
        (1, "image unreadable", "lego/m1/images/p_2_step.png")
    ]


def test_a_true_image_that_is_not_in_lego_is_not_added(states):
    (states.root / "lego/m1/images/p_2_step.png").unlink()
    rows, quarantine = rows_of(states)
    assert "state/m1/images/p_2_step" not in rows
    assert not quarantine


def test_broken_rows_are_set_aside_and_the_next_row_is_read(tree):
    tree.raw(OBJECT, '[{"role": "user", "content": [\n')
    tree.raw(OBJECT, '{"role": "user"}')
    tree.raw(OBJECT, "[1, 2]")
    tree.ask(OBJECT, None, BOX)
    tree.raw(OBJECT, json.dumps(turns("file:///x/lego/m1/images/1_eop.png", "", BOX)))
    tree.ask(OBJECT, "m1/images/1_eop.png", BOX)
    tree.ask(OBJECT, "m1/images/none_eop.png", BOX)
    tree.raw(OBJECT, json.dumps(turns("file:///elsewhere/1_eop.png", "?", BOX)))
    (tree.root / "object_dataset/lego/m1/images/text_eop.png").write_text("no image")
    tree.ask(OBJECT, "m1/images/text_eop.png", BOX)
    tree.objects("m1/images/thin_eop.png", BOX, size=(1000, 2))
    tree.objects("m1/images/last_eop.png", BOX)
    rows, quarantine = rows_of(tree)
    assert list(rows) == ["object/m1/images/1_eop", "object/m1/images/last_eop"]
    assert [(e["position"], e["reason"]) for e in quarantine] == [
        (2, "not JSON"),
        (3, "not a dialogue"),
        (4, "no image in the dialogue"),
        (5, "no prompt in the dialogue"),
        (6, "repeats an image of its task"),
        (7, "image missing"),
        (8, "image not in lego/<manual>/"),
        (9, "image unreadable"),
        (10, "image too elongated"),
    ]


def test_a_stream_holds_several_dialogues_in_a_line_and_one_in_several(tmp_path):
    tree = Tree(tmp_path)
    both = []
    for name in ("1_eop", "2_eop"):
        tree.image(f"object_dataset/lego/m1/images/{name}.png")
        both.append(json.dumps(turns(f"file:///lego/m1/images/{name}.png", "?", BOX)))
    tree.raw("object/object_qwen_new.jsonl", "\ufeff" + "  ".join(both))
    tree.ask("object/object_qwen_new.jsonl", "m1/images/1_eop.png", BOX)
    rows, quarantine = rows_of(tree)
    assert len(rows) == 2
    assert [e["position"] for e in quarantine] == [3]


def test_an_image_that_claims_too_many_pixels_is_not_opened(tree, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 400 * 300)
    tree.objects("m1/images/2_eop.png", BOX, size=(401, 300))
    tree.objects("m1/images/3_eop.png", BOX, size=(900, 300))
    assert reasons_of(tree) == ["image too large"] * 2


def test_no_path_leads_out_of_the_tree(tree, tmp_path):
    outside = Tree(tmp_path / "outside")
    outside.objects("m1/images/1_eop.png", BOX)
    folder = tree.root / "object_dataset/lego"
    (folder / "m1/images/link_eop.png").symlink_to(
        tmp_path / "outside/object_dataset/lego/m1/images/1_eop.png"
    )
    (folder / "m2").symlink_to(outside.root / "object_dataset/lego/m1")
    (tree.root / "qwen_data/object").symlink_to(outside.root / "qwen_data")
    (tree.root / "qwen_data/state_qwen.jsonl").symlink_to(outside.root / "qwen_data" / OBJECT)
    (tree.root / "json_data").mkdir()
    (tree.root / "json_data/m.json").symlink_to(outside.root / "qwen_data" / OBJECT)
    for image in (
        "../../../outside/object_dataset/lego/m1/images/1_eop.png",
        "m1/images/link_eop.png",
        "m2/images/1_eop.png",
        "m1/images/1\0_eop.png",
        "m1/images/" + "x" * 300 + "_eop.png",
        "/etc/hostname_eop.png",
        "m1/images/\ud800_eop.png",
    ):
        tree.ask(OBJECT, image, BOX)
    tree.ask(OBJECT, "m1//images/../images/1_eop.png", BOX)
    rows, quarantine = rows_of(tree)
    assert list(rows) == ["object/m1/images/1_eop"]
    assert [(e["file"], e["reason"]) for e in quarantine] == [
        ("json_data/m.json", "path leaves the tree"),
        (f"qwen_data/{OBJECT}", "image not in lego/<manual>/"),
        (f"qwen_data/{OBJECT}", "path leaves the tree"),
        (f"qwen_data/{OBJECT}", "path leaves the tree"),
        *[(f"qwen_data/{OBJECT}", "image missing")] * 4,
        (f"qwen_data/{OBJECT}", "repeats an image of its task"),
        ("qwen_data/state_qwen.jsonl", "path leaves the tree"),
    ]


def test_metadata_that_are_not_understood_are_set_aside(tree):
    tree.manual("m1", {"instruction_id": "x"}, instruction(2, "b"), "text")
    (tree.root / "json_data/broken.json").write_text("{")
    quarantine = index(tree.root).quarantine
    assert [(e["file"], e["position"], e["reason"]) for e in quarantine] == [
        ("json_data/broken.json", 0, "metadata not understood"),
        ("json_data/part/m1.json", 1, "metadata not understood"),
        ("json_data/part/m1.json", 3, "metadata not understood"),
    ]


def test_the_published_loader_keeps_only_instructions_with_a_view(tmp_path):
    """Its rule by brute force, on manuals of all patterns of views, classes and gaps."""
    tree, told = Tree(tmp_path), {}
    for number, (views, step_class, gap) in enumerate(
        itertools.product(itertools.product((True, False), repeat=3), ("step", "eop"), (0, 1))
    ):
        name = f"m{number}"
        ids = [1, 2, 3 + gap]
        told[name] = [
            instruction(i, f"{name} {i}", f"{name}/images/{i}.png" if view else None, step_class, i)
            for i, view in zip(ids, views, strict=True)
        ]
        tree.manual(name, *told[name])
        for i in ids:
            tree.image(f"lego/{name}/images/{i}.png", colour=i)
            tree.image(f"step_dataset/lego/{name}/images/{i}.png", colour=i)
            tree.ask(GROUNDING, f"{name}/images/{i}.png", "Do.")
            tree.ask(STATE, f"{name}/images/{i}.png")
    rows, _ = rows_of(tree)
    differ = 0
    for row in rows.values():
        every = told[row["manual"]]
        loaded = [one for one in every if one["VLM"]]
        own = next(one for one in loaded if one["VLM"]["img_path"].endswith(row["image"][-12:]))
        before = own["instruction_id"] - 1
        for column, known in (
            ("previous_instruction", loaded),
            ("step_previous_instruction", every),
        ):
            texts = [one["text"] for one in known if one["instruction_id"] == before]
            wanted = texts[0] if texts and own["VLM"]["step_class"] == "step" else ""
            assert row[column] == wanted
        differ += row["previous_instruction"] != row["step_previous_instruction"]
    assert len(rows) > 60 and differ > 5


def test_names_and_numbers_that_no_file_can_hold_cost_one_row(states, tmp_path):
    (states.root / "json_data/inf.json").write_text(
        '{"manual_id": "x", "instructions": [{"instruction_id": Infinity}]}'
    )
    for name in ("json_data/\udcff.json", "qwen_data/\udcff/object_qwen.jsonl"):  # byte 255
        (states.root / name).parent.mkdir(exist_ok=True)
        (states.root / name).write_text("{}")
    write_index(states.root, tmp_path / "i.parquet", tmp_path / "q.jsonl")
    said = [(row["file"], row["reason"]) for row in read_jsonl(tmp_path / "q.jsonl")]
    assert said == [
        ("json_data/?.json", "metadata not understood"),
        ("json_data/inf.json", "metadata not understood"),
        ("qwen_data/?/object_qwen.jsonl", "not a dialogue"),
    ]
    check_schema("quarantine", *read_jsonl(tmp_path / "q.jsonl"))


def test_files_are_read_back_and_counts_add_up(states, tmp_path):
    states.ask(STATE, "m1/images/p_2_step.png")
    states.ask(GROUNDING, "m1/images/none.png", "Do.")
    states.objects("m1/images/5_eop.png", BOX.replace("red", "\ud800 \\ud800"))
    out, quarantine = tmp_path / "out/instances.parquet", tmp_path / "out/quarantine.jsonl"
    (states.root / "json_data/broken.json").write_text("{")
    counts = write_index(states.root, out, quarantine)
    assert counts == {
        "object_frame": "pixels",
        "object_answers": 2,
        "largest_coordinate": 310,
        "largest_share": 0.775,
        "dialogues": 6,
        "true_images": 1,
        "metadata": 1,
        "rows": {"object": 2, "state": 4},
        "quarantined": {"image missing": 1, "metadata not understood": 1},
    }
    kept, aside = (sum(counts[name].values()) for name in ("rows", "quarantined"))
    assert kept + aside == counts["dialogues"] + counts["true_images"] + counts["metadata"]
    assert (len(read_records(out)), len(read_jsonl(quarantine))) == (kept, aside)
    assert json.loads(pq.read_schema(out).metadata[b"legor1"]) == {"schema_version": 2} | counts
    records = records_of(states)
    assert read_records(out) == records
    assert [list(row) for row in records] == [list(COLUMNS)] * len(records)
    assert [row["instance_id"] for row in records] == sorted(row["instance_id"] for row in records)
    check_schema("quarantine", *read_jsonl(quarantine))


def test_the_files_are_the_same_bytes_however_often_they_are_written(states, tmp_path):
    states.objects("m/images/1_eop.png", BOX)
    written = []
    for name in "ab":
        paths = tmp_path / f"{name}.parquet", tmp_path / f"{name}.jsonl"
        write_index(states.root, *paths)
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]


def test_a_folder_that_is_no_tree_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} is not a dataset tree.*qwen_data.*Remedy: "):
        index(tmp_path)
    tree = Tree(tmp_path / "tree")
    with pytest.raises(UserError, match=r"no usable row was found \(no dialogue\).*Remedy: "):
        index(tree.root)
    tree.ask(OBJECT, "m1/images/1_eop.png", BOX)
    with pytest.raises(UserError, match=r"\(image missing: 1\)"):
        index(tree.root)
