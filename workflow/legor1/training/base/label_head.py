"""The throwaway heads: linear layers that learn labels, and are not part of the model."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

UNKNOWN = -100.0  # a label that there is none of


class LabelHead(nn.Linear):
    """A linear layer from features to labels: ``classes``, then ``measures``.

    Args:
        hidden: width of the features.
        classes: how many values each class has.
        measures: how many numbers each measure has.
    """

    def __init__(
        self, hidden: int, classes: Mapping[str, int], measures: Mapping[str, int]
    ) -> None:
        super().__init__(hidden, sum(classes.values()) + sum(measures.values()))
        self.classes, self.measures = classes, measures

    def loss(self, features: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of features (n, hidden), and how often each class is right."""
        scores = self(features.float())
        # Without a label too the head has a gradient, as it has in the other processes.
        total, right = 0 * scores.sum(), {}
        pieces = scores.split([*self.classes.values(), *self.measures.values()], dim=1)
        columns = labels.split([1] * len(self.classes) + [*self.measures.values()], dim=1)
        names = (*self.classes, *self.measures)
        for name, score, true in zip(names, pieces, columns, strict=True):
            known = true[:, 0] != UNKNOWN
            if not known.any():
                continue
            score, true = score[known], true[known]
            if name in self.measures:
                total = total + F.smooth_l1_loss(score, true)
            else:
                total = total + F.cross_entropy(score, true[:, 0].long())
                right[name] = (score.argmax(1) == true[:, 0]).float().mean().item()
        return total, right
