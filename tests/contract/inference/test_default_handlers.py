"""Contract: handlers, section 5: the default handlers for pictures and texts, over HTTP and with real workers."""

import io
import json
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from numserve import engine
from numserve.archiver import ModelArchiverConfig, pack
from PIL import Image

EXAMPLES = Path(__file__).parents[3] / "examples"
FINDS = """
import torch
from torch import nn

class Finds(nn.Module):
    def forward(self, images):
        box = torch.tensor([[0.0, 0.0, images.shape[3], images.shape[2]]])
        labels = torch.tensor([1, 2, 3])
        return [{"boxes": box.repeat(3, 1), "labels": labels, "scores": each.mean(dim=(1, 2))} for each in images]
"""


def serve(contract, name, folder, handler, serialized=None, extra=(), yaml=None):
    """Pack what lies in a folder, and register it."""
    config = ModelArchiverConfig(
        name, handler, "1.0", serialized_file=str(folder / serialized) if serialized else None,
        model_file=str(folder / "model.py"), extra_files=",".join(str(folder / each) for each in extra) or None,
        config_file=yaml, export_path=str(contract.server.store), force=True,
    )  # fmt: skip
    query = urlencode({"url": pack(config).name, "initial_workers": 1, "synchronous": "true"})
    answer = contract.request("POST", f"/models?{query}", listener="management")
    assert answer.status == 200, answer.body
    return name


@pytest.fixture(scope="module")
def things(contract):
    labels = ("index_to_name.json",)
    return serve(contract, "things", EXAMPLES / "segmentation", "image_segmenter", "table.pth", labels)


@pytest.fixture(scope="module")
def topics(contract, tmp_path_factory):
    yaml = tmp_path_factory.mktemp("topics") / "c.yaml"
    yaml.write_text("batchSize: 2\nmaxBatchDelay: 1000\nfixedDelay: true\n")
    files = ("source_vocab.pt", "index_to_name.json")
    folder = EXAMPLES / "text_classification"
    return serve(contract, "topics", folder, "text_classifier", "topics.pth", files, str(yaml))


@pytest.fixture(scope="module")
def finds(contract, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finds")
    (folder / "model.py").write_text(FINDS)
    (folder / "index_to_name.json").write_text('{"1": "red", "2": ["n2", "green"], "3": "blue"}')
    return serve(contract, "finds", folder, "object_detector", extra=("index_to_name.json",))


def png(width=40, height=30, colour=(255, 0, 204)):
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "PNG")
    return stream.getvalue()


def test_each_pixel_is_answered_with_its_class_and_probability(contract, things):
    folder = EXAMPLES / "segmentation" / "samples"
    truth = np.asarray(Image.open(folder / "0_classes.png"))[16:240, 16:240]
    picture = (folder / "0.png").read_bytes()

    answers = [
        contract.post(f"/predictions/{things}", picture),
        contract.json(f"/predictions/{things}", {"data": b64encode(picture).decode()}),
        contract.request("PUT", f"/predictions/{things}/1.0", picture),
    ]

    assert {answer.status for answer in answers} == {200} and len({answer.body for answer in answers}) == 1
    pixels = np.array(answers[0].json())
    assert pixels.shape == (224, 224, 2)
    assert (pixels[..., 0] == truth).mean() > 0.95
    assert (pixels[..., 1] >= 0.25).all() and (pixels[..., 1] <= 1).all()


def test_a_segmenter_runs_on_a_plan_and_takes_tensors(contract, things):
    (told,) = contract.management("GET", f"/models/{things}").json()
    assert told["workers"][0]["engine"]["mode"] == "plan"
    answer = contract.json(f"/predictions/{things}", np.zeros((3, 32, 48)).tolist())
    assert np.array(answer.json()).shape == (32, 48, 2)


def test_what_is_no_picture_is_refused(contract, things):
    status, kind, message = contract.post(f"/predictions/{things}", b"no picture").error
    assert (status, kind) == (503, "InternalServerException")
    assert "request 0 holds no readable picture" in message


def test_things_come_with_their_boxes_and_scores(contract, finds):
    answer = contract.post(f"/predictions/{finds}", png())
    box = [0.0, 0.0, 40.0, 30.0]
    assert answer.json() == [{"red": box, "score": 1.0}, {"blue": box, "score": pytest.approx(0.8)}]
    assert contract.post(f"/predictions/{finds}", png(colour=(0, 0, 0))).json() == []
    assert contract.post(f"/explanations/{finds}", png()).status == 501


def test_every_topic_has_its_probability_for_each_text_of_a_batch(contract, topics):
    path = f"/predictions/{topics}"
    form = (
        '--x\r\nContent-Disposition: form-data; name="data"\r\n\r\nThe striker scores in the last minute!\r\n--x--\r\n'
    )

    first, second = contract.at_once(
        lambda: contract.post(path, "Heavy rain hits the coast tonight.", "text/plain"),
        lambda: contract.post(path, form, "multipart/form-data; boundary=x"),
    )

    names = list(json.loads((EXAMPLES / "text_classification" / "index_to_name.json").read_text()).values())
    for answer, topic in ((first, "weather"), (second, "sports")):
        told = answer.json()
        assert list(told) == names and max(told, key=told.get) == topic
        assert sum(told.values()) == pytest.approx(1, abs=1e-5)
    assert contract.json(path, [1]).error[0] == 503


def test_the_words_of_a_text_are_explained(contract, topics):
    told = contract.post(f"/explanations/{topics}", "The oven is cold.", "text/plain").json()
    assert told["words"][:4] == ["the", "oven", "is", "cold"] and len(told["words"]) == len(told["importances"]) == 7


def test_a_detector_of_the_engines_answers_by_a_plan_of_its_layers(contract, tmp_path):
    (tmp_path / "model.py").write_text(
        "from torchvision.models.detection import SSD\n"
        "from torchvision.models.detection.ssdlite import ssdlite320_mobilenet_v3_large\n\n"
        "class Detector(SSD):\n"
        "    def __init__(self):\n"
        "        made = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2)\n"
        "        super().__init__(made.backbone, made.anchor_generator, (320, 320), 2, head=made.head)\n"
    )
    engine.manual_seed(0)
    serve(contract, "detector", tmp_path, "object_detector")

    answer = contract.post("/predictions/detector", png(64, 48))
    (told,) = contract.management("GET", "/models/detector").json()

    assert answer.status == 200
    assert all(set(thing) == {"1", "score"} and thing["score"] >= 0.5 for thing in answer.json())
    assert told["workers"][0]["engine"]["mode"] == "plan" and told["workers"][0]["engine"]["eagerCalls"] == 0
