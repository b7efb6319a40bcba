"""A handler of TorchServe's kind whose three faces can be told apart: prediction, explanation, description."""

from ts.torch_handler.base_handler import BaseHandler


class Explaining(BaseHandler):
    def initialize(self, context):
        self.context = context
        self.initialized = True

    def preprocess(self, data):
        return [row if not isinstance(row, dict) else row.get("data") or row.get("body") for row in data]

    def inference(self, data):
        self.context.metrics.add_counter("ContractRequests", len(data))
        return data

    def postprocess(self, data):
        return [{"predicted": str(item)} for item in data]

    def get_insights(self, tensor_data, raw_data, target=0):
        return [{"explained": str(item), "target": str(target)} for item in tensor_data]

    def describe_handle(self):
        return {"about": "three faces"}
