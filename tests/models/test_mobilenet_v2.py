"""MobileNetV2: its twin in PyTorch, published weights on photographs, depthwise convolutions."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from untrained import shapes

from kpjax.models.inverted_residuals import MobileNetV2Trunk
from kpjax.models.layers import depthwise_by_groups, depthwise_by_shifts, spatial_padding
from kpjax.models.weights.pretrained import load_backbone, read_safetensors, write_safetensors
from kpjax.models.weights.torch_names import from_torch

try:
    import torch
    from pytorch_twins import with_random_statistics
except ImportError:
    torch = None

# Of five photographs: class, probability, mean magnitudes of the feature maps of strides 2 to 32.
PHOTOGRAPHS = {
    "parrot": (89, 0.924, (3.4237, 5.2669, 4.4529, 3.1322, 1.3604)),
    "cat_720p": (286, 0.585, (1.6629, 3.7736, 3.9273, 2.9997, 1.5041)),
    "hot_dog": (935, 0.283, (1.5779, 3.5976, 3.9885, 2.9613, 1.3901)),
    "dragonfly": (320, 0.884, (3.0840, 4.7462, 4.0999, 2.8765, 1.5197)),
    "bird": (20, 0.742, (1.9756, 4.1901, 4.0225, 3.2505, 1.2900)),
}


@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
def test_it_equals_torchvisions(train):
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    twin = with_random_statistics(torchvision.models.mobilenet_v2(weights=None)).train(train)
    network = MobileNetV2Trunk()
    read, report = from_torch(twin.state_dict(), shapes(network))
    assert report.missing == ()
    images = np.random.default_rng(0).normal(size=(4, 64, 64, 3)).astype(np.float32)
    ours = jax.jit(lambda v, x: network.apply(v, x, train, mutable=["batch_stats"]))
    maps, _ = ours(read, images)
    x, theirs = torch.from_numpy(images.transpose(0, 3, 1, 2)), []
    with torch.no_grad():
        for number, layer in enumerate(twin.features[:18]):
            x = layer(x)
            if number in (1, 3, 6, 13, 17):
                theirs.append(x.numpy().transpose(0, 2, 3, 1))
    for mine, twins in zip(maps, theirs, strict=True):
        np.testing.assert_allclose(mine, twins, atol=1e-4 * np.abs(twins).max())


def test_timms_names_are_read(tmp_path):
    timm = pytest.importorskip("timm")
    twin = with_random_statistics(timm.create_model("mobilenetv2_100", features_only=True)).eval()
    whole = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
    write_safetensors(tmp_path / "w.safetensors", whole)
    network = MobileNetV2Trunk()
    read, report = load_backbone(shapes(network), tmp_path / "w.safetensors")
    assert report.missing == ()
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    maps = jax.jit(lambda v, x: network.apply(v, x, False))(read, images)
    with torch.no_grad():
        theirs = [x.numpy().transpose(0, 2, 3, 1) for x in twin(torch.from_numpy(images.transpose(0, 3, 1, 2)))]
    for mine, twins in zip(maps, theirs, strict=True):
        np.testing.assert_allclose(mine, twins, atol=1e-4 * np.abs(twins).max())


def test_published_weights_see_what_their_table_says(published_weights):
    path = published_weights("mobilenet_v2_imagenet.safetensors")
    network = MobileNetV2Trunk(padding="tensorflow")
    read, report = load_backbone(shapes(network), path)
    assert report.missing == ()
    tensors = read_safetensors(path)
    images = [Image.open(published_weights(f"photographs/{name}.png")).convert("RGB").resize(
        (224, 224), Image.Resampling.BILINEAR) for name in PHOTOGRAPHS]
    seen = np.stack([np.asarray(image, np.float32) / 127.5 - 1 for image in images])
    maps = jax.jit(lambda v, x: network.apply(v, x, False))(read, seen)
    last = np.einsum("bhwi,oi->bhwo", maps[-1], tensors["features.18.0.weight"][:, :, 0, 0])
    pooled = np.clip(last + tensors["features.18.0.bias"], 0, 6).mean((1, 2))
    logits = pooled @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    for number, (label, probability, magnitudes) in enumerate(PHOTOGRAPHS.values()):
        assert probabilities[number].argmax() == label
        assert round(float(probabilities[number].max()), 3) == probability
        assert [round(float(np.abs(x[number]).mean()), 4) for x in maps] == list(magnitudes)


# The depthwise convolution


@pytest.mark.parametrize("padding", ["torch", "tensorflow"])
@pytest.mark.parametrize("stride", [1, 2])
def test_both_forms_of_a_depthwise_convolution_agree_with_their_gradients(stride, padding):
    generator = np.random.default_rng(0)
    x, kernel = (generator.normal(size=shape).astype(np.float32) for shape in ((2, 8, 6, 5), (3, 3, 1, 5)))

    @jax.jit
    def both(x, kernel):
        padded = jnp.pad(x, spatial_padding(x.shape, 3, stride, padding))
        return [(form(padded, kernel, stride), jax.grad(
            lambda x, k: jnp.sin(form(jnp.pad(x, spatial_padding(x.shape, 3, stride, padding)), k, stride)).sum(),  # noqa: B023
            argnums=(0, 1))(x, kernel)) for form in (depthwise_by_shifts, depthwise_by_groups)]

    shifts, groups = both(x, kernel)
    assert shifts[0].shape == (2, 8 // stride, 6 // stride, 5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), shifts, groups)


@pytest.mark.parametrize(("side", "stride", "torch", "tensorflow"), [
    (8, 1, (1, 1), (1, 1)), (8, 2, (1, 1), (0, 1)), (7, 2, (1, 1), (1, 1)), (7, 1, (1, 1), (1, 1))])
def test_padding_of_both_kinds(side, stride, torch, tensorflow):
    for padding, expected in (("torch", torch), ("tensorflow", tensorflow)):
        assert spatial_padding((1, side, side, 4), 3, stride, padding) == [(0, 0), expected, expected, (0, 0)]
