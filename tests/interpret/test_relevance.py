import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import ViT, attention_maps, class_relevance
from vit_keras_lib.interpret import grad_cam, input_gradient
from vit_keras_lib.interpret.relevance import _open_block, gradient
from vit_keras_lib.interpret.residual import run_chain

METHODS = [class_relevance, grad_cam, input_gradient]
POOLS = [{"pool": "cls"}, {"pool": "mean"}, {"pool": "mean", "class_token": False}]
RED, BLUE, GREY = (255, 127.5, 127.5), (127.5, 127.5, 255), (127.5, 127.5, 127.5)
# Channels of the planted models' tokens.
IS_RED, IS_BLUE, SAW_RED, SAW_BLUE, SOURCE, RELAY, READER = range(7)
DIM = 10


def images(B=3, H=24, W=16):
    return np.random.default_rng(0).integers(0, 256, (B, H, W, 3), dtype="uint8")


def picture(patches):
    """A grey picture of 2 x 3 patches of 2 x 2 pixels, but for {place: colour}."""
    image = np.full((1, 4, 6, 3), GREY, "float32")
    for (r, c), colour in patches.items():
        image[0, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2] = colour
    return image


def planted(depth=1, position="none", **config):
    """A ViT whose tokens know their colour, and whose weights are zero behind that.

    A large constant on the last two channels keeps layer norm from undoing what is small.
    """
    model = ViT(
        (4, 6),
        2,
        patch_size=2,
        dim=DIM,
        depth=depth,
        num_heads=1,
        mlp_dim=4,
        position=position,
        **config,
    )
    for weight in model.weights:
        if "gamma" not in weight.path:
            weight.assign(np.zeros(weight.shape))
    constant = np.zeros(DIM)
    constant[-2:] = 5, -5
    encoder = model.get_layer("encoder")
    kernel = np.zeros((2, 2, 3, DIM))
    kernel[:, :, 0, IS_RED] = kernel[:, :, 2, IS_BLUE] = 0.5
    encoder.projection.set_weights([kernel.reshape(12, DIM), constant])
    if encoder.class_token:
        encoder.class_vector.assign(constant[None, None])
    for block in model.layers:
        if block.name.startswith("block"):
            block.attention.projection.kernel.assign(np.eye(DIM))
    return model


def colour_reader(**config):
    """Looks everywhere alike; class 0 is red, class 1 is blue."""
    model = planted(**config)
    qkv = np.zeros((DIM, 3, DIM))
    qkv[IS_RED, 2, SAW_RED] = qkv[IS_BLUE, 2, SAW_BLUE] = 1
    model.get_layer("block0").attention.qkv.kernel.assign(qkv.reshape(DIM, -1))
    head = np.zeros((DIM, 2))
    head[SAW_RED, 0] = head[SAW_BLUE, 1] = 1
    model.get_layer("head").kernel.assign(head)
    return model


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [*POOLS, {"pool": "cls", "register_tokens": 2}])
@pytest.mark.parametrize("place", [(0, 0), (0, 2), (1, 0), (1, 1)])
def test_the_patch_that_decides_is_found(method, kind, place):
    relevance = method(colour_reader(**kind), picture({place: RED}), 0)
    assert (relevance.shape, relevance.dtype) == ((1, 2, 3), np.float32)
    others = np.delete(relevance.ravel(), place[0] * 3 + place[1])
    assert relevance[0][place] > 1e-3
    assert np.abs(others).max() <= 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", POOLS)
def test_two_classes_are_found_at_two_patches(method, kind):
    model, two = colour_reader(**kind), picture({(0, 2): RED, (1, 0): BLUE})
    for class_index, place in enumerate([(0, 2), (1, 0)]):
        relevance = method(model, two, class_index)[0]
        assert relevance[place] == relevance.max() > 1e-3
        assert (np.delete(relevance.ravel(), place[0] * 3 + place[1]) <= 1e-6).all()


def test_relevance_goes_through_blocks_in_their_order():
    """Block 0: the relay reads the source. Block 1: the class token reads the relay."""
    model = planted(depth=2, position="learned")
    encoder = model.get_layer("encoder")
    table = np.zeros((6, DIM))
    source, relay = (0, 2), (1, 0)
    table[2, SOURCE] = table[3, RELAY] = 3
    encoder.position_table.assign(table)
    marker = np.zeros((1, 1, DIM))
    marker[..., READER] = 3
    encoder.class_position.assign(marker)
    for name, query, key, value, written in [
        ("block0", RELAY, SOURCE, IS_RED, SAW_RED),
        ("block1", READER, RELAY, SAW_RED, SAW_BLUE),
    ]:
        qkv = np.zeros((DIM, 3, DIM))
        qkv[query, 0, 0] = qkv[key, 1, 0] = 10
        qkv[value, 2, written] = 3
        model.get_layer(name).attention.qkv.kernel.assign(qkv.reshape(DIM, -1))
    head = np.zeros((DIM, 2))
    head[SAW_BLUE, 0] = 10
    model.get_layer("head").kernel.assign(head)
    relevance = class_relevance(model, picture({source: RED}), 0)[0]
    assert relevance[source] == relevance.max()
    assert relevance[relay] > 1e-3
    others = [relevance[at] for at in np.ndindex(2, 3) if at not in (source, relay)]
    assert max(others) < 1e-2 * relevance[source]


