"""The audit finds the leaks of the thesis's protocol, and none in the sound one."""

import io
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from trees import check_schema

from legor1.cli.main import main
from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.core.seeding import pick
from legor1.data.audit import leaks, shortcuts
from legor1.data.audit.audit import write_audit
from legor1.data.audit.evidence import Material, accuracy, read, share, step_of
from legor1.data.conversations import Conversations, write_conversations
from legor1.data.instances import Row, write_instances
from legor1.data.lego_arta.index import index
from legor1.data.lego_arta.steps import true_name
from legor1.data.synthetic.dataset import synthesize
from legor1.published.defects import SWITCHES

SIZES = ((96, 72), (72, 96), (84, 84))


def by_manual(row):
    return row["manual"]


def by_row(row):
    """The thesis's way: a state by its true image, all else by itself."""
    return f"{row['task']} {step_of(true_name(row['image']))}"


class Prepared:
    """A drawn tree, indexed; ``audit`` splits, converts and audits it."""

    def __init__(self, folder):
        self.folder, self.tree = folder, folder / "tree"
        synthesize(self.tree, manuals=24, steps=4, objects=6, seed=3, image_sizes=SIZES)
        self.index()

    def index(self):
        found = index(self.tree)
        self.records = [row._asdict() for row in found.rows.values()]
        write_instances(self.folder / "instances.parquet", found.rows.values(), {})

    def paths(self, name):
        out = self.folder / name
        return self.folder / "instances.parquet", out / "split.json", out

    def prepare(self, name, defects, unit):
        split = {"train": [], "test": []}
        for row in self.records:
            tested = pick(4, 1, "split", unit(row)) == 0
            split["test" if tested else "train"].append(row["instance_id"])
        _, path, out = self.paths(name)
        write_json(path, split)
        made = Conversations(self.records, split, seed=42, defects=defects)
        write_conversations(made, out)

    def audit(self, name, **options):
        out = self.folder / name / "audit.json"
        write_audit(*self.paths(name), out, tree=self.tree, **options)
        return json.loads(out.read_text())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    made = Prepared(tmp_path_factory.mktemp("audited"))
    made.prepare("sound", (), by_manual)
    made.prepare("thesis", SWITCHES, by_row)
    return made


def verdicts(audit, defect):
    return {f["verdict"] for f in audit["findings"] if f["defect"] == defect}


def value(audit, words, variant=None):
    (found,) = [f for f in audit["findings"] if words in f["measured"] and f["variant"] == variant]
    return found["value"]


def test_the_sound_protocol_has_none_of_the_defects(prepared):
    audit = prepared.audit("sound")
    check_schema("audit", audit)
    assert audit["defects_found"] == []
    assert {f["defect"] for f in audit["findings"]} == set(SWITCHES)
    measured = [f for f in audit["findings"] if f["verdict"] == "none"]
    assert all(f["n"] > 50 and f["low"] <= f["value"] <= f["high"] for f in measured)


def test_the_thesis_has_all_that_the_data_show(prepared):
    audit = prepared.audit("thesis")
    check_schema("audit", audit)
    # No answer of the drawn manuals says "yes." or "no." but for states.
    assert set(audit["defects_found"]) == set(SWITCHES) - {"task_by_substring"}
    assert value(audit, "show their own image", "plain") == 0
    assert 0.05 < value(audit, "show their own image", "reasoning") < 0.6
    # The published loader finds what was said before some true states, and never else.
    true = [r for r in prepared.records if r["task"] == "state" and not r["falsified"]]
    told = sum(bool(row["previous_instruction"]) for row in true) / len(true)
    assert 0.5 < told < 0.6
    assert value(audit, "the query's words") == pytest.approx((1 + told) / 2, abs=0.02)
    assert value(audit, "whose manual is trained on") == 1
    assert value(audit, "first demonstration is the true one", "plain") == 1
    assert value(audit, "beyond those of a blind draw", "plain") > 0.3


# Within its own manual no training prompt can show a test row, unless the split is by row too.
ALONE = [name for name in SWITCHES if name not in ("row_split", "test_demos_in_training")]


@pytest.mark.parametrize("defect", ALONE)
def test_each_switch_alone_is_found_alone(prepared, defect, monkeypatch):
    if defect == "task_by_substring":
        sung = [
            row | {"response": row["response"] + " Mind the piano." * (row["task"] == "grounding")}
            for row in prepared.records
        ]
        monkeypatch.setattr(prepared, "records", sung)
    prepared.prepare(defect, [defect], by_manual)
    # Where both copies of a true state are asked, the words of its step speak for Yes.
    also = {"state_label_in_prompt"} if defect == "state_source_shortcut" else set()
    assert set(prepared.audit(defect)["defects_found"]) == {defect} | also


def test_a_split_by_row_is_found_by_itself_and_shows_test_rows_if_all_may_be_shown(prepared):
    prepared.prepare("rows", ["row_split"], by_row)
    assert prepared.audit("rows")["defects_found"] == ["row_split"]
    prepared.prepare("pools", ["row_split", "test_demos_in_training"], by_row)
    assert set(prepared.audit("pools")["defects_found"]) == {"row_split", "test_demos_in_training"}


