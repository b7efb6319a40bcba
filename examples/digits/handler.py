"""The handler of the digits example: any picture of a light digit on dark ground, seen as 8 by 8 grey pixels."""

from numserve.handlers.image_classifier import ImageClassifier
from numserve.handlers.transforms import Compose, Lambda, Resize, ToTensor


class DigitsClassifier(ImageClassifier):
    """An ImageClassifier that differs in what it makes of a picture."""

    topk = 3
    image_processing = Compose([Lambda(lambda image: image.convert("L")), Resize((8, 8)), ToTensor()])
