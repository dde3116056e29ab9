"""Measures of two texts: exactness, token F1, ROUGE and BLEU, each in [0, 1] for one example.

NLTK works offline: its Punkt model comes with a package, by no download.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

ROUGE = ("rouge1", "rouge2", "rougeL")

Split = Callable[[str], list[str]]

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


def exact(prediction: str, reference: str) -> float:
    """Return 1 if two texts have the same words in the same order, else 0."""
    return float(words(prediction) == words(reference))


def rouge(prediction: str, reference: str, kinds: tuple[str, ...] = ROUGE) -> dict[str, float]:
    """Return the F-measure of each kind of ROUGE, with stemming (package rouge-score)."""
    scores = _rouge_scorer(kinds).score(target=reference, prediction=prediction)
    return {kind: float(scores[kind].fmeasure) for kind in kinds}


def bleu(prediction: str, reference: str) -> float:
    """Return the sentence-level BLEU of sacrebleu as a fraction."""
    score = float(_bleu_scorer().sentence_score(prediction, [reference]).score)
    return min(score / 100, 1.0)  # rounding takes a perfect text to 100.00000000000004 percent


def bleu_signature() -> str:
    """Return sacrebleu's signature of ``bleu``: its tokeniser, smoothing, case and version."""
    scorer = _bleu_scorer()
    scorer.sentence_score("a", ["a"])  # the signature knows the number of references only then
    return str(scorer.get_signature())


def nltk_tokens(text: str) -> list[str]:
    """Return NLTK's ``word_tokenize`` of the lower-cased text.

    Punkt splits it into English sentences, and NLTK's word tokenizer each of those into tokens,
    punctuation included.
    """
    split_sentences, split_words = _nltk_tokenizers()
    return [token for sentence in split_sentences(text.lower()) for token in split_words(sentence)]


def nltk_bleu(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """Return NLTK's BLEU-4 of two lists of tokens, smoothed by method 1; without overlap 0."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smoothing = SmoothingFunction().method1
    return float(sentence_bleu([reference], prediction, smoothing_function=smoothing))


@functools.cache
def _rouge_scorer(kinds: tuple[str, ...]) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(kinds), use_stemmer=True)


@functools.cache
def _bleu_scorer() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)  # else a text of fewer than four words scores 0


@functools.cache
def _nltk_tokenizers() -> tuple[Split, Split]:
    from nltk import redos
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    from punkt import load_model

    redos.DEFAULT_TIMEOUT = None  # by the clock on the wall: a busy machine would fail an answer
    model, parameters = load_model("english"), PunktParameters()
    parameters.abbrev_types = set(model.abbrev_types)
    parameters.collocations = set(model.collocations)
    parameters.sent_starters = set(model.sent_starters)
    parameters.ortho_context.update(model.ortho_context)
    return PunktSentenceTokenizer(parameters).tokenize, NLTKWordTokenizer().tokenize
