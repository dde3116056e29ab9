"""What is learnt: the answers' tokens, and at first and beside them what visual tokens show."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.models.family import Model, Processor
from legor1.models.qwen2_5_vl_batched import batch_images
from legor1.training.base.packing import Batch
from legor1.training.base.token_labels import TokenHead
from legor1.training.base.untrained import NUMBERS
from legor1.training.fast.attention import register_by_mask

HEAD = 0.25  # weight of the head's loss beside the answers'
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


register_by_mask(Branches, {"sdpa": _attend})


class Objective(nn.Module):
    """The model and the throwaway head; computed in bfloat16, the weights stay in float32."""

    def __init__(self, model: Model, processor: Processor) -> None:
        super().__init__()
        self.model, self.head = model, TokenHead(model.config.text_config.hidden_size)
        batch_images(model.model.visual)
        tokens = processor.tokenizer.convert_tokens_to_ids([*map(str, NUMBERS)])
        self.tokens = torch.tensor(tokens)  # of each number
        self.number = torch.full((model.config.text_config.vocab_size,), -1)
        self.number[self.tokens] = torch.arange(len(tokens))  # of each token, -1 for none

    def forward(self, batch: Batch, *, answers: bool) -> tuple[Tensor, dict[str, float]]:
        """Return a batch's loss and the figures to log, of what is shown or ``answers`` as well."""
        with torch.autocast("cpu", torch.bfloat16):
            features = self.model.model.visual(batch.pixels, grid_thw=batch.grids).pooler_output
            loss, figures = self.head.loss(features, batch.shown)
            figures["shown"] = loss.item()
            if answers:
                losses = self._answers(batch, features)
                weights = batch.weights[:, 1:][batch.weights[:, 1:] > 0]
                mean = (losses * weights).sum() / weights.sum()
                loss, figures["answers"] = mean + HEAD * loss, mean.item()
        return loss, figures

    def _answers(self, batch: Batch, features: Tensor) -> Tensor:
        """Return the loss of each token that has a weight."""
        language, images = self.model.model.language_model, self.model.config.image_token_id
        embedded = language.embed_tokens(batch.ids)
        shown = (batch.ids == images)[..., None]
        hidden = language(
            inputs_embeds=embedded.masked_scatter(shown, features.to(embedded.dtype)),
            position_ids=batch.positions,
            attention_mask={"full_attention": Branches(batch.mask())},
            use_cache=False,
        ).last_hidden_state
        learnt = batch.weights[:, 1:] > 0
        scores = self.model.lm_head(hidden[:, :-1][learnt]).float().log_softmax(-1)
        return self._soft(scores, batch.ids[:, 1:][learnt])

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
