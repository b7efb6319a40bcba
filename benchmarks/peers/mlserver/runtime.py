"""MLServer: the model behind the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput
from models import load


class Served(MLModel):
    async def load(self) -> bool:
        self.model = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        answer = self.model(_given(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[_output(answer)])


def _given(sent: RequestInput) -> Any:
    if sent.datatype != "BYTES":
        return NumpyCodec.decode_input(sent)[0]
    if sent.parameters and sent.parameters.content_type == "base64":
        return Base64Codec.decode_input(sent)[0]
    return StringCodec.decode_input(sent)[0]


def _output(answer: Any) -> ResponseOutput:
    if isinstance(answer, list):
        return NumpyCodec.encode_output("y", np.asarray([answer], np.float32))
    return StringCodec.encode_output("y", [answer if isinstance(answer, str) else repr(answer)])
