from report_run import row, table

from legor1.report.study import read


def test_shares_of_readable_and_of_finished_answers(run):
    run.predict(
        "sft",
        row("object/m/1", finished=False),
        row("object/m/2"),
        row("object/m/3"),
        row("object/m/4"),
        row("grounding/m/1", "grounding"),
    )
    with (run.folder / "table.csv").open("a") as file:
        file.write("sft,sound,object,parse_strict,0.75,0.5,1.0,4\n")
        file.write("sft,sound,object,parse_lenient,1.0,1.0,1.0,4\n")
    assert table("reading", read(run.folder))[1:] == [
        [
            *("sft", "Find the parts", "4", "▼ 75.0", "50.0 to 100.0"),
            *("100.0", "100.0 to 100.0", "25.0"),
        ],
        ["sft", "Say what to do", "1", "–", "–", "–", "–", "0.0"],
    ]
    assert "Could the answers be read?" in run.page().text


def test_without_predictions_there_is_nothing_to_say(run):
    assert table("reading", read(run.folder)) == []
    assert "Could the answers be read?" not in run.page().text
