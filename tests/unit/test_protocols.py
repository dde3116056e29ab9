import pytest

from legor1.errors import UserError
from legor1.protocols import SWITCHES, active


def test_the_thesis_has_all_defects_and_the_sound_protocol_none():
    assert active("thesis") == set(SWITCHES)
    assert active("sound") == set()


def test_any_set_can_be_chosen():
    assert active("sound", {"row_split": True, "self_demo": False}) == {"row_split"}
    assert active("thesis", {"self_demo": False}) == set(SWITCHES) - {"self_demo"}


@pytest.mark.parametrize(
    ("protocol", "switches", "named"),
    [
        ("thesiss", {}, "thesiss"),
        ("sound", {"row_spilt": True}, "row_spilt"),
        ("sound", {"summed_iou": True}, "summed_iou"),  # switched by the scoring, not here
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(protocol, switches, named):
    with pytest.raises(UserError, match=f"{named}.*Remedy"):
        active(protocol, switches)
