"""NLTK's words and sentence BLEU, offline: its Punkt model comes with a package, by no download."""

import functools
from collections.abc import Sequence
from typing import Any


def tokens(text: str) -> list[str]:
    """Return NLTK's ``word_tokenize`` of the lower-cased text.

    Punkt splits it into English sentences, and NLTK's word tokenizer each of those into tokens,
    punctuation included.
    """
    split_sentences, split_words = _tokenizers()
    return [token for sentence in split_sentences(text.lower()) for token in split_words(sentence)]


def bleu(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """Return NLTK's BLEU-4 of two lists of tokens, smoothed by method 1; without overlap 0."""
    score, smoothing = _bleu()
    return float(score([reference], prediction, smoothing_function=smoothing))


@functools.cache
def _tokenizers() -> tuple[Any, Any]:
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


@functools.cache
def _bleu() -> tuple[Any, Any]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    return sentence_bleu, SmoothingFunction().method1
