import keras
import numpy as np
import pytest
from keras import layers, ops

from vit_keras_lib.interpret import effective_receptive_field, field_radius

SIZE = (13, 9)  # the middle pixel is (6, 4)


def photos(B=3, H=24, W=16, C=3):
    return np.random.default_rng(0).integers(0, 256, (B, H, W, C), dtype="uint8")


def ones(kernel, channels=2, **options):
    options = {"padding": "same", "data_format": "channels_last", **options}
    return layers.Conv2D(channels, kernel, kernel_initializer="ones", **options)


def chain(*steps, size=SIZE):
    """A model of these layers; the last one is called "out"."""
    steps[-1].name = "out"
    return keras.Sequential([keras.Input((*size, 3)), *steps])


def field_of(model, layer="out"):
    return effective_receptive_field(model, photos(2, *model.input_shape[1:3]), layer)


def padded(window, middle, size=SIZE):
    """The window, as shares, with its middle at this pixel of an empty field."""
    field = np.zeros(size)
    reach = len(window) // 2
    rows, cols = (slice(m - reach, m + reach + 1) for m in middle)
    field[rows, cols] = window / np.sum(window)
    return field


def test_one_convolution_of_ones_reads_three_by_three_pixels_alike():
    field, place = field_of(chain(ones(3)))
    assert (field.shape, field.dtype, place) == (SIZE, np.float32, (6, 4))
    np.testing.assert_allclose(field, padded(np.ones((3, 3)), (6, 4)), atol=1e-6)
    assert field_radius(field, place) == pytest.approx(4 * (1 + np.sqrt(2)) / 9)


def test_more_convolutions_of_ones_pile_up_in_the_middle():
    window = [1]
    for depth in (1, 2, 3, 4):
        window = np.convolve(window, [1, 1, 1])  # 1 1 1, then the triangle 1 2 3 2 1, ...
        field, place = field_of(chain(*[ones(3) for _ in range(depth)]))
        np.testing.assert_allclose(field, padded(np.outer(window, window), (6, 4)), atol=1e-6)
        assert place == (6, 4)


def test_a_convolution_of_one_pixel_has_no_radius():
    field, place = field_of(chain(ones(1)))
    assert field[6, 4] == 1
    assert field_radius(field, place) == 0


def test_of_an_even_number_the_unit_below_and_to_the_right_is_taken():
    field, place = field_of(chain(ones(1), size=(6, 4)))
    assert place == (3, 2)
    assert field[3, 2] == 1


def test_with_a_stride_the_place_is_the_middle_of_what_the_unit_stands_for():
    field, place = field_of(chain(ones(4, strides=4), size=(24, 12)))  # units 6 x 3
    assert place == (13.5, 5.5)
    expected = np.zeros((24, 12))
    expected[12:16, 4:8] = 1 / 16
    np.testing.assert_allclose(field, expected, atol=1e-6)
    assert field_radius(field, place) == pytest.approx(0.38 * 4, rel=0.05)


def test_without_padding_the_middle_stays_the_middle():
    field, place = field_of(chain(ones(3, padding="valid"), ones(3, padding="valid")))
    assert place == pytest.approx((6, 4))
    window = [1, 2, 3, 2, 1]
    np.testing.assert_allclose(field, padded(np.outer(window, window), (6, 4)), atol=1e-6)


def test_two_convolutions_with_a_stride():
    """A 3 x 3 convolution of stride 1 on one of stride 2 reads 7 x 7 pixels: 1 1 2 1 2 1 1."""
    window = [1, 1, 2, 1, 2, 1, 1]
    for padding in ("same", "valid"):
        field, _ = field_of(chain(ones(3, strides=2), ones(3, padding=padding), size=(13, 13)))
        np.testing.assert_allclose(
            field, padded(np.outer(window, window), (6, 6), (13, 13)), atol=1e-6
        )


def test_absolute_gradients_are_averaged_over_images_and_colours():
    """The square of a pixel, summed over 3 x 3 pixels: the gradient is twice the pixel."""
    model = chain(layers.Lambda(lambda x: (x - 100) ** 2, output_shape=(*SIZE, 3)), ones(3))
    images = photos(7, *SIZE)
    mean = np.abs(images.astype("float32") - 100).mean(axis=(0, 3))[5:8, 3:6]
    for batch_size in (1, 3, 32):
        field, _ = effective_receptive_field(model, images, "out", batch_size)
        np.testing.assert_allclose(field, padded(mean, (6, 4)), atol=1e-6)


