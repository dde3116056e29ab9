import torch
from trl.trainer.utils import shuffle_sequence_dict

from legor1.training.fast.packed_rows import (
    IGNORED,
    Rows,
    images_of_rows,
    pack,
    runs,
    same,
    shuffle_groups,
)


def picture(value, grid):
    grid = torch.tensor(grid)
    return torch.full((int(grid.prod()), 3), float(value)), grid


def text_positions(ids, images):
    """Positions as they are without images, one further on for each image."""
    end = len(ids) + len(images)
    return torch.arange(len(ids)).expand(3, 1, -1), end


def three_rows(images=None):
    """Two completions of the prompt 7 8 9, one of the prompt 8 9, padded with 0."""
    ids = torch.tensor([[7, 8, 9, 1, 2, 3], [7, 8, 9, 4, 0, 0], [0, 8, 9, 5, 6, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0]])
    return Rows(ids, mask, 3, images or [[], [], []])


def test_a_packed_row_holds_each_prompt_once():
    packed = pack(three_rows(), text_positions)
    assert packed.ids.tolist() == [[7, 8, 9, 1, 2, 3, 9, 4, 8, 9, 5, 6]]
    no = IGNORED
    assert packed.labels.tolist() == [[no, no, no, 1, 2, 3, no, 4, no, no, 5, 6]]
    expected = [0, 1, 2, 3, 4, 5, 2, 3, 0, 1, 2, 3]
    assert packed.positions.tolist() == [[expected]] * 3
    groups = [(g.start, g.prompt, g.completions) for g in packed.layout.groups]
    assert groups == [(0, 2, (4, 2)), (8, 1, (3,))]


def test_a_completion_goes_on_behind_the_positions_of_its_images():
    shown = [picture(1, [1, 2, 2])]
    packed = pack(three_rows([shown, shown, []]), text_positions)
    assert packed.positions[0, 0].tolist() == [0, 1, 2, 4, 5, 6, 2, 4, 0, 1, 2, 3]
    assert packed.images == shown


def test_scores_return_to_the_rows_that_they_are_of():
    packed = pack(three_rows(), text_positions)
    # A shifted score stands one place before the token that it is of.
    scores = packed.ids[:, 1:].float()
    assert packed.unpack(scores).tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0]]


def test_a_completion_that_is_masked_out_scores_nothing():
    rows = three_rows()
    rows.mask[1, 3:] = 0
    packed = pack(rows, text_positions)
    scores = packed.unpack(packed.ids[:, 1:].float())
    assert scores.tolist() == [[1, 2, 3], [0, 0, 0], [5, 6, 0]]


def test_a_group_is_neighbours_with_the_same_tokens_and_images():
    first, second = [picture(1, [1, 2, 2])], [picture(2, [1, 2, 2])]
    copy = [picture(1, [1, 2, 2])]
    assert three_rows([first, copy, first]).groups == [range(0, 2), range(2, 3)]
    assert three_rows([first, second, first]).groups == [range(0, 1), range(1, 2), range(2, 3)]


def test_padding_belongs_to_no_prompt():
    """The padding token may be a token of the text too."""
    ids = torch.tensor([[0, 8, 1], [0, 8, 2]])
    mask = torch.tensor([[1, 1, 1], [0, 1, 1]])
    assert Rows(ids, mask, 1, [[], []]).groups == [range(0, 1), range(1, 2)]


def test_runs():
    assert runs(3, lambda row: True) == [range(0, 3)]
    assert runs(4, lambda row: row in (1, 3)) == [range(0, 2), range(2, 4)]


def test_images_differ_by_number_grid_and_patches():
    one, other, wide = picture(1, [1, 2, 4]), picture(2, [1, 2, 4]), picture(1, [1, 4, 2])
    assert same([one], [picture(1, [1, 2, 4])])
    assert not same([one], [other])
    assert not same([one], [wide])
    assert not same([one], [one, one])


def test_images_go_to_the_rows_that_show_them():
    images = [picture(1, [1, 2, 2]), picture(2, [1, 2, 4]), picture(3, [1, 4, 4])]
    pixels = torch.cat([patches for patches, _ in images])
    grids = torch.stack([grid for _, grid in images])
    found = images_of_rows(pixels, grids, [1, 0, 2], 3)
    assert [len(shown) for shown in found] == [1, 0, 2]
    assert same([image for shown in found for image in shown], images)
    assert images_of_rows(None, None, None, 2) == [[], []]


def batch_of_groups(groups=5, generations=3):
    """The prompts of neighbouring groups differ by their images alone."""
    rows = groups * generations
    group = torch.arange(rows) // generations
    return {
        "prompt_ids": torch.full((rows, 4), 8),
        "prompt_mask": torch.ones(rows, 4),
        "completion_ids": torch.arange(rows)[:, None],
        "pixel_values": [torch.full((4, 3), float(g)) for g in group],
        "image_grid_thw": [torch.tensor([[1, 2, 2]]) for _ in group],
        "num_images": [1] * rows,
        "old_per_token_logps": None,
        "num_items_in_batch": torch.tensor(7),
    }


def test_whole_groups_are_shuffled():
    torch.manual_seed(0)
    batch = shuffle_groups(batch_of_groups())
    rows = batch["completion_ids"].flatten().tolist()
    assert sorted(rows) == [*range(15)]
    groups = [rows[at : at + 3] for at in range(0, 15, 3)]
    assert all(g[0] % 3 == 0 and g == [g[0], g[0] + 1, g[0] + 2] for g in groups)
    assert groups != sorted(groups)
    assert [patches[0, 0] for patches in batch["pixel_values"]] == [row // 3 for row in rows]
    assert batch["num_items_in_batch"] == 7 and batch["old_per_token_logps"] is None


def test_the_shuffle_draws_as_much_as_that_of_rows():
    torch.manual_seed(0)
    shuffle_groups(batch_of_groups())
    ours = torch.rand(1)
    torch.manual_seed(0)
    shuffle_sequence_dict(batch_of_groups())
    assert torch.equal(torch.rand(1), ours)