def test_a_file_that_tells_its_source_is_found_whatever_the_protocol(prepared, tmp_path):
    marked = Prepared.__new__(Prepared)
    marked.folder, marked.tree = tmp_path, tmp_path / "tree"
    shutil.copytree(prepared.tree, marked.tree)
    for path in (marked.tree / "lego").rglob("*_step.png"):
        content = io.BytesIO()
        Image.open(path).save(content, "png", compress_level=0)
        path.write_bytes(content.getvalue())
    marked.index()
    marked.prepare("sound", (), by_manual)
    audit = marked.audit("sound")
    assert audit["defects_found"] == ["state_source_shortcut"]
    # One true state in four lies beside the falsified one and bears no mark.
    assert value(audit, "the file's bytes") > 0.85
    assert value(audit, "the image's width and height") == 0.5


def test_an_image_size_that_tells_the_label_is_found(prepared):
    material = read(*prepared.paths("sound"), None, None)
    for row in material.every("plain", "state"):
        row["width"] += 20 * (row["response"] == "Yes.")
    found = {f["measured"]: f["verdict"] for f in shortcuts.findings(material)}
    told = "balanced accuracy on the state label from"
    assert found[f"{told} the image's width and height alone"] == "found"
    assert found[f"{told} the file's bytes and format, width and height alone"] == "not measured"


def test_copies_and_likenesses_across_the_split_are_counted(prepared):
    rows = {
        f"object/{m}/{n}": {"manual": m, "image": f"{m}{n}.png", "task": "object"}
        for m, n in (("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3))
    }
    prints = {
        "a1.png": ("s1", "0" * 62 + "ff"),
        "a2.png": ("s2", "f" * 64),
        "b1.png": ("s1", "0" * 62 + "ff"),  # the same bytes as a1
        "b2.png": ("s3", "f" * 62 + "00"),  # 8 bits from a2
        "b3.png": ("s4", "f" * 61 + "e00"),  # 9 bits
    }
    split = {
        side: [name for name in rows if f"/{m}/" in name]
        for side, m in (("train", "a"), ("test", "b"))
    }
    material = Material(rows, split, {}, None, prints)
    same, alike = leaks.duplicates(material)
    assert (same["value"], same["n"], same["verdict"]) == (pytest.approx(1 / 3), 3, "found")
    assert (alike["value"], alike["verdict"]) == (pytest.approx(2 / 3), "found")
    apart = Material(rows, split | {"test": ["object/b/3"]}, {}, None, prints)
    assert [f["verdict"] for f in leaks.duplicates(apart)] == ["none", "none"]


def test_images_parquet_is_read(prepared, tmp_path):
    names = sorted({row["image"] for row in prepared.records})
    fixed = {"perceptual_hash": "0" * 64, "width": 9, "height": 9, "problem": ""}
    rows = [{"image": name, "sha256": name} | fixed for name in names]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "images.parquet")
    audit = prepared.audit("sound", images=tmp_path / "images.parquet")
    assert value(audit, "bytes are trained on") == 0
    assert value(audit, "looks like one trained on") == 1
    assert audit["defects_found"] == ["row_split"]
    with pytest.raises(UserError, match=r"as fingerprints.*Remedy: .*fingerprint"):
        prepared.audit("sound", images=prepared.folder / "instances.parquet")


def test_verdicts_worked_by_hand():
    manuals = ["a", "a", "b", "b", "c"]

    def shared(flags, chance=None):
        rows = [{"manual": m, "flag": f} for m, f in zip(manuals, flags, strict=False)]
        return share("self_demo", None, "m", rows, lambda row: row["flag"], chance=chance)

    hard = shared([0, 0, 0, 0, 1])
    assert (hard["value"], hard["n"], hard["manuals"], hard["verdict"]) == (0.2, 5, 3, "found")
    assert shared([0] * 5)["verdict"] == "none"
    assert shared([1, 0, 1, 0, 1], 0.5)["verdict"] == "none"
    assert shared([1] * 5, 0.5)["verdict"] == "found"
    assert shared([])["verdict"] == "not measured"
    right, wrong = [(1, 0, 0, 0), (0, 0, 0, 1)] * 3, [(0, 0, 1, 0), (0, 1, 0, 0)] * 3
    manuals = ["a", "a", "b", "b", "c", "c"]
    assert accuracy("self_demo", "m", right, manuals)["verdict"] == "found"
    assert accuracy("self_demo", "m", wrong, manuals)["verdict"] == "none"


def test_the_same_inputs_give_the_same_bytes(prepared, tmp_path):
    instances, split, out = map(str, prepared.paths("thesis"))
    for name in ("one", "two"):
        path = str(tmp_path / f"{name}.json")
        tree = ["--tree", str(prepared.tree)]
        assert main(["audit", instances, split, out, *tree, "--out", path]) == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_files_that_do_not_belong_together_are_said(prepared, tmp_path):
    instances, split, out = prepared.paths("sound")
    few = [Row(**row) for row in prepared.records[:5]]
    write_instances(tmp_path / "few.parquet", few, {})
    with pytest.raises(UserError, match=r"split.json names .*Remedy: split"):
        read(tmp_path / "few.parquet", split, out, None, None)
    write_json(tmp_path / "empty.json", {"train": [], "test": []})
    with pytest.raises(UserError, match=r"train.jsonl names .*Remedy: convert"):
        read(tmp_path / "few.parquet", tmp_path / "empty.json", out, None, None)
    with pytest.raises(UserError, match="cannot be read"):
        read(instances, split, tmp_path, None, None)
