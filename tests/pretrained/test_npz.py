"""google-research's `.npz` against a forward pass in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras_lib import load_pretrained
from vit_keras_lib.models import VARIANTS

LINEN = {
    "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0",
    "LayerNorm_2": "LayerNorm_1",
    "MlpBlock_3": "MlpBlock_0",
}
OLD_POSITIONS = "Transformer/posembed_input/pos_embedding"


def renamed(params, names):
    result = {}
    for name, value in params.items():
        for old, new in names.items():
            name = name.replace(old, new)
        result[name] = value
    return result


def logits(model, images):
    return ops.convert_to_numpy(model(images))


@pytest.fixture
def save(tmp_path):
    def save(params, name="model.npz", writer=np.savez):
        writer(tmp_path / name, **params)
        return tmp_path / name

    return save


@pytest.mark.parametrize("rep", [None, 16], ids=["head", "pre_logits"])
@pytest.mark.parametrize("class_token", [True, False], ids=["token", "gap"])
def test_logits_equal_the_numpy_forward_pass(
    flax_params, flax_forward, raw_images, save, rep, class_token
):
    params = flax_params(rep=rep, class_token=class_token)
    model = load_pretrained(save(params))
    images = raw_images(24, 24)
    expected = flax_forward(params, images / 127.5 - 1)
    np.testing.assert_allclose(logits(model, images), expected, atol=1e-5)
    assert (model.image_size, model.patch_size, model.num_heads) == ((24, 24), (8, 8), 3)
    assert (model.representation_size, model.pool) == (rep, "cls" if class_token else "mean")
    assert (model.activation, model.epsilon) == ("gelu_tanh", 1e-6)
    # The exact GELU is another function, and it shows.
    exact = flax_forward(params, images / 127.5 - 1, exact_gelu=True)
    assert np.abs(exact - expected).max() > 3e-5


def linen(params):
    return renamed(params, LINEN)


def trained_state(params):
    state = {f"opt/target/{name}": value for name, value in params.items()}
    return {**state, "opt/state/step": np.int32(7)}


@pytest.mark.parametrize(
    "layout",
    [
        linen,
        trained_state,
        lambda params: renamed(params, {"": ""}),
        lambda params: {f"params/{name}": value for name, value in linen(params).items()},
        lambda params: renamed(params, {OLD_POSITIONS: "Transformer/pos_embedding"}),
        lambda params: linen(renamed(params, {OLD_POSITIONS: "pos_embedding"})),
    ],
    ids=["linen", "opt/target", "plain", "params", "2021", "2022"],
)
def test_every_published_naming_gives_the_same_model(flax_params, raw_images, save, layout):
    params, images = flax_params(), raw_images(24, 24)
    plain = logits(load_pretrained(save(params)), images)
    other = load_pretrained(save(layout(params), "other.npz", np.savez_compressed))
    np.testing.assert_array_equal(logits(other, images), plain)


def test_big_visions_class_token_without_a_position(flax_params, flax_forward, raw_images, save):
    params, images = flax_params(), raw_images(24, 24)
    params["pos_embedding"] = params.pop(OLD_POSITIONS)[:, 1:]
    model = load_pretrained(save(linen(params)))
    assert not ops.convert_to_numpy(model.get_layer("encoder").class_position).any()
    expected = flax_forward(params, images / 127.5 - 1)
    np.testing.assert_allclose(logits(model, images), expected, atol=1e-5)


def test_big_visions_fixed_positions(flax_params, save):
    params = flax_params(class_token=False, patch=32)
    del params[OLD_POSITIONS]
    model = load_pretrained(save(linen(params)))
    assert (model.position, model.image_size, model.pool) == ("sincos2d", (224, 224), "mean")


@pytest.mark.parametrize("size", ["Ti", "S", "B"])
def test_parity_at_published_sizes(flax_params, flax_forward, raw_images, save, size):
    sizes = VARIANTS[size]
    params = flax_params(
        sizes["dim"], sizes["depth"], sizes["num_heads"], sizes["mlp_dim"], patch=16, classes=1000
    )
    images = raw_images(48, 48, B=1)
    model = load_pretrained(save(params))
    expected = flax_forward(params, images / 127.5 - 1)
    difference = np.abs(logits(model, images) - expected).max()
    print(f"{size}: {difference:.1e} of logits up to {np.abs(expected).max():.1f}")
    assert difference <= 1e-4
    assert model.count_params() == sum(value.size for value in params.values())


def test_another_head_takes_the_pre_logits_layer_with_it(flax_params, save):
    path = save(flax_params(rep=16))
    model, same = load_pretrained(path, num_classes=9), load_pretrained(path, num_classes=5)
    assert (model.num_classes, model.representation_size) == (9, None)
    assert same.representation_size == 16
    for name in ("encoder", "block1", "norm"):
        for a, b in zip(
            model.get_layer(name).get_weights(), same.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_a_new_head_for_as_many_other_classes(flax_params, save):
    path = save(flax_params(rep=16))
    model, same = load_pretrained(path, new_head=True), load_pretrained(path)
    assert (model.num_classes, model.representation_size) == (5, None)
    kernels = [m.get_layer("head").get_weights()[0] for m in (model, same)]
    assert kernels[0].shape != kernels[1].shape
    with pytest.raises(ValueError, match=r"no prediction head: pass num_classes"):
        load_pretrained(save(flax_params(classes=None)), new_head=True)


def test_without_a_head_num_classes_is_needed(flax_params, save):
    path = save(flax_params(classes=None))
    with pytest.raises(ValueError, match=r"no prediction head: pass num_classes"):
        load_pretrained(path)
    assert load_pretrained(path, num_classes=4).num_classes == 4


def test_resized_it_trains_and_survives_a_file_bit_for_bit(flax_params, raw_images, save, tmp_path):
    model = load_pretrained(save(flax_params()), image_size=(16, 40), num_classes=3)
    images = raw_images(16, 40)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    model.fit(images, np.array([0, 2]), verbose=0)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "tuned.keras")
    again = load_pretrained(tmp_path / "tuned.keras")
    np.testing.assert_array_equal(logits(again, images), logits(model, images))
    assert again.image_size == (16, 40)


def test_changes_reach_the_model_and_nothing_else_can_be_changed(flax_params, save):
    path = save(flax_params())
    model = load_pretrained(path, drop_path=0.2, pixel_mean=0.0, pixel_std=255.0, activation="gelu")
    assert (model.drop_path, model.pixel_std, model.activation) == (0.2, 255.0, "gelu")
    with pytest.raises(ValueError, match=r"\['dim'\] cannot be chosen"):
        load_pretrained(path, dim=48)


QUERY = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1/query/kernel"


@pytest.mark.parametrize("name", ["cls", "head/bias", QUERY, OLD_POSITIONS, "embedding/kernel"])
def test_a_missing_tensor_is_named(flax_params, save, name):
    params = flax_params()
    del params[name]
    with pytest.raises(ValueError, match=f"{name} is missing"):
        load_pretrained(save(params))


@pytest.mark.parametrize("name", ["Transformer/extra/kernel", "head/kernel2"])
def test_an_extra_tensor_is_named(flax_params, save, name):
    with pytest.raises(ValueError, match=f"{name} is not known"):
        load_pretrained(save({**flax_params(), name: np.zeros((2, 2), "float32")}))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (QUERY, np.zeros((24, 4, 6), "f4"), r"query/kernel has shape \(24, 4, 6\).*\(24, 3, 8\)"),
        ("head/bias", np.zeros(5, "i4"), r"head/bias has shape \(5,\) and dtype int32"),
        (OLD_POSITIONS, np.zeros((1, 12, 24), "f4"), r"has 12 rows: no square grid"),
        (OLD_POSITIONS, np.zeros((12, 24), "f4"), r"has shape \(12, 24\), expected 3 axes"),
    ],
)
def test_a_wrong_shape_is_named(flax_params, save, name, value, message):
    with pytest.raises(ValueError, match=message):
        load_pretrained(save({**flax_params(), name: value}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("conv_root/kernel", r"a ResNet before the ViT"),
        ("MAPHead_0/probe", r"attention pooling"),
        ("Transformer/encoderblock/LayerNorm_0/scale", r"blocks stacked"),
        ("MixerBlock_0/LayerNorm_0/scale", r"an MLP-Mixer"),
    ],
)
def test_another_architecture_is_named(flax_params, save, name, message):
    with pytest.raises(ValueError, match=message):
        load_pretrained(save({**flax_params(), name: np.zeros(3, "f4")}))


def test_changed_heads_that_contradict_the_tensors(flax_params, save):
    with pytest.raises(ValueError, match=r"query/kernel has shape \(24, 3, 8\).*\(24, 4, 6\)"):
        load_pretrained(save(flax_params()), num_heads=4)


def test_inside_another_models_scope_the_same_weights_are_loaded(flax_params, save):
    path = save(flax_params())
    x = np.random.default_rng(1).integers(0, 256, (2, 24, 24, 3), dtype="uint8")
    with keras.name_scope("backbone"):
        inside = load_pretrained(path)
    assert inside.weights[0].path.startswith("backbone/")
    np.testing.assert_array_equal(logits(inside, x), logits(load_pretrained(path), x))
