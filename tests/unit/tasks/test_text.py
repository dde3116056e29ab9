import numpy as np
import pytest

from legor1.tasks.metrics.text import (
    BLEU_COUNTS,
    ROUGE,
    bleu,
    bleu_signature,
    corpus_bleu,
    rouge,
    token_f1,
)


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
    assert bleu(*pair)[0] == pytest.approx(expected)
    assert 0.4 < expected < 0.9


def test_bleu_at_its_ends():
    assert bleu("press it", "press it")[0] == 1
    assert bleu("", "press it")[0] == 0
    assert bleu("", "")[0] == 0


def test_bleu_counts_by_hand():
    _, counts = bleu("the brick now the", "the brick , the")
    assert [counts[name] for name in BLEU_COUNTS] == [4, 4, 4, 3, 2, 1, 3, 1, 0, 0]


TEXTS = {
    "alike": [("press the red brick on the left", "press one red brick on the left")] * 2,
    "short": [
        ("press the brick now", "press the brick"),
        ("turn it over now", "turn it over here"),
    ],
    "no four in a row": [("a b c x d e f", "a b c y d e f")],
    "nothing right": [("one two three four five", "six seven")],
    "too little said": [("press it", "press it"), ("", "turn it")],
    "unicode": [("drücke den Stein fest hinein", "drücke den roten Stein fest hinein")],
}


@pytest.mark.parametrize("pairs", TEXTS.values(), ids=TEXTS)
def test_corpus_bleu_is_the_librarys(pairs):
    import sacrebleu

    expected = sacrebleu.corpus_bleu([a for a, _ in pairs], [[b for _, b in pairs]]).score / 100
    counts = np.array([list(bleu(*pair)[1].values()) for pair in pairs])
    assert corpus_bleu(counts.sum(axis=0)) == pytest.approx(expected, abs=1e-12)


def test_many_corpora_at_once():
    rows = [np.sum([list(bleu(*p)[1].values()) for p in pairs], axis=0) for pairs in TEXTS.values()]
    assert corpus_bleu(np.array(rows)).tolist() == [float(corpus_bleu(row)) for row in rows]


def test_agrees_with_torchmetrics():
    from torchmetrics.text import SacreBLEUScore

    pairs = TEXTS["alike"] + TEXTS["short"]
    theirs = SacreBLEUScore()([a for a, _ in pairs], [[b] for _, b in pairs])
    counts = np.array([list(bleu(*pair)[1].values()) for pair in pairs])
    assert corpus_bleu(counts.sum(axis=0)) == pytest.approx(float(theirs), abs=1e-6)


def test_bleu_says_how_it_was_computed():
    assert bleu_signature().startswith("nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:")
