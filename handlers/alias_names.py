"""Which name of torch, torchvision and ts stands for which of ours; alias.py looks them up here.

A home is a module relative to this package: ".labels" is handlers/labels.py, "..engine.nn" is engine/nn.
"""

from __future__ import annotations

from .. import __version__

# Modules whose names are those of other modules, the first that has one.
MODULES: dict[str, tuple[str, ...]] = {
    "torch": ("..engine", ".torch_names"),
    "torch.autograd": ("..engine.autograd",),
    "torch.export": ("..engine.export",),
    "torch.jit": ("..engine.jit",),
    "torch.nn": ("..engine.nn",),
    "torch.nn.functional": ("..engine.nn.functional",),
    "torch.nn.init": ("..engine.nn.init",),
    "torch.nn.utils": ("..engine.nn.utils",),
    "torch.nn.utils.rnn": ("..engine.nn.sequence",),
    "torch.optim": ("..engine.optim",),
    "torch.optim.lr_scheduler": ("..engine.optim.lr_scheduler",),
    "torch.utils.data": ("..engine.data",),
    "torchvision.models": ("..engine.models",),
    "torchvision.models.alexnet": ("..engine.models.alexnet",),
    "torchvision.models._utils": ("..engine.models.blocks",),
    "torchvision.models.densenet": ("..engine.models.densenet",),
    "torchvision.models.detection": ("..engine.models.detection",),
    "torchvision.models.detection.anchor_utils": ("..engine.models.detection.anchor_utils",),
    "torchvision.models.detection.ssd": ("..engine.models.detection.ssd",),
    "torchvision.models.detection.ssdlite": ("..engine.models.detection.ssdlite",),
    "torchvision.models.detection.transform": ("..engine.models.detection.transform",),
    "torchvision.models.inception": ("..engine.models.inception",),
    "torchvision.models.mobilenet": ("..engine.models.mobilenetv2", "..engine.models.mobilenetv3"),
    "torchvision.models.mobilenetv2": ("..engine.models.mobilenetv2",),
    "torchvision.models.mobilenetv3": ("..engine.models.mobilenetv3",),
    "torchvision.models.resnet": ("..engine.models.resnet",),
    "torchvision.models.segmentation": ("..engine.models.segmentation",),
    "torchvision.models.segmentation.deeplabv3": ("..engine.models.segmentation.deeplabv3",),
    "torchvision.models.segmentation.fcn": ("..engine.models.segmentation.fcn",),
    "torchvision.models.squeezenet": ("..engine.models.squeezenet",),
    "torchvision.models.vgg": ("..engine.models.vgg",),
    "torchvision.ops": ("..engine.nn.functional.boxes", "..engine.models.blocks"),
    "torchvision.ops.boxes": ("..engine.nn.functional.boxes",),
    "torchvision.ops.misc": ("..engine.models.blocks",),
    "torchvision.transforms": (".transforms",),
    "torchvision.transforms.functional": (".imaging",),
}

_TORCH_NAMES = ".torch_names"
_ACCELERATORS = ("torch.cuda", "torch.xpu", "torch.backends.mps")

