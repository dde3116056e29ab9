"""The base model before its training: tokenizer, processor, and weights at random."""

import math

import torch
from torch import Tensor

from legor1.core.errors import UserError
from legor1.models.family import Model, Processor, Recipe
from legor1.models.qwen2_5_vl_tiny import make_model, make_processor, make_tokenizer
from legor1.models.registry import DEFAULT
from legor1.tasks.discovery import TASKS
from legor1.tasks.prompts import REASONING
from legor1.training.base.questions import booklets

NUMBERS = range(10, 512)  # coordinates, each one token
DIRECTIVES = [task.prompt.directive for task in TASKS.values()]
# So are the fixed phrases of prompts and answers: a third of the tokens, and so of the time.
SINGLE_TOKENS = [
    "You are a helpful assistant.",
    *(f" {text}" for text in [*DIRECTIVES, REASONING] if text),
    *('[{"bbox_2d": [', '"}, {"bbox_2d": [', '], "label": "', '"}]', ", "),
    *map(str, NUMBERS),
]
CHAT = ("You are a helpful assistant.", "system user assistant")  # what the chat template adds
# Manuals are printed on light paper. Unless that is the zero of the pixel values, it drowns all
# else, and a small model stays blind for its first thousand steps.
BACKGROUND, CONTRAST = 0.85, 0.25
PERIODS = (24, 48, 96, 192, 384, 768)  # of the waves that make neighbouring numbers alike
BOOKLETS = 40  # whose words the tokenizer is trained on


def make_untrained(recipe: Recipe) -> tuple[Model, Processor]:
    """Return the model and its processor, which depend on the recipe alone.

    Raises:
        UserError: the recipe's sizes fit no model of the family.
    """
    torch.manual_seed(recipe["seed"])
    budget = DEFAULT.budget(**recipe["pixel_budget"])
    texts = [*CHAT, *_words(recipe)]
    tokenizer = make_tokenizer(texts, recipe["vocabulary"], SINGLE_TOKENS)
    processor = make_processor(tokenizer, DEFAULT.image_settings(budget), BACKGROUND, CONTRAST)
    try:
        model = make_model(tokenizer, recipe["model"])
    except Exception as error:  # the sizes are transformers' own, and so is what it raises
        raise UserError(
            f"no model of the family has the sizes of the recipe's model: {error!r}. "
            "Remedy: correct `text` and `vision`; config.yaml has an example."
        ) from error
    places = tokenizer.convert_tokens_to_ids([*map(str, NUMBERS)])
    weights: Tensor = model.model.language_model.embed_tokens.weight
    with torch.no_grad():
        weights[places] = 0.4 * weights[places] + weights.std() * _waves(weights.size(1))
    return model, processor


def _words(recipe: Recipe) -> set[str]:
    """Return questions and answers of some booklets."""
    texts = set()
    for rng, booklet in booklets(recipe, "words", BOOKLETS):
        for scene in (*booklet.model(rng), booklet.call_out(rng)):
            texts |= {text for asked in scene.questions for text in (asked.text, asked.answer)}
    return texts


def _waves(width: int) -> Tensor:
    """Return an embedding (numbers, width) in which numbers differ the less the nearer they are."""
    angles = torch.tensor(NUMBERS)[:, None] * 2 * math.pi / torch.tensor(PERIODS)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    return waves @ torch.randn(waves.size(1), width) / math.sqrt(waves.size(1))
