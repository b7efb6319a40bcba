import re
import time
import tracemalloc

import numpy as np
import pytest
from numserve.engine import Tensor, compile_module, manual_seed, nn, no_grad
from numserve.engine.errors import DtypeError, EngineError, OutOfRangeError, ShapeError, UnsupportedOpError
from numserve.engine.nn import functional as F


def some(*shape):
    return Tensor(np.random.default_rng(1).standard_normal(shape).astype(np.float32))


INPLACE = {
    "ReLU": {}, "ReLU6": {}, "LeakyReLU": {}, "ELU": {}, "SELU": {}, "CELU": {}, "SiLU": {}, "Mish": {},
    "Hardswish": {}, "Hardsigmoid": {}, "Hardtanh": {}, "Threshold": {"threshold": 0.1, "value": 2.0},
}  # fmt: skip


@pytest.mark.parametrize("name", INPLACE)
@pytest.mark.parametrize("recorded", [False, True])
def test_an_activation_in_place_gives_the_same_in_the_same_memory(name, recorded):
    layer = getattr(nn, name)
    source = some(3, 4).requires_grad_(recorded)
    wanted = layer(**INPLACE[name])(source)
    x = source * 1
    result = layer(**INPLACE[name], inplace=True)(x)
    assert result.array is x.array and result.tolist() == wanted.tolist()
    assert result.requires_grad is recorded


@pytest.mark.parametrize("name", INPLACE)
def test_a_leaf_that_wants_a_gradient_is_not_changed_in_place(name):
    with pytest.raises(EngineError, match="leaf"):
        getattr(nn, name)(**INPLACE[name], inplace=True)(some(3).requires_grad_())


def gradients(inplace):
    manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1),
        nn.Hardswish(inplace), nn.Flatten(), nn.Linear(36, 2), nn.LeakyReLU(0.1, inplace),
    )  # fmt: skip
    net(some(8, 1, 6, 6)).sum().backward()
    return [parameter.grad.tolist() for parameter in net.parameters()]


def test_gradients_are_the_same_through_activations_in_place():
    assert gradients(True) == gradients(False)


def test_the_result_of_a_convolution_can_be_viewed_flat():
    x = F.max_pool2d(F.conv2d(some(2, 3, 8, 8), some(4, 3, 3, 3)), 2)
    assert x.view(-1, 36).tolist() == x.reshape(2, 36).tolist() == x.array.reshape(2, 36).tolist()


