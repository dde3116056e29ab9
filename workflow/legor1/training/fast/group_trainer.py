"""TRL's ``GRPOTrainer``, with everything about a prompt computed once for its group.

GRPO samples G completions of each prompt. The stock trainer computes the prompt G times: in the
rollout, in the reference's forward pass, and in the policy's forward and backward pass. With long
image prompts and short answers that is most of the work. Here each prompt is computed once
(``attention`` says how), and each image once if the vision tower is frozen. Loss, rewards and
advantages are TRL's own, and so are the numbers, up to rounding.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer import utils

from legor1.models.family import Model
from legor1.models.feature_cache import FeatureCache, fingerprint, vision_inputs
from legor1.models.loading import without_adapter
from legor1.models.registry import family_of_model
from legor1.training.fast import attention
from legor1.training.fast.attention import Layout, attend, register_by_mask
from legor1.training.fast.packed_rows import Image, Rows, images_of_rows, pack, runs, shuffle_groups

# By how much a token's log-probability may differ from the stock trainer's. Rounding in bfloat16
# moves single tokens far, so there the mean is judged; a completion that did not see its prompt
# would differ by about 1.
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.05}


def obstacle(model: Model, adapters: Iterable[PeftConfig]) -> str | None:
    """Return why completions of a base model cannot share their prompt, or None if they can."""
    family = family_of_model(model)
    if not family.shares_prompts:
        return f"they share it in families that were proven to allow it, not {family.title}"
    if any(getattr(adapter, "lora_dropout", 0) for adapter in adapters):
        return "LoRA's dropout would be drawn once for a prompt, not once for each completion"
    return attention.obstacle(model)


class SharedPromptGRPOTrainer(GRPOTrainer):
    """GRPO with each prompt computed once for all of its completions.

    For models without an ``obstacle``, with or without images, with or without LoRA, alone or under
    DDP and DeepSpeed ZeRO-2. Where a generation batch is split into several forward passes, whole
    groups are shuffled, not rows; of a group that is torn, each part is shared.

    With ``check`` the log-probabilities of the first step are compared with the stock trainer's,
    and a RuntimeError says that they differ. ``feature_bytes`` is the size of the cache of image
    features, if the vision tower is frozen.
    """

    args: Any
    model: Model
    _buffered_inputs: Any

    def __init__(
        self, *args: Any, check: bool = False, feature_bytes: int = 2**29, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        register_by_mask(Layout, attend)
        self.check_due = check
        self.cache = FeatureCache(feature_bytes)

    def _base(self, model: Model) -> Any:
        return without_adapter(self.accelerator.unwrap_model(model))

    def _get_per_token_logps_and_entropies(
        self, model: Model, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int,
        batch_size: int | None = None, compute_entropy: bool = False, **inputs: Any,
    ) -> tuple[Tensor, Tensor | None, None]:  # fmt: skip
        """Score completions as the stock method does; arguments and results are the same."""
        if self.check_due and torch.is_grad_enabled():
            self.check_due = False
            self._check(model, input_ids, attention_mask, logits_to_keep, **inputs)
        pixels, grids, counts = map(inputs.get, ("pixel_values", "image_grid_thw", "num_images"))
        images = images_of_rows(pixels, grids, counts, len(input_ids))
        rows = Rows(input_ids, attention_mask, logits_to_keep, images)
        size = batch_size or len(input_ids)
        parts = [self._score(model, rows[at : at + size]) for at in range(0, len(input_ids), size)]
        logps = torch.cat([logps for logps, _ in parts])
        entropies = torch.cat([part[1] for part in parts]) if compute_entropy else None
        return logps, entropies, None

    def _score(self, model: Model, rows: Rows) -> tuple[Tensor, Any]:
        """Return log-probabilities and entropies, if the head has any, (rows, completion) each."""
        backbone = self._base(model).model
        packed = pack(rows, partial(placed, backbone))
        mode = "train" if self.model.training else "eval"
        ratio = packed.layout.length / int(rows.mask.sum())
        self._metrics[mode]["shared_prompts/token_ratio"].append(ratio)
        with self.accelerator.autocast():
            outputs = model(
                input_ids=packed.ids,
                attention_mask=packed.layout,
                position_ids=packed.positions,
                labels=packed.labels,
                fused_lm_head=True,
                **self._vision(backbone, packed.images),
            )
        logps, entropy = outputs.log_probs, outputs.entropy
        return packed.unpack(logps), None if entropy is None else packed.unpack(entropy)

    def _vision(self, backbone: Model, images: list[Image]) -> dict[str, object]:
        if not images:
            return {}
        # Those of a rollout are still where the processor made them.
        device, dtype = self.accelerator.device, family_of_model(backbone).tower(backbone).dtype
        images = [(patches.to(device, dtype), grid.to(device)) for patches, grid in images]
        keys = [fingerprint(*image) for image in images]
        by_key = dict(zip(keys, images, strict=True))

        def load(keys: Sequence[bytes]) -> tuple[Tensor, Tensor]:
            pixels, grids = zip(*map(by_key.__getitem__, keys), strict=True)
            return torch.cat(pixels), torch.stack(grids)

        return vision_inputs(backbone, keys, load, self.cache, self.accelerator.autocast())

    def _check(self, model: Model, *args: Any, **inputs: Any) -> None:
        """Compare log-probabilities with the stock trainer's, dropout off."""
        training = model.training
        model.eval()
        with torch.no_grad():
            shared, _, _ = self._get_per_token_logps_and_entropies(model, *args, **inputs)
            stock, _, _ = super()._get_per_token_logps_and_entropies(model, *args, **inputs)
        model.train(training)
        difference = (shared - stock).abs().float()
        dtype = self._base(model).dtype
        worst = (difference.max() if dtype == torch.float32 else difference.mean()).item()
        if not worst <= TOLERANCES[dtype]:
            raise RuntimeError(
                f"log-probabilities differ from the stock trainer's by {worst:g}"
                f" (allowed in {dtype}: {TOLERANCES[dtype]:g}). "
                "Remedy: train with `share_prompts: false`, and report it."
            )

    def _prepare_inputs(self, generation_batch: Any) -> dict:
        """Return the next batch, as the stock method does, but shuffle groups instead of rows."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            batch = shuffle_groups(utils.split_pixel_values_by_grid(batch))
            parts: list[Any] = utils.split_tensor_dict(batch, steps)
            self._buffered_inputs = [utils.unsplit_pixel_values_by_grid(part) for part in parts]
        return self._buffered_inputs[self._step % steps]

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: list | None, multimodal_fields: dict,
        num_generations: int, has_tool_images: bool = False,
    ) -> tuple[list[list[int]], list | None]:  # fmt: skip
        """Return a completion for each prompt; equal neighbours share the prefill."""
        pixels, grids = map(multimodal_fields.get, ("pixel_values", "image_grid_thw"))
        counts = [len(row or []) for row in images or []]
        shown = images_of_rows(pixels, grids, counts, len(prompt_ids))
        asked = [*zip(prompt_ids, images or [None] * len(prompt_ids), strict=True)]
        groups = runs(len(asked), lambda row: asked[row] == asked[row - 1])
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                generation_kwargs=self.generation_kwargs,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            torch.no_grad(),
        ):
            completions = self._sample(
                model,
                [torch.tensor(prompt_ids[rows[0]]) for rows in groups],
                [shown[rows[0]] for rows in groups],
                [group for group, rows in enumerate(groups) for _ in rows],
            )
        return [until_end(ids, self.eos_token_ids) for ids in completions.tolist()], None

    def _sample(
        self, model: Model, prompts: list[Tensor], images: list[list[Image]], prompt_of: list[int]
    ) -> Tensor:
        """Return sampled completions, (rows, tokens), each of the prompt that its row names.

        The prompts but for their last token go through the model once; the cache is then repeated,
        and generation continues from it as usual.
        """
        backbone = self._base(model).model
        device = self.accelerator.device
        ids = utils.pad(prompts, self._tokenizer.pad_token_id, "left").to(device)
        mask = utils.pad([torch.ones_like(prompt) for prompt in prompts], 0, "left").to(device)
        places = [placed(backbone, *prompt) for prompt in zip(prompts, images, strict=True)]
        positions = utils.pad([p[:, 0].T for p, _ in places], 0, "left").permute(2, 0, 1).to(device)
        cache = model(
            input_ids=ids[:, :-1],
            attention_mask=mask[:, :-1],
            position_ids=positions[..., :-1],
            use_cache=True,
            logits_to_keep=1,
            **self._vision(backbone, [image for shown in images for image in shown]),
        ).past_key_values
        rows = torch.tensor(prompt_of, device=device)
        cache.batch_select_indices(rows)
        # How far the positions are ahead of the number of tokens; `generate` continues from there.
        ahead = [end - len(prompt) for (_, end), prompt in zip(places, prompts, strict=True)]
        backbone.rope_deltas = torch.tensor(ahead, device=device)[rows, None]
        sequences = model.generate(
            input_ids=ids[rows],
            attention_mask=mask[rows],
            past_key_values=cache,
            generation_config=self.generation_config,
        )
        return sequences[:, ids.size(1) :]


def placed(backbone: Model, ids: Tensor, images: list[Image]) -> tuple[Tensor, int]:
    """Return what ``prompt_positions`` does, given a prompt's images."""
    grids = [grid for _, grid in images]
    return family_of_model(backbone).prompt_positions(backbone, ids, grids)


def until_end(ids: list[int], ends: list[int]) -> list[int]:
    """Return a completion up to its end token, which is kept."""
    return ids[: next((at for at, token in enumerate(ids, 1) if token in ends), len(ids))]
