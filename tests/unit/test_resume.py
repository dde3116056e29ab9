from legor1.core.fingerprint import fingerprint


def test_work_is_named_by_its_recipe_and_the_content_of_its_files(tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("1")
    first = fingerprint({"a": 1, "b": 2}, [data])
    moved = data.rename(tmp_path / "moved.jsonl")
    assert fingerprint({"b": 2, "a": 1}, [moved]) == first
    other = fingerprint({"a": 1, "b": 3}, [moved])
    moved.write_text("2")
    assert len({first, other, fingerprint({"a": 1, "b": 2}, [moved])}) == 3
