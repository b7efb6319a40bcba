"""The model file of the segmentation example: a small fully convolutional network."""

from collections import OrderedDict

from numserve.engine import nn
from numserve.engine.models.blocks import Conv2dNormActivation, IntermediateLayerGetter
from numserve.engine.models.segmentation.fcn import FCN, FCNHead


class Things(FCN):
    """Scores of table, apple, leaf and tile for each pixel: (N, 3, H, W) → {"out": (N, 4, H, W)}."""

    def __init__(self):
        layers = nn.Sequential(
            OrderedDict(
                first=Conv2dNormActivation(3, 16, stride=2),
                second=Conv2dNormActivation(16, 32, stride=2),
                near=Conv2dNormActivation(32, 32, dilation=2),
                wide=Conv2dNormActivation(32, 32, dilation=4),
            )
        )
        super().__init__(IntermediateLayerGetter(layers, {"wide": "out"}), FCNHead(32, 4))