# Single names, each with its home as "module:attribute".
NAMES: dict[str, str] = {
    **{f"{place}.is_available": f"{_TORCH_NAMES}:is_available" for place in _ACCELERATORS},
    **{f"{place}.device_count": f"{_TORCH_NAMES}:device_count" for place in _ACCELERATORS[:2]},
    "torch.cuda.empty_cache": f"{_TORCH_NAMES}:empty_cache",
    "torch.autograd.Variable": f"{_TORCH_NAMES}:Variable",
    "torch.load": f"{_TORCH_NAMES}:load",
    "torch.save": f"{_TORCH_NAMES}:save",
    "torch.nn.Parameter": "..engine.nn:Parameter",
    "torch.nn.parameter.Parameter": "..engine.nn:Parameter",
    "torch.nn.modules.module.Module": "..engine.nn:Module",
    "torch.autocast": f"{_TORCH_NAMES}:Nothing",
    "torch.amp.autocast": f"{_TORCH_NAMES}:Nothing",
    "torch.cuda.amp.autocast": f"{_TORCH_NAMES}:Nothing",
    "torch.profiler.profile": f"{_TORCH_NAMES}:Nothing",
    "torch.profiler.record_function": f"{_TORCH_NAMES}:Nothing",
    "torch.profiler.ProfilerActivity": f"{_TORCH_NAMES}:ProfilerActivity",
    "ts.context.Context": ".context:Context",
    "ts.context.RequestProcessor": ".context:RequestProcessor",
    "ts.torch_handler.base_handler.BaseHandler": ".base:BaseHandler",
    "ts.torch_handler.vision_handler.VisionHandler": ".vision:VisionHandler",
    "ts.torch_handler.image_classifier.ImageClassifier": ".image_classifier:ImageClassifier",
    "ts.torch_handler.image_segmenter.ImageSegmenter": ".image_segmenter:ImageSegmenter",
    "ts.torch_handler.object_detector.ObjectDetector": ".object_detector:ObjectDetector",
    "ts.torch_handler.text_classifier.TextClassifier": ".text_classifier:TextClassifier",
    "ts.torch_handler.text_handler.TextHandler": ".text:TextHandler",
    "ts.torch_handler.request_envelope.base.BaseEnvelope": ".envelopes:BaseEnvelope",
    "ts.torch_handler.request_envelope.body.BodyEnvelope": ".envelopes:BodyEnvelope",
    "ts.torch_handler.request_envelope.json.JSONEnvelope": ".envelopes:JSONEnvelope",
    "ts.torch_handler.request_envelope.kserve.KServeEnvelope": ".envelopes:KServeEnvelope",
    "ts.torch_handler.request_envelope.kservev2.KServev2Envelope": ".envelopes:KServev2Envelope",
    "ts.utils.util.PredictionException": ".errors:PredictionException",
    "ts.utils.util.list_classes_from_module": ".modules:list_classes_from_module",
    "ts.utils.util.load_label_mapping": ".labels:load_label_mapping",
    "ts.utils.util.map_class_to_label": ".labels:map_class_to_label",
    "ts.utils.util.get_yaml_config": ".model_yaml:get_yaml_config",
    "ts.handler_utils.utils.import_class": ".modules:import_class",
    "ts.handler_utils.utils.send_intermediate_predict_response": ".streaming:send_intermediate_predict_response",
    "ts.protocol.otf_message_handler.send_intermediate_predict_response": (
        ".streaming:send_intermediate_predict_response"
    ),
    "ts.handler_utils.timer.timed": ".timing:timed",
    "ts.handler_utils.micro_batching.MicroBatching": ".micro_batching:MicroBatching",
    "ts.metrics.dimension.Dimension": ".metrics:Dimension",
    "ts.metrics.metric_type_enum.MetricTypes": ".metrics:MetricTypes",
    "ts.metrics.metric_cache_errors.MetricsCacheKeyError": ".metrics:MetricsCacheKeyError",
    "ts.metrics.metric_cache_errors.MetricsCacheTypeError": ".metrics:MetricsCacheTypeError",
    "ts.metrics.metric_cache_errors.MetricsCacheValueError": ".metrics:MetricsCacheValueError",
}

# Plain values: the versions are those whose behaviour the engine follows.
VALUES: dict[str, object] = {
    "torch.__version__": "2.13.0",
    "torch.version.__version__": "2.13.0",
    "torch.version.cuda": None,
    "torchvision.__version__": "0.28.0",
    "ts.__version__": __version__,
    "ts.version.__version__": __version__,
}

_LATER_HANDLER = "this default handler is not available in this release of numserve"

# TorchServe's own names that are known and still missing, with the reason.
NOT_YET: dict[str, str] = {
    "ts.torch_handler.densenet_handler": _LATER_HANDLER,
    "ts.torch_handler.dali_image_classifier": _LATER_HANDLER,
    "ts.torch_handler.vllm_handler": _LATER_HANDLER,
    "ts.torch_handler.trt_llm_handler": _LATER_HANDLER,
    "ts.torch_handler.distributed": _LATER_HANDLER,
}
