"""Every layer beside torch's of the same name: text, state dict, results and gradients."""

import numpy as np
import pytest
from numserve.engine import Tensor, nn

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),  # torch's, of its speed
]

IMAGE, SOUND = (2, 4, 9, 8), (2, 4, 11)
LAYERS = {
    "Linear(5, 3)": [(2, 5), (5,), (2, 3, 5), (0, 5)],
    "Linear(5, 3, bias=False)": [(4, 5)],
    "Bilinear(3, 4, 2)": [((5, 3), (5, 4))],
    "Bilinear(3, 4, 2, bias=False)": [((2, 5, 3), (2, 5, 4))],
    "Identity(54, unused=True)": [(2, 3)],
    "Flatten()": [(2, 3, 4), (2, 3)],
    "Flatten(0, 1)": [(2, 3, 4)],
    "Unflatten(1, (2, 3))": [(4, 6)],
    "Conv1d(4, 6, 3)": [SOUND, (4, 11), (0, 4, 11)],
    "Conv1d(4, 6, 3, 2, 1, 2, 2, False)": [SOUND],
    "Conv1d(4, 6, 4, padding='same')": [SOUND],
    "Conv1d(4, 4, 3, padding=2, padding_mode='circular')": [SOUND],
    "Conv2d(4, 6, 3)": [IMAGE, (4, 9, 8), (0, 4, 9, 8), (1, 4, 3, 3)],
    "Conv2d(4, 6, 1)": [IMAGE, (2, 4, 1, 1)],
    "Conv2d(4, 6, 1, stride=2, bias=False)": [IMAGE],
    "Conv2d(4, 6, 1, stride=3, padding=1)": [IMAGE],
    "Conv2d(4, 6, 3, stride=2, padding=1)": [IMAGE, (1, 4, 1, 1)],
    "Conv2d(4, 6, (3, 2), stride=(1, 2), padding=(2, 0))": [IMAGE],
    "Conv2d(4, 6, 3, dilation=2, padding=2)": [IMAGE],
    "Conv2d(4, 6, 2, stride=3)": [IMAGE],
    "Conv2d(4, 6, 3, groups=2, padding=1)": [IMAGE],
    "Conv2d(4, 4, 3, groups=4, padding=1)": [IMAGE, (1, 4, 9, 8)],
    "Conv2d(4, 8, 3, groups=4, stride=2, padding=1, bias=False)": [IMAGE],
    "Conv2d(4, 2, 3, padding=1)": [IMAGE, (4, 9, 8), (0, 4, 9, 8)],
    "Conv2d(4, 1, (3, 2), dilation=2, bias=False)": [IMAGE],
    "Conv2d(4, 6, (2, 4), padding='same')": [IMAGE],
    "Conv2d(4, 6, 3, padding='same', dilation=2)": [IMAGE],
    "Conv2d(4, 6, 3, padding='valid')": [IMAGE],
    "Conv2d(4, 6, 3, padding=1, padding_mode='reflect')": [IMAGE],
    "Conv2d(4, 6, 3, padding=(1, 2), padding_mode='replicate')": [IMAGE],
    "Conv2d(4, 6, 3, padding='same', padding_mode='circular')": [IMAGE],
    "Conv3d(2, 3, 2, padding=1)": [(2, 2, 3, 4, 5)],
    "ConvTranspose1d(4, 6, 3, stride=2)": [SOUND],
    "ConvTranspose2d(4, 6, 3)": [IMAGE, (4, 9, 8), (0, 4, 9, 8)],
    "ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)": [IMAGE],
    "ConvTranspose2d(4, 6, 2, stride=2, groups=2)": [IMAGE],
    "ConvTranspose2d(4, 6, 3, dilation=2, bias=False)": [IMAGE],
    "ConvTranspose3d(2, 3, 2, stride=2)": [(2, 2, 3, 4, 5)],
    "BatchNorm1d(4)": [(5, 4), SOUND],
    "BatchNorm2d(4)": [IMAGE],
    "BatchNorm2d(4, affine=False)": [IMAGE],
    "BatchNorm2d(4, bias=False)": [IMAGE],
    "BatchNorm2d(4, track_running_stats=False)": [IMAGE],
    "BatchNorm2d(4, momentum=None, eps=1e-3)": [IMAGE],
    "BatchNorm3d(2)": [(2, 2, 3, 4, 5)],
    "LayerNorm(8)": [(3, 8), (2, 3, 8), (8,)],
    "LayerNorm((3, 4), eps=1e-3)": [(2, 3, 4)],
    "LayerNorm(8, bias=False)": [(3, 8)],
    "LayerNorm(8, elementwise_affine=False)": [(3, 8)],
    "RMSNorm(8)": [(3, 8)],
    "RMSNorm((3, 4), eps=1e-3, elementwise_affine=False)": [(2, 3, 4)],
    "GroupNorm(2, 4)": [IMAGE],
    "GroupNorm(2, 8)": [(3, 8)],
    "GroupNorm(4, 4, affine=False)": [SOUND],
    "GroupNorm(2, 4, bias=False)": [IMAGE],
    "InstanceNorm1d(4)": [SOUND, (4, 11)],
    "InstanceNorm2d(4, affine=True)": [IMAGE, (4, 9, 8)],
    "InstanceNorm2d(4, affine=True, track_running_stats=True)": [IMAGE],
    "LocalResponseNorm(2)": [IMAGE],
    "LocalResponseNorm(5, alpha=0.1, beta=0.5, k=2.0)": [(2, 7, 3), IMAGE],
    "MaxPool1d(3)": [SOUND, (4, 11)],
    "MaxPool2d(2)": [IMAGE, (4, 9, 8), (0, 4, 9, 8)],
    "MaxPool2d(3, stride=2, padding=1)": [IMAGE],
    "MaxPool2d((3, 2), stride=(2, 3), dilation=2)": [IMAGE],
    "MaxPool2d(3, stride=2, ceil_mode=True)": [IMAGE, (1, 1, 4, 7)],
    "MaxPool2d(2, stride=3, padding=1, ceil_mode=True)": [(1, 1, 2, 3), IMAGE],
    "MaxPool2d(1, stride=4)": [IMAGE],
    "MaxPool3d(2)": [(2, 2, 3, 4, 5)],
    "AvgPool1d(3, stride=2, padding=1)": [SOUND],
    "AvgPool2d(2)": [IMAGE, (4, 9, 8)],
    "AvgPool2d(3, stride=2, padding=1)": [IMAGE],
    "AvgPool2d(3, stride=2, padding=1, count_include_pad=False)": [IMAGE],
    "AvgPool2d(3, stride=2, padding=1, ceil_mode=True)": [IMAGE, (1, 1, 4, 7)],
    "AvgPool2d(3, stride=2, ceil_mode=True, count_include_pad=False)": [IMAGE],
    "AvgPool2d(3, divisor_override=2)": [IMAGE],
    "AvgPool3d(2)": [(2, 2, 3, 4, 5)],
    "LPPool2d(2, 3, stride=2)": [IMAGE],
    "AdaptiveAvgPool1d(3)": [SOUND],
    "AdaptiveAvgPool2d(1)": [IMAGE],
    "AdaptiveAvgPool2d((3, None))": [IMAGE, (4, 9, 8)],
    "AdaptiveAvgPool2d((12, 5))": [IMAGE],
    "AdaptiveAvgPool3d((2, 1, 3))": [(2, 2, 3, 4, 5)],
    "AdaptiveMaxPool1d(4)": [SOUND],
    "AdaptiveMaxPool2d((3, None))": [IMAGE],
    "AdaptiveMaxPool2d(5)": [IMAGE],
    "ZeroPad2d(1)": [IMAGE],
    "ZeroPad2d((1, -1, 0, 2))": [IMAGE],
    "ConstantPad1d((1, 2), 3.5)": [SOUND],
    "ReflectionPad1d(2)": [SOUND],
    "ReflectionPad2d((1, 2, 3, 0))": [IMAGE],
    "ReplicationPad2d(2)": [IMAGE],
    "CircularPad2d((1, 2, 3, 0))": [IMAGE],
    "Upsample(scale_factor=2)": [IMAGE, SOUND],
    "Upsample(scale_factor=1.7)": [IMAGE],
    "Upsample(size=(5, 20), mode='nearest-exact')": [IMAGE],
    "Upsample(size=(5, 20), mode='bilinear')": [IMAGE],
    "Upsample(scale_factor=(1.5, 2.3), mode='bilinear')": [IMAGE],
    "Upsample(scale_factor=1.7, mode='bilinear', recompute_scale_factor=True)": [IMAGE],
    "Upsample(size=13, mode='bilinear', align_corners=True)": [IMAGE],
    "Upsample(size=1, mode='bilinear', align_corners=True)": [IMAGE],
    "Upsample(size=25, mode='linear')": [SOUND],
    "Upsample(scale_factor=2.5, mode='bicubic')": [IMAGE],
    "Upsample(size=(4, 17), mode='bicubic', align_corners=True)": [IMAGE],
    "Upsample(size=(4, 17), mode='area')": [IMAGE],
    "UpsamplingNearest2d(scale_factor=3)": [IMAGE],
    "UpsamplingBilinear2d(size=(17, 5))": [IMAGE],
    "PixelShuffle(2)": [(2, 8, 3, 4), (8, 3, 4)],
    "PixelUnshuffle(2)": [(2, 3, 4, 6)],
    "ChannelShuffle(2)": [IMAGE],
    "ReLU()": [IMAGE],
    "ReLU6()": [IMAGE],
    "LeakyReLU(0.2)": [IMAGE],
    "PReLU()": [IMAGE, (3,)],
    "PReLU(4)": [IMAGE, (2, 4)],
    "ELU(0.7)": [IMAGE],
    "SELU()": [IMAGE],
    "CELU(1.3)": [IMAGE],
    "GELU()": [IMAGE],
    "GELU('tanh')": [IMAGE],
    "SiLU()": [IMAGE],
    "Mish()": [IMAGE],
    "Hardswish()": [IMAGE],
    "Hardsigmoid()": [IMAGE],
    "Hardtanh(-0.5, 1.5)": [IMAGE],
    "Sigmoid()": [IMAGE],
    "Tanh()": [IMAGE],
    "Softplus(2.0, 3.0)": [IMAGE],
    "Softsign()": [IMAGE],
    "Tanhshrink()": [IMAGE],
    "Hardshrink(0.7)": [IMAGE],
    "Softshrink(0.7)": [IMAGE],
    "LogSigmoid()": [IMAGE],
    "Softmax(1)": [IMAGE],
    "LogSoftmax(-1)": [IMAGE],
    "Softmin(1)": [IMAGE],
    "Softmax2d()": [IMAGE],
    "GLU(1)": [IMAGE],
    "Threshold(0.3, 2.0)": [IMAGE],
    "CosineSimilarity()": [((3, 5), (3, 5))],
    "PairwiseDistance()": [((3, 5), (3, 5))],
    "Dropout(0.4)": [],
    "Dropout2d(0.4, inplace=True)": [],
    "AlphaDropout()": [],
    "Embedding(5, 3, padding_idx=-1)": [],
    "EmbeddingBag(5, 3, mode='sum')": [],
}
ROWS = [
    pytest.param(text, shapes, mode, id=f"{text}-{shapes}-{mode}")
    for text, many in LAYERS.items()
    for shapes in many
    for mode in ("eval", "train")
    if mode == "eval" or ("Norm" in text and "Response" not in text)
]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def pair(torch, text):
    """The layer here and in torch, with the same lively values."""
    torch.manual_seed(3)
    theirs = eval(text, vars(torch.nn))
    for name, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if name.endswith("var") else torch.randn_like(tensor))
    ours = eval(text, vars(nn))
    ours.load_state_dict({name: Tensor(tensor.numpy().copy()) for name, tensor in theirs.state_dict().items()})
    return ours, theirs


