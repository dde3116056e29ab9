from markupsafe import Markup
from report_run import EXPERIMENTS
from study import ROOT

from legor1.config.settings import load
from legor1.config.settings import read as read_config
from legor1.core.files import write_jsonl
from legor1.published.defects import DEFECTS, SWITCHES
from legor1.report.sections import defect_list
from legor1.report.study import read


def on_and_off(run) -> dict[str, tuple[str, str]]:
    """Return defect → where the run has it, and where not."""
    _, rows = defect_list.table(read(run.folder))
    return {row[0]: tuple(Markup(cell).striptags() for cell in row[3:]) for row in rows}


def test_every_defect_is_listed_with_its_switch(run):
    _, rows = defect_list.table(read(run.folder))
    assert [row[0] for row in rows] == list(DEFECTS)
    found = on_and_off(run)
    assert {found[name] for name in SWITCHES} == {("–", "sound")}
    assert found["skipped_answers"] == ("–", "evaluation sound")


def test_a_protocol_of_data_is_on_by_name(run):
    run.configure(
        protocols={
            "sound": {"defects": "none", "object_format": "json"},
            "leaky": {"defects": ["self_demo"], "object_format": "json"},
        },
        experiments=EXPERIMENTS | {"sft": {"method": "sft", "protocol": "leaky"}},
    )
    found = on_and_off(run)
    assert found["self_demo"] == ("leaky", "sound")
    assert found["row_split"] == ("–", "sound, leaky")


def test_the_experiments_of_the_full_study_have_the_defects_that_they_are_to_have(run):
    config = load(ROOT / "config.yaml")
    run.configure(**{name: config[name] for name in ("experiments", "protocols", "inference")})
    found = on_and_off(run)
    unlike = "thesis_grpo beside thesis_sft (rows, tasks, LoRA, learning rate)"
    rates = [f"{name} beside sft (learning rate)" for name in ("grpo", "sft_grpo")]
    assert found["unequal_budget"] == (", ".join([*rates, unlike]), "–")
    assert found["two_generations"] == ("thesis_grpo", "grpo, sft_grpo")
    assert found["batch_task"] == ("thesis_grpo", "grpo, sft_grpo")
    assert found["matched_only_reward"] == ("thesis_grpo", "grpo, sft_grpo")
    sampled, greedy = found["sampled_vs_greedy"]
    assert sampled == "thesis_sft" and "thesis_grpo" in greedy


def test_the_trainings_of_the_demo_have_one_budget(run):
    config = load(ROOT / "config.yaml", read_config(ROOT / "workflow/configs/demo.yaml"))
    run.configure(**{name: config[name] for name in ("experiments", "protocols", "inference")})
    assert on_and_off(run)["unequal_budget"] == ("–", "sft, grpo, sft_grpo")
    trainings = [config["experiments"][name]["training"] for name in ("sft", "grpo", "sft_grpo")]
    prompts = [
        one["steps"] * one["batch_size"] * one["accumulation"] // one.get("generations", 1)
        for one in trainings
    ]
    assert len(set(prompts)) == 1


def test_one_way_of_decoding_for_all_is_no_defect(run):
    run.configure(inference={"sampling": {"temperature": 0.7}})
    assert on_and_off(run)["sampled_vs_greedy"] == ("–", "few_shot, sft, grpo")


def test_answers_that_were_cut_off_in_training_are_counted(run):
    assert on_and_off(run)["truncated_thinking"] == ("–", "–")
    steps = [{"step": i, "completions/clipped_ratio": share} for i, share in enumerate((0.5, 0.25))]
    write_jsonl(run.folder / "adapters/grpo/history.jsonl", [*steps, {"step": 2}])
    assert on_and_off(run)["truncated_thinking"] == ("grpo (37.5 % of answers)", "–")
