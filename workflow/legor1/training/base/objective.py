"""What is learnt: the answers' tokens, and at first and beside them labels by throwaway heads."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.models.family import Model, Processor
from legor1.models.qwen2_5_vl_batched import batch_images
from legor1.training.base import labels
from legor1.training.base.labels import UNKNOWN, LabelHead
from legor1.training.base.packing import Batch
from legor1.training.base.untrained import NUMBERS
from legor1.training.fast.attention import register_by_mask

SHOWN, CLAIMED = 0.25, 0.1  # weights of the heads' losses beside the answers'
# Elsewhere bfloat16 is emulated, and several times slower than float32.
BFLOAT16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
REACH, SPREAD = 3, 1.2  # a coordinate's neighbours are nearly right: how many, and how nearly


@dataclass(frozen=True)
class Branches:
    """The mask of a batch, by which its attention is chosen."""

    seen: Tensor  # (rows, 1, length, length)


@torch.autocast("cpu", enabled=False)
def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    branches: Branches,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend in float32, whose backward pass takes half as long as bfloat16's."""
    wide = query.float(), key.float(), value.float()
    attended = sdpa_attention_forward(module, *wide, branches.seen, scaling=scaling)[0]
    return attended.to(query.dtype), None


register_by_mask(Branches, _attend)


class Objective(nn.Module):
    """The model and the throwaway heads; computed in bfloat16 where the CPU knows it."""

    def __init__(self, model: Model, processor: Processor) -> None:
        super().__init__()
        self.model, hidden = model, model.config.text_config.hidden_size
        self.shown_head = LabelHead(hidden, labels.TOKEN_CLASSES, labels.MEASURES)
        self.claim_head = LabelHead(hidden, labels.CLAIM_CLASSES, {})
        batch_images(model.model.visual)
        tokens = processor.tokenizer.convert_tokens_to_ids([*map(str, NUMBERS)])
        self.tokens = torch.tensor(tokens)  # of each number
        self.number = torch.full((model.config.text_config.vocab_size,), -1)
        self.number[self.tokens] = torch.arange(len(tokens))  # of each token, -1 for none

    def forward(self, batch: Batch, *, answers: bool) -> tuple[Tensor, dict[str, float]]:
        """Return a batch's loss and the figures to log, of what is shown or ``answers`` as well."""
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            features = self.model.model.visual(batch.pixels, grid_thw=batch.grids).pooler_output
            loss, figures = self.shown_head.loss(features, batch.shown)
            figures["shown"] = loss.item()
            if answers:
                hidden = self._hidden(batch, features)
                mean = self._answers(batch, hidden)
                labelled = (batch.claims != UNKNOWN).any(-1)
                claims, right = self.claim_head.loss(hidden[labelled], batch.claims[labelled])
                figures |= right | {"claims": claims.item(), "answers": mean.item()}
                loss = mean + SHOWN * loss + CLAIMED * claims
        return loss, figures

    def _hidden(self, batch: Batch, features: Tensor) -> Tensor:
        """Return the last layer's output (rows, length, hidden)."""
        language, images = self.model.model.language_model, self.model.config.image_token_id
        embedded = language.embed_tokens(batch.ids)
        shown = (batch.ids == images)[..., None]
        return language(
            inputs_embeds=embedded.masked_scatter(shown, features.to(embedded.dtype)),
            position_ids=batch.positions,
            attention_mask={"full_attention": Branches(batch.mask())},
            use_cache=False,
        ).last_hidden_state

    def _answers(self, batch: Batch, hidden: Tensor) -> Tensor:
        """Return the weighted mean of the loss over the answers' tokens."""
        weights = batch.weights[:, 1:]
        learnt = weights > 0
        scores = self.model.lm_head(hidden[:, :-1][learnt]).float().log_softmax(-1)
        losses = self._soft(scores, batch.ids[:, 1:][learnt])
        return (losses * weights[learnt]).sum() / weights.sum()

    def _soft(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy (n,) of log-probabilities (n, vocabulary).

        A number's target is spread over its neighbours.
        """
        losses = -scores.gather(1, targets[:, None])[:, 0]
        numbers = self.number[targets]
        if not (is_number := numbers >= 0).any():
            return losses
        steps = torch.arange(-REACH, REACH + 1)
        spread = torch.softmax(-0.5 * (steps / SPREAD) ** 2, dim=0)
        near = (numbers[is_number][:, None] + steps).clamp(0, len(self.tokens) - 1)
        soft = -(scores[is_number].gather(1, self.tokens[near]) * spread).sum(1)
        return losses.masked_scatter(is_number, soft)
