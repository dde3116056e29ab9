from legor1.core.seeding import generator


def test_a_choice_depends_on_its_purpose_and_nothing_before_it():
    first = generator(1, "demonstration", "a").random()
    generator(1, "demonstration", "b").random()
    assert generator(1, "demonstration", "a").random() == first
    others = [generator(*key).random() for key in [(2, "demonstration", "a"), (1, "rows", "a")]]
    assert first not in others
