"""The default engine: transformers, in batches, with each distinct image encoded once."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from legor1.core.errors import UserError
from legor1.core.images import open_image
from legor1.inference.batching import Picture, Prompt, batches
from legor1.inference.decoding import choice, decode
from legor1.models.family import Processor, Recipe
from legor1.models.feature_cache import FeatureCache, encode
from legor1.models.loading import with_visual_tokens, without_adapter
from legor1.models.lora import load_adapted
from legor1.models.registry import family_of

CACHED = 4 * 2**30  # bytes of image features, in the host's memory


class TransformersEngine:
    """Decoding with left padding, the longest prompts first."""

    def __init__(
        self, recipe: Recipe, tree: Path, base: Path, adapter: Path | None, processor: Processor
    ) -> None:
        """Load the model in the folder ``base``, with the LoRA adapter in ``adapter`` if given.

        Raises:
            UserError: the adapter is damaged, or none that is trained here.
            ValueError: the adapter changes the vision tower, so that features cannot be shared.
        """
        if recipe["device"] == "cpu":
            torch.set_num_threads(recipe["threads"])
        self.recipe, self.tree, self.processor = recipe, tree, processor
        self.family = family_of(base)
        self.budget = self.family.budget(**recipe["pixel_budget"])
        self.model = load_adapted(base, adapter, recipe)
        self.backbone = without_adapter(self.model).model
        tower = self.family.tower(self.backbone)
        adapted = [name for name, _ in tower.named_parameters() if "lora_" in name]
        if adapted:
            raise ValueError(f"{adapter} changes the vision tower: {adapted[0]}")
        self.cache = FeatureCache(CACHED, "cpu")

    def complete(
        self, prompts: Sequence[Prompt], answered: Collection[int] = ()
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield each prompt's index and completion, batch by batch, an end token last if it ended.

        The last bits of an answer's scores depend on its batch, so batches are formed of all
        prompts: one that was ``answered`` whole is skipped, any other is answered again.
        """
        lengths = [prompt.tokens for prompt in prompts]
        sizes = (self.recipe["batch_size"], self.recipe["batch_tokens"])
        uses = Counter(picture for prompt in prompts for picture in prompt.pictures)
        for batch in batches(lengths, self.recipe["max_new_tokens"], *sizes):
            asked = [prompts[at] for at in batch]
            if not {*batch}.issubset(answered):
                yield from zip(batch, self._answer(asked), strict=True)
            for picture in (picture for prompt in asked for picture in prompt.pictures):
                uses[picture] -= 1
                if not uses[picture]:
                    self.cache.drop(picture)

    @torch.inference_mode()
    def _answer(self, prompts: list[Prompt]) -> list[list[int]]:
        pictures = [picture for prompt in prompts for picture in prompt.pictures]
        encoded = iter(self.cache.get(pictures, self._encode))
        patch = self.processor.image_processor.patch_size
        sizes = [self.budget.processed_size(picture.size) for picture in pictures]
        grids = torch.tensor([(1, height // patch, width // patch) for width, height in sizes])
        device = self.model.device
        features = [[next(encoded).to(device) for _ in prompt.pictures] for prompt in prompts]
        ids, mask = self.padded(prompts)
        positions = self.family.positions(self.backbone, ids, grids, mask)
        chosen = choice(self.recipe, [prompt.instance for prompt in prompts])
        penalty = float(self.recipe["repetition_penalty"])
        return self.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            custom_generate=partial(decode, penalty=penalty, choice=chosen, features=features),
            do_sample=False,
            max_new_tokens=self.recipe["max_new_tokens"],
        )

    def padded(self, prompts: list[Prompt]) -> tuple[Tensor, Tensor]:
        """Return the prompts' tokens and mask, (prompts, longest), padded on the left."""
        tokenizer = self.processor.tokenizer
        texts = tokenizer([prompt.text for prompt in prompts])["input_ids"]
        image = self.backbone.config.image_token_id
        rows = []
        for ids, prompt in zip(texts, prompts, strict=True):
            counts = (self.budget.visual_tokens(picture.size) for picture in prompt.pictures)
            rows.append(with_visual_tokens(ids, image, counts))
        padded = tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        return padded["input_ids"], padded["attention_mask"]

    def _encode(self, pictures: list[Picture]) -> list[Tensor]:
        """Return the features (tokens, hidden) of images, read from disk one by one."""
        features = []
        for picture in pictures:
            image = open_image(self.tree / picture.path)
            if image.size != picture.size:
                raise UserError(
                    f"{self.tree / picture.path} has {image.size} pixels, the conversations say "
                    f"{picture.size}. Remedy: index and convert the dataset again."
                )
            inputs = self.processor.image_processor(images=[image], return_tensors="pt")
            inputs = inputs.to(self.model.device)
            features += encode(self.backbone, inputs["pixel_values"], inputs["image_grid_thw"])
        return features