def test_half_precision_convolves_in_float32():
    x, w = some(1, 3, 6, 6), some(4, 3, 3, 3)
    half = F.conv2d(x.half(), w.half())
    assert half.dtype.name == "float16"
    np.testing.assert_allclose(half.array, F.conv2d(x, w).array, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("outputs", [64, 16])
def test_a_large_convolution_takes_little_memory(outputs):
    x, w = some(1, 64, 112, 112), some(outputs, 64, 3, 3)
    tracemalloc.start()
    F.conv2d(x, w, padding=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * x.array.nbytes  # all columns at once would be nine times the input


CONV_ERRORS = {
    "conv: input (1, 3, 8, 8) has 3 channels; weight (4, 2, 3, 3) with groups=1 expects 2": lambda: F.conv2d(
        some(1, 3, 8, 8), some(4, 2, 3, 3)
    ),
    "conv: input (1, 4, 8, 8) has 4 channels; weight (4, 1, 3, 3) with groups=2 expects 2": lambda: F.conv2d(
        some(1, 4, 8, 8), some(4, 1, 3, 3), groups=2
    ),
    "conv: weight (4, 2, 3, 3) cannot be divided into 3 groups": lambda: F.conv2d(
        some(1, 6, 8, 8), some(4, 2, 3, 3), groups=3
    ),
    "conv: a window that spans (5, 5) does not fit into the padded input (4, 4)": lambda: F.conv2d(
        some(1, 1, 2, 2), some(1, 1, 3, 3), padding=1, dilation=2
    ),
    "conv: bias (2,) does not fit weight (4, 2, 3, 3); expected (4,)": lambda: F.conv2d(
        some(1, 2, 8, 8), some(4, 2, 3, 3), some(2)
    ),
    "conv2d: expected 4 dims (or 3 without a batch), met Size([8, 8])": lambda: F.conv2d(some(8, 8), some(1, 1, 3, 3)),
    "padding 'same' needs a stride of 1, met (2, 2)": lambda: F.conv2d(
        some(1, 1, 8, 8), some(1, 1, 3, 3), stride=2, padding="same"
    ),
    "max_pool: padding 2 is more than half of the kernel's size 3": lambda: F.max_pool2d(
        some(1, 1, 8, 8), 3, padding=2
    ),
    "batch_norm: input (2, 3, 4, 4) has 3 channels, met values for (4,)": lambda: F.batch_norm(
        some(2, 3, 4, 4), some(4), some(4)
    ),
    "batch_norm: training needs more than 1 value a channel, met input Size([1, 3])": lambda: F.batch_norm(
        some(1, 3), None, None, training=True
    ),
    "layer_norm: input Size([2, 3]) does not end in the normalized shape (4,)": lambda: F.layer_norm(some(2, 3), (4,)),
    "group_norm: 3 channels of input (2, 3, 4) cannot be divided into 2 groups": lambda: F.group_norm(some(2, 3, 4), 2),
    "glu: size 3 of dim -1 of Size([2, 3]) cannot be halved": lambda: F.glu(some(2, 3)),
    "pixel_shuffle: input Size([1, 3, 2, 2]); expected channels in multiples of 4": lambda: F.pixel_shuffle(
        some(1, 3, 2, 2), 2
    ),
    "one_hot: classes from 0 to 3 do not fit 2 classes from 0 on": lambda: F.one_hot(Tensor(np.array([0, 3])), 2),
    "met 3 numbers (1, 2, 3); expected 1 or 2, one a dim": lambda: F.max_pool2d(some(1, 1, 8, 8), (1, 2, 3)),
}


@pytest.mark.parametrize("message", CONV_ERRORS)
def test_what_does_not_fit_is_said(message):
    with pytest.raises(ShapeError, match=re.escape(message)):
        CONV_ERRORS[message]()


def test_mixed_dtypes_are_named():
    with pytest.raises(DtypeError, match="float32, float64; expected one dtype"):
        F.conv2d(some(1, 1, 4, 4).double(), some(1, 1, 3, 3))


def test_what_is_not_there_is_named():
    with pytest.raises(
        ShapeError, match="antialias=True takes .N, C, H, W. and bilinear, bicubic, lanczos; met nearest"
    ):
        F.interpolate(some(1, 1, 4, 4), 8, antialias=True)
    with pytest.raises(UnsupportedOpError, match="expected one of nearest"):
        F.interpolate(some(1, 1, 4, 4), 8, mode="lanczos")
    with pytest.raises(UnsupportedOpError, match="'none' or 'tanh'"):
        F.gelu(some(2), "fast")


def test_dropout_keeps_the_mean_and_drops_its_share():
    manual_seed(1)
    x = Tensor(np.ones((200, 200), np.float32))
    dropped = F.dropout(x, 0.3)
    assert abs((dropped.array == 0).mean() - 0.3) < 0.02 and abs(dropped.array.mean() - 1) < 0.02
    assert F.dropout(x, 0.3, training=False) is x and (F.dropout(x, 1.0).array == 0).all()


def test_dropout_of_channels_drops_whole_ones():
    manual_seed(1)
    x = Tensor(np.ones((10, 20, 3, 3), np.float32))
    assert set(F.dropout2d(x, 0.5).array.mean(axis=(2, 3)).ravel()) == {0.0, 2.0}
    assert set(F.dropout1d(x.reshape(10, 20, 9), 0.5).array.mean(axis=2).ravel()) == {0.0, 2.0}


def test_alpha_dropout_keeps_mean_and_variance():
    manual_seed(1)
    x = Tensor(np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32))
    dropped = F.alpha_dropout(x, 0.2, training=True).array
    assert abs(dropped.mean()) < 0.02 and abs(dropped.var() - 1) < 0.03


def test_dropout_repeats_with_the_seed():
    drops = []
    for _ in range(2):
        manual_seed(5)
        drops.append(F.dropout(some(50)).tolist())
    assert drops[0] == drops[1]


def test_max_pool_lets_nan_through():
    x = Tensor(np.array([[[1.0, np.nan, 3.0, 4.0]]]))
    assert np.isnan(F.max_pool1d(x, 2).array).tolist() == [[[True, False]]]


def test_normalize_and_similarity():
    x = Tensor(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert F.normalize(x).tolist() == [[0.6, 0.8], [0, 0]]
    assert F.normalize(x, p=1, dim=0).tolist() == [[1, 1], [0, 0]]
    assert F.cosine_similarity(x[:1], Tensor(np.array([[4.0, 3.0]]))).item() == pytest.approx(0.96)


def test_one_hot_counts_the_classes_itself():
    assert F.one_hot(Tensor(np.array([0, 2]))).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_building_a_large_model_is_quick_and_its_values_come_when_asked_for():
    start = time.thread_time()
    layers = [nn.Linear(4096, 4096) for _ in range(8)]
    assert time.thread_time() - start < 0.25  # drawing half a gigabyte takes seconds
    with no_grad():
        assert abs(layers[0].weight.array).max() <= 1 / 64


def test_bags_say_what_is_wrong_with_them() -> None:
    table, rows = Tensor(np.ones((4, 2), np.float32)), Tensor(np.array([0, 3, 1]))
    with pytest.raises(ShapeError, match=r"input .*3.* needs offsets; a 2-d one does not"):
        F.embedding_bag(rows, table)
    for offsets in ([1, 2], [0, 2, 1], [0, 4]):
        with pytest.raises(OutOfRangeError, match=rf"offsets \{str(offsets)[:-1]}\] for 3 rows"):
            F.embedding_bag(rows, table, Tensor(np.array(offsets)))
    with pytest.raises(OutOfRangeError, match="index 4 is out of bounds for a table of 4 rows"):
        F.embedding_bag(Tensor(np.array([[4]])), table)
    with pytest.raises(UnsupportedOpError, match="per_sample_weights go with mode 'sum' alone"):
        F.embedding_bag(rows, table, Tensor(np.array([0])), per_sample_weights=Tensor(np.ones(3, np.float32)))


def test_bags_of_any_length_are_one_graph() -> None:
    class Bagged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.fc = nn.EmbeddingBag(9, 4), nn.Linear(4, 3)

        def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
            return self.fc(self.embedding(text, offsets))

    module, offsets = Bagged().eval(), Tensor(np.array([0, 2]))
    compiled = compile_module(module, Tensor(np.array([1, 2, 8, 0, 3])), offsets)
    with no_grad():
        for text in ([1, 2, 8, 0, 3], [4, 4, 7]):
            given = Tensor(np.array(text)), offsets
            assert np.allclose(compiled(*given).numpy(), module(*given).numpy(), atol=1e-6)
    assert compiled.describe()["mode"] == "plan" and compiled.eager_calls == 0


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_large_images_are_resized_as_parts_of_them_are(mode):
    x = some(2, 3, 450, 7)
    whole = F.interpolate(x, size=(90, 14), mode=mode)
    exact = F.interpolate(x.double(), size=(90, 14), mode=mode)
    assert np.abs(whole.numpy() - exact.numpy()).max() < 1e-5
    middle = F.interpolate(x[:, :, 50:100], size=(10, 14), mode=mode)
    assert np.allclose(whole[:, :, 11:19].numpy(), middle[:, :, 1:9].numpy(), atol=1e-5)
