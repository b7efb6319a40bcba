"""DenseNet-161 as a model file: exactly one class, made without arguments."""

from numserve.engine.models.densenet import DenseNet


class ImageClassifier(DenseNet):
    """torchvision's densenet161: growth 48, blocks of 6, 12, 36 and 24 layers, 96 channels out of the stem."""

    def __init__(self):
        super().__init__(48, (6, 12, 36, 24), 96)
