"""Measures of two texts: token F1, ROUGE and BLEU, each in [0, 1] for one example."""

import functools
import re
from collections import Counter
from typing import Any

ROUGE = ("rouge1", "rouge2", "rougeL")

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the lower-cased words (runs of ``\\w``) of ``text``, repeats included."""
    return _WORD.findall(text.lower())


def token_f1(prediction: str, reference: str) -> float:
    """Return the F1 of the words of two texts as multisets; nothing against nothing is 1.

    A word that both have k and m times counts min(k, m) times, so a perfect answer with
    repeated words scores 1.
    """
    predicted, true = Counter(words(prediction)), Counter(words(reference))
    total = predicted.total() + true.total()
    return 2 * (predicted & true).total() / total if total else 1.0


def rouge(prediction: str, reference: str, kinds: tuple[str, ...] = ROUGE) -> dict[str, float]:
    """Return the F-measure of each kind of ROUGE, with stemming (package rouge-score)."""
    scores = _rouge_scorer(kinds).score(target=reference, prediction=prediction)
    return {kind: float(scores[kind].fmeasure) for kind in kinds}


def bleu(prediction: str, reference: str) -> float:
    """Return the sentence-level BLEU of sacrebleu as a fraction (sacrebleu itself says percent).

    Its mean over examples is the figure reported, not corpus BLEU: a mean over examples can be
    resampled by manual like every other. ``bleu_signature`` says how it was computed.
    """
    percent = float(_bleu_scorer().sentence_score(prediction, [reference]).score)
    return min(percent / 100, 1.0)  # rounding takes a perfect text to 100.00000000000004


def bleu_signature() -> str:
    """Return sacrebleu's signature of ``bleu``: its tokeniser, smoothing, case and version."""
    scorer = _bleu_scorer()
    scorer.sentence_score("a", ["a"])  # the signature knows the number of references only then
    return str(scorer.get_signature())


@functools.cache
def _rouge_scorer(kinds: tuple[str, ...]) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(kinds), use_stemmer=True)


@functools.cache
def _bleu_scorer() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)  # else a text of fewer than four words scores 0
