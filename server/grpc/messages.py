"""The messages of every service, as classes of protobuf's.

They live in a pool of their own: what a handler or a client in the same process imports under the same names, such as
tritonclient's messages, is not in their way. No code is generated, so that none of it can be too old or too new for the
protobuf that is installed.
"""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import any_pb2, empty_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from .descriptors import FILES

POOL = DescriptorPool()
for _needed in (any_pb2, empty_pb2):
    POOL.AddSerializedFile(_needed.DESCRIPTOR.serialized_pb)
for _file in FILES.values():
    POOL.AddSerializedFile(base64.b64decode(_file))

Message = Any
"""An instance of such a class: its fields are known to protobuf alone."""


def message_class(name: str) -> Any:
    """The class of a message by its full name, such as `inference.ModelInferRequest`."""
    return GetMessageClass(POOL.FindMessageTypeByName(name))


def service(name: str) -> ServiceDescriptor:
    """What is known of a service by its full name: its methods, and what they take and give."""
    return POOL.FindServiceByName(name)
