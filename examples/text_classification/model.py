"""The model file of the text classification example: a bag of embeddings and a linear layer."""

from numserve.engine.models.text_classification import TextClassificationModel


class Topics(TextClassificationModel):
    """Scores of four topics, from 1,024 words and pairs of words."""

    def __init__(self):
        super().__init__(1024, 8, 4)