def assert_close(ours, theirs):
    assert ours.shape == tuple(theirs.shape)
    wanted = theirs.detach().numpy()
    scale = max(1e-3, np.abs(wanted).max(initial=0))
    assert np.abs(ours.array - wanted).max(initial=0) <= 1e-4 * scale


@pytest.mark.parametrize("text", LAYERS)
def test_a_layer_prints_and_names_its_state_as_torch_does(torch, text):
    ours, theirs = eval(text, vars(nn)), eval(text, vars(torch.nn))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [p.shape for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]
    if text != "AvgPool1d(3, stride=2, padding=1)":  # torch prints that pool's numbers as tuples
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(("text", "shapes", "mode"), ROWS)
@pytest.mark.parametrize("layout", ["first", "last"])
def test_a_layer_gives_what_torch_gives(torch, text, shapes, mode, layout):
    ours, theirs = (getattr(layer, mode)() for layer in pair(torch, text))
    random = np.random.default_rng(5)
    shapes = shapes if isinstance(shapes[0], tuple) else (shapes,)
    arrays = [random.standard_normal(shape).astype(np.float32) * 2 for shape in shapes]
    if layout == "last" and arrays[0].ndim > 2:
        arrays = [np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) for a in arrays]
    inputs = [Tensor(array, requires_grad=True) for array in arrays]
    wanted = [torch.tensor(np.ascontiguousarray(array), requires_grad=True) for array in arrays]
    result, expected = ours(*inputs), theirs(*wanted)
    assert_close(result, expected)
    weights = random.standard_normal(result.shape).astype(np.float32)
    result.backward(Tensor(weights))
    expected.backward(torch.tensor(weights))
    for tensor, other in zip([*inputs, *ours.parameters()], [*wanted, *theirs.parameters()], strict=True):
        assert_close(tensor.grad, other.grad)
    for buffer, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert_close(buffer, other)


