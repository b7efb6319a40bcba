"""Models that find things in pictures (torchvision.models.detection)."""

from .ssd import SSD, ssd300_vgg16
from .ssdlite import ssdlite320_mobilenet_v3_large

__all__ = ["SSD", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"]
