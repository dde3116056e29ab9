import pytest

from legor1.core.errors import UserError
from legor1.published.defects import SWITCHES, active, chosen, options


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
        ("sound", {"row_spilt": True}, "row_spilt'. Did you mean row_split"),
        ("sound", {"summed_iou": True}, "summed_iou"),  # switched by the scoring, not here
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(protocol, switches, named):
    with pytest.raises(UserError, match=f"{named}.*Remedy"):
        active(protocol, switches)


@pytest.mark.parametrize(
    ("defects", "told"),
    [
        ("none", ["--protocol", "sound"]),
        ("all", ["--protocol", "thesis"]),
        (list(SWITCHES), ["--protocol", "thesis"]),
        (["self_demo"], ["--protocol", "sound", "--switch", "self_demo=on"]),
        (
            ["all", *(f"-{name}" for name in SWITCHES if name != "row_split")],
            ["--protocol", "sound", "--switch", "row_split=on"],
        ),
    ],
)
def test_what_a_config_names_is_told_to_the_stages(defects, told):
    assert options(defects) == told
    switches = dict(word.split("=") for word in told[3::2])
    assert active(told[1], {name: state == "on" for name, state in switches.items()}) == chosen(
        defects
    )


def test_the_thesis_minus_one_is_two_words():
    assert chosen(["all", "-self_demo"]) == active("thesis", {"self_demo": False})
    assert chosen(["all"]) == active("thesis")


@pytest.mark.parametrize(
    ("defects", "near"),
    [("al", "all"), (["self_dem"], "self_demo"), (["all", "-self_dem"], "self_demo")],
)
def test_a_config_that_names_no_defect_is_told_the_nearest(defects, near):
    with pytest.raises(UserError, match=f"Did you mean {near}[?] Remedy"):
        chosen(defects)
