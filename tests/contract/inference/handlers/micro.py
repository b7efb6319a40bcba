"""A handler whose batches go through its three steps in micro-batches."""

from ts.handler_utils.micro_batching import MicroBatching
from ts.torch_handler.base_handler import BaseHandler


class Micro(BaseHandler):
    def __init__(self):
        super().__init__()
        self.handle = MicroBatching(self, micro_batch_size=2, parallelism={"inference": 2})

    def initialize(self, context):
        self.context = context

    def preprocess(self, data):
        return [row["body"] for row in data]

    def inference(self, data):
        return [text.upper() for text in data]

    def postprocess(self, data):
        return data

    def get_insights(self, tensor_data, raw_data, target=0):
        return [{"explained": item} for item in tensor_data]
