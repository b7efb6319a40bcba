"""A classifier of texts by the mean of their words' rows, as PyTorch's tutorial on text classification makes it."""

from __future__ import annotations

from .. import nn
from ..tensor import Tensor


class TextClassificationModel(nn.Module):
    """A bag of embeddings and a linear layer.

    Shapes: numbers of words (T) in a line, and where each text begins in it (N) → scores (N, num_class).
    """

    def __init__(self, vocab_size: int, embed_dim: int, num_class: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim)
        self.fc = nn.Linear(embed_dim, num_class)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the weights anew, evenly between -0.5 and 0.5; the bias is zero."""
        nn.init.uniform_(self.embedding.weight, -0.5, 0.5)
        nn.init.uniform_(self.fc.weight, -0.5, 0.5)
        nn.init.zeros_(self.fc.bias)

    def forward(self, text: Tensor, offsets: Tensor | None = None) -> Tensor:
        """Scores of the classes."""
        return self.fc(self.embedding(text, offsets))  # type: ignore[no-any-return]