@pytest.mark.parametrize("text", ["MaxPool2d(3, 2, 1, return_indices=True)", "MaxPool2d(2, 3, 1, 1, True, True)",
                                  "MaxPool1d(3, return_indices=True)", "AdaptiveMaxPool2d((3, 5), True)"])  # fmt: skip
def test_pools_say_where_the_largest_values_were(torch, text):
    ours, theirs = pair(torch, text)
    x = np.random.default_rng(7).integers(0, 4, (2, 3, 9, 8)[: 4 if "2d" in text else 3]).astype(np.float32)
    (values, index), (expected, where) = ours(Tensor(x)), theirs(torch.tensor(x))
    assert values.tolist() == expected.tolist() and index.tolist() == where.tolist()


@pytest.mark.parametrize("size", [(18, 16), [19, 17]])
def test_a_transposed_convolution_can_be_told_its_size(torch, size):
    ours, theirs = pair(torch, "ConvTranspose2d(4, 6, 4, stride=2, padding=1)")
    x = np.random.default_rng(7).standard_normal(IMAGE).astype(np.float32)
    assert_close(ours(Tensor(x), output_size=size), theirs(torch.tensor(x), output_size=size))


def test_embeddings_give_what_torch_gives(torch):
    ours, theirs = pair(torch, "Embedding(5, 3, padding_idx=-1)")
    index = np.array([[0, 4, 1], [1, 1, 3]])
    result, expected = ours(Tensor(index)), theirs(torch.tensor(index))
    assert_close(result, expected)
    result.sum().backward()
    expected.sum().backward()
    assert_close(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", ["", ", padding_idx=1"])
def test_bags_of_embeddings_give_what_torch_gives(torch, mode, padding):
    ours, theirs = pair(torch, f"EmbeddingBag(5, 3, mode={mode!r}{padding})")
    index, offsets = np.array([0, 4, 1, 1, 3, 2]), np.array([0, 2, 2, 5])
    for given in ((index, offsets), (index.reshape(2, 3),)):
        ours.zero_grad()
        theirs.zero_grad()
        result, expected = ours(*map(Tensor, given)), theirs(*map(torch.tensor, given))
        assert_close(result, expected)
        (result * result).sum().backward()
        (expected * expected).sum().backward()
        assert_close(ours.weight.grad, theirs.weight.grad)
