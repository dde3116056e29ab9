from legor1.core.files import fingerprint


def test_work_is_named_by_its_recipe_its_code_and_the_content_of_its_files(tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("1")
    first = fingerprint({"a": 1, "b": 2}, [data], "code")
    moved = data.rename(tmp_path / "moved.jsonl")
    assert fingerprint({"b": 2, "a": 1}, [moved], "code") == first
    other_recipe = fingerprint({"a": 1, "b": 3}, [moved], "code")
    other_code = fingerprint({"a": 1, "b": 2}, [moved], "other")
    moved.write_text("2")
    other_data = fingerprint({"a": 1, "b": 2}, [moved], "code")
    assert len({first, other_recipe, other_code, other_data}) == 4