@pytest.mark.parametrize(
    "kind", [*POOLS, {"layer_scale": 0.5, "dropout": 0.5, "drop_path": 0.5, "register_tokens": 2}]
)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_block_in_the_open_is_the_block(tiny_vit, kind, dtype):
    model = tiny_vit(**kind, dtype=dtype)
    x = keras.Model(model.input, model.get_layer("block0").input)(images())
    open_x = x
    atol = 1e-5 if dtype == "float32" else 0.05
    for name in ("block0", "block1"):
        block = model.get_layer(name)
        x, weights = block(x, return_attention_scores=True)
        open_x, open_weights = _open_block(block, open_x, block.norm1(open_x), 0.0)
        assert open_x.dtype == x.dtype
        np.testing.assert_allclose(
            ops.convert_to_numpy(open_weights), ops.convert_to_numpy(weights), atol=atol
        )
    logits = run_chain(model, model.get_layer("norm"), open_x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(logits), ops.convert_to_numpy(model(images())), atol=atol
    )


def lively(model):
    """The model with a head of large weights, so that differences stand out of rounding."""
    model.get_layer("head").kernel.assign(np.random.default_rng(1).normal(size=(24, 5)))
    return model


def central_difference(function, x, step):
    """The gradient of a function from (n, ...) to (n,) at x, all coordinates in one batch."""
    steps = step * np.eye(x.size, dtype="float32").reshape(x.size, *x.shape)
    up, down = (ops.convert_to_numpy(function(x + s)) for s in (steps, -steps))
    return ((up - down) / (2 * step)).reshape(x.shape)


@pytest.mark.parametrize("kind", [*POOLS, {"locality": True}, {"stem": "conv"}])
def test_relevance_equals_finite_differences(tiny_vit, kind):
    model, x = lively(tiny_vit(**kind)), images(1)
    blocks = [model.get_layer(f"block{i}") for i in range(2)]
    tokens = keras.Model(model.input, blocks[0].input)(x)
    prefix = model.num_prefix_tokens
    T = prefix + 6

    def logit(probes):  # (n, 2, heads, T, T) -> (n,)
        y = ops.repeat(tokens, len(probes), axis=0)
        for i, block in enumerate(blocks):
            probe = ops.convert_to_tensor(probes[:, i])
            y, _ = _open_block(block, y, block.norm1(y), probe)
        return run_chain(model, model.get_layer("norm"), y)[:, 3]

    slopes = central_difference(logit, np.zeros((2, 3, T, T), "float32"), 1e-2)
    maps = attention_maps(model, x)[0]  # (2, heads, T, T)
    first, second = np.maximum(maps * slopes, 0).mean(1)
    R = first + second + second @ first  # (I + second) (I + first) - I
    rows = R[:1] if model.pool == "cls" else R[prefix:]
    expected = rows[:, prefix:].mean(0).reshape(3, 2)
    np.testing.assert_allclose(
        class_relevance(model, x, 3)[0], expected, atol=0.01 * expected.max()
    )


@pytest.mark.parametrize("kind", POOLS)
def test_grad_cam_equals_finite_differences(tiny_vit, kind):
    model, x = lively(tiny_vit(**kind)), images(1)
    last, prefix = model.get_layer("block1"), model.num_prefix_tokens
    tokens = keras.Model(model.input, last.input)(x)
    normed = ops.convert_to_numpy(last.norm1(tokens))[0]  # (T, dim)

    def logits(shifts):  # (n, dim): added to every patch alike -> (n, classes)
        n = len(shifts)
        inner = np.repeat(normed[None], n, axis=0)
        inner[:, prefix:] += shifts[:, None]
        y, _ = _open_block(last, ops.repeat(tokens, n, axis=0), ops.convert_to_tensor(inner), 0.0)
        return run_chain(model, model.get_layer("norm"), y)

    for k in range(5):
        slopes = central_difference(lambda x, k=k: logits(x)[:, k], np.zeros(24, "float32"), 0.05)
        signed = (normed[prefix:] @ slopes / 6).reshape(3, 2)
        np.testing.assert_allclose(
            grad_cam(model, x, k)[0], np.maximum(signed, 0), atol=0.01 * np.abs(signed).max()
        )
    assert grad_cam(model, x.repeat(5, 0), list(range(5))).max() > 0.01


