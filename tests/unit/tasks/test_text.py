import pytest

from legor1.tasks.metrics.text import ROUGE, bleu, bleu_signature, rouge, token_f1


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("Press the brick!", "press the BRICK", 1),
        ("the the the", "the brick", 2 / 5),
        ("the brick the brick", "the brick the brick", 1),
        ("2x4 brück", "2x4 brück", 1),
        ("left", "right", 0),
        ("", "right", 0),
        ("right", "", 0),
        ("", "...", 1),
    ],
)
def test_token_f1(prediction, reference, expected):
    assert token_f1(prediction, reference) == pytest.approx(expected)


def test_rouge_by_hand():
    scores = rouge("place bricks red", "placed the red brick")  # stems: place brick red
    assert scores == pytest.approx({"rouge1": 6 / 7, "rouge2": 0, "rougeL": 4 / 7})


@pytest.mark.parametrize("pair", [("Placing bricks, sadly", "placed the brick"), ("é 2x4s", "2x4")])
def test_rouge_is_the_packages_own_with_stemming(pair):
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(list(ROUGE), use_stemmer=True).score(pair[1], pair[0])
    assert rouge(*pair) == {kind: theirs[kind].fmeasure for kind in ROUGE}


def test_bleu_is_the_librarys_as_a_fraction():
    import sacrebleu

    pair = "press the red brick on the left", "press one red brick on the left"
    expected = sacrebleu.sentence_bleu(pair[0], [pair[1]]).score / 100
    assert bleu(*pair) == pytest.approx(expected)
    assert 0.4 < expected < 0.9


def test_bleu_at_its_ends():
    assert bleu("press it", "press it") == 1
    assert bleu("", "press it") == 0
    assert bleu("", "") == 0


def test_bleu_says_how_it_was_computed():
    assert bleu_signature().startswith("nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:")