def small_cnn():
    """Convolution, batch norm and ReLU, three times; 24 x 16 pixels, then 12 x 8."""
    steps = [layers.Rescaling(1 / 127.5, -1)]
    for i in range(3):
        steps += [
            layers.Conv2D(6, 3, strides=2 if i == 1 else 1, padding="same", name=f"conv{i}"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.ReLU(name=f"block{i}"),
        ]
    return keras.Sequential(
        [keras.Input((24, 16, 3)), *steps, layers.GlobalAveragePooling2D(name="pool")]
    )


def test_a_cnn_reads_further_layer_by_layer_but_no_further_than_its_kernels():
    model, images = small_cnn(), photos(16)
    radii = []
    # Rows and columns read: stride 2 with "same" padding starts at the unit's first pixel.
    for i, (rows, cols) in enumerate(
        [((11, 14), (7, 10)), ((11, 16), (7, 12)), ((9, 18), (5, 14))]
    ):
        field, place = effective_receptive_field(model, images, f"block{i}")
        read_rows, read_cols = np.nonzero(field.sum(1))[0], np.nonzero(field.sum(0))[0]
        assert (read_rows[0], read_rows[-1] + 1) == rows
        assert (read_cols[0], read_cols[-1] + 1) == cols
        assert field.sum() == pytest.approx(1, abs=1e-5)
        radii.append(field_radius(field, place))
    assert 0 < radii[0] < radii[1] < radii[2]


def test_it_is_how_much_the_unit_moves_when_a_pixel_does(tiny_vit):
    model, image = tiny_vit(), photos(1).astype("float32")
    field, _ = effective_receptive_field(model, image, "block1")
    read = keras.Model(model.input, model.get_layer("block1").output)
    token = 1 + 1 * 2 + 1  # the class token, then row 1, column 1 of 3 x 2 patches

    def moved(y, x):
        steps = np.zeros((6, 24, 16, 3), "float32")
        for c in range(3):
            steps[2 * c, y, x, c], steps[2 * c + 1, y, x, c] = 16, -16
        sums = ops.convert_to_numpy(read(image + steps))[:, token].sum(-1, dtype="float64")
        return np.abs(sums[::2] - sums[1::2]).mean()

    places = [(12, 12), (8, 15), (0, 0), (20, 3), (15, 8), (23, 15)]
    expected = np.array([moved(*at) for at in places])
    found = np.array([field[at] for at in places])
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=0.05)


@pytest.mark.parametrize(
    "kind", [{}, {"pool": "mean", "class_token": False}, {"register_tokens": 2}]
)
def test_a_vit_reads_its_own_patch_then_all(tiny_vit, kind):
    model = tiny_vit(**kind)  # 3 x 2 patches of 8 x 8 pixels; the middle is patch (1, 1)
    shares = {}
    for layer in ("patches", "encoder", "block0", "block1"):
        field, place = effective_receptive_field(model, photos(), layer)
        assert place == (11.5, 11.5)
        shares[layer] = field.reshape(3, 8, 2, 8).sum(axis=(1, 3))  # (H, W) -> (rows, columns)
    for layer in ("patches", "encoder"):
        assert shares[layer][1, 1] == pytest.approx(1)
        assert (np.delete(shares[layer].ravel(), 3) == 0).all()
    for layer in ("block0", "block1"):
        assert (shares[layer] > 0).all()
        assert shares[layer].argmax() == 3


def test_a_vit_with_a_convolutional_stem_reads_over_the_edge_of_its_patch(tiny_vit):
    model = tiny_vit(stem="conv")
    for layer in ("stem", "encoder"):
        field, _ = effective_receptive_field(model, photos(), layer)
        own = field[8:16, 8:16].sum()
        assert 0.2 < own < 0.999


def test_half_precision_gives_about_the_same_field(tiny_vit):
    full, half = tiny_vit(), tiny_vit(dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    fields = [effective_receptive_field(m, photos(), "block1")[0] for m in (full, half)]
    assert fields[1].dtype == np.float32
    np.testing.assert_allclose(fields[1], fields[0], atol=0.1 * fields[0].max())


def test_it_leaves_nothing_behind_in_the_layers(tiny_vit):
    model = tiny_vit()
    before = [len(layer._inbound_nodes) for layer in model.layers]
    effective_receptive_field(model, photos(), "block1")
    assert [len(layer._inbound_nodes) for layer in model.layers] == before


def test_the_radius_is_the_weighted_mean_distance():
    field = np.zeros((5, 9))
    field[0, 0], field[4, 5] = 0.5, 1.5  # 5 pixels and 1 pixel off (4, 4), not normalised
    assert field_radius(field, (4, 4)) == pytest.approx((0.25 * np.hypot(4, 4)) + 0.75 * 1)
    middle = (3, 3.75)  # three quarters of the way from one pixel to the other
    assert field_radius(field) == pytest.approx(field_radius(field, middle))
    even = np.ones((16, 16))
    assert field_radius(even, (7.5, 7.5)) == pytest.approx(0.38 * 16, rel=0.01)


def test_bad_input(tiny_vit):
    model = tiny_vit()
    with pytest.raises(ValueError, match=r"block7"):
        effective_receptive_field(model, photos(), "block7")
    with pytest.raises(ValueError, match=r"'pool' of vit gives \(None, 24\).*\(B, h, w, C\)"):
        effective_receptive_field(model, photos(), "pool")
    with pytest.raises(ValueError, match=r"\(B, 24, 16, 3\), got \(1, 16, 24, 3\)"):
        effective_receptive_field(model, photos(1, 16, 24), "block0")
    plain = keras.Model(model.input, model.get_layer("block0").output)
    with pytest.raises(ValueError, match=r"'block0' of .* gives \(None, 7, 24\)"):
        effective_receptive_field(plain, photos(), "block0")
    dead = chain(
        layers.Conv2D(2, 3, bias_initializer=keras.initializers.Constant(-1e9)), layers.ReLU()
    )
    with pytest.raises(ValueError, match=r"No pixel of these 2 images moves .*'out'"):
        field_of(dead)
    for field, place in [(np.ones((2, 4, 4)), (1, 1)), (np.ones((4, 4)), 1)]:
        with pytest.raises(ValueError, match=r"one field \(H, W\) about one place \(y, x\), got"):
            field_radius(field, place)