@pytest.mark.parametrize("kind", [*POOLS, {"stem": "shifted"}])
def test_input_gradient_is_how_the_logit_grows_with_the_contrast_of_a_patch(tiny_vit, kind):
    model, x = lively(tiny_vit(**kind)), images(1).astype("float32")

    def logits(contrast):  # (n, 3, 2) -> (n, classes)
        pixels = contrast.repeat(8, 1).repeat(8, 2)[..., None]  # (n, 24, 16, 1)
        return model((x - 127.5) * pixels + 127.5)

    expected = np.stack(
        [
            central_difference(lambda x, k=k: logits(x)[:, k], np.ones((3, 2), "float32"), 0.02)
            for k in range(5)
        ]
    )
    assert expected.min() < -0.1 < 0.1 < expected.max()
    maps = input_gradient(model, x.repeat(5, 0), list(range(5)))
    np.testing.assert_allclose(maps, expected, atol=0.01 * expected.max())


@pytest.mark.parametrize("method", METHODS)
def test_which_class_is_asked_about(tiny_vit, method):
    model = tiny_vit()
    predicted = ops.convert_to_numpy(model(images())).argmax(-1)
    maps = method(model, images())
    np.testing.assert_allclose(maps, method(model, images(), predicted), atol=1e-6)
    np.testing.assert_allclose(maps, method(model, images(), list(map(int, predicted))), atol=1e-6)
    repeated = method(model, images().repeat(5, 0), [*range(5)] * 3, batch_size=3)
    each = repeated.reshape(3, 5, 3, 2).swapaxes(0, 1)  # (15, 3, 2) -> (classes, B, rows, columns)
    np.testing.assert_allclose(maps, each[predicted, np.arange(3)], atol=1e-5)
    assert not np.allclose(each[0], each[1], rtol=0.01)
    mixed = method(model, images(), [4, 0, 2], batch_size=1)
    np.testing.assert_allclose(mixed, each[[4, 0, 2], np.arange(3)], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_gives_about_the_same_map(tiny_vit, method):
    full, half = tiny_vit(), tiny_vit(dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    maps = method(half, images(), 1)
    assert maps.dtype == np.float32
    scale = np.abs(method(full, images(), 1)).max()
    np.testing.assert_allclose(maps, method(full, images(), 1), atol=0.1 * scale)


@pytest.mark.parametrize("method", METHODS)
def test_explaining_leaves_nothing_behind_in_the_layers(tiny_vit, method):
    model = tiny_vit()
    before = [len(layer._inbound_nodes) for layer in model.layers]
    method(model, images())
    assert [len(layer._inbound_nodes) for layer in model.layers] == before


@pytest.mark.parametrize("method", METHODS)
def test_bad_input(tiny_vit, method):
    model = tiny_vit()
    for wrong in (5, -1, 1.5, [0, 1], True, [[0, 1, 2]]):
        with pytest.raises(
            ValueError, match=r"each of the 3 images, whole numbers from 0 to 4, got"
        ):
            method(model, images(), wrong)
    with pytest.raises(ValueError, match=r"\(B, 24, 16, 3\), got \(1, 16, 24, 3\)"):
        method(model, images(1, 16, 24))
    with pytest.raises(ValueError, match=r"no TransformerBlock.*Dense"):
        method(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), images())
    with pytest.raises(ValueError, match=r"is a Functional and not a ViT"):
        method(keras.Model(model.input, model.output), images())


def test_gradient_of_a_known_function():
    """d (a^2 b) = 2ab da + a^2 db."""
    a, b = (ops.convert_to_tensor(v, "float32") for v in ([1.0, 2.0], [3.0, -1.0]))
    slopes, rest = gradient(lambda x: (ops.sum(x[0] ** 2 * x[1]), {"b": x[1]}), [a, b])
    np.testing.assert_allclose(ops.convert_to_numpy(slopes[0]), [6, -4])
    np.testing.assert_allclose(ops.convert_to_numpy(slopes[1]), [1, 4])
    np.testing.assert_allclose(ops.convert_to_numpy(rest["b"]), [3, -1])


def test_a_backend_without_gradients_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ValueError, match=r"runs on numpy, which has no gradients.*KERAS_BACKEND"):
        gradient(lambda x: (x[0], None), [ops.zeros(())])
