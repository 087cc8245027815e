"""Photos that are easy to tell apart, for the tests of training."""

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

SIZES = {"train": 40, "validation": 10, "test": 10}


@pytest.fixture(scope="module")
def flowers():
    """Five "species", each a brightness of its own."""
    from vit_keras_lib import Flowers

    def split(n, seed):
        labels = np.arange(n) % 5
        noise = np.random.default_rng(seed).integers(0, 20, (n, 24, 16, 3))
        images = (noise + 50 * labels[:, None, None, None]).astype("uint8")
        return tf.data.Dataset.from_tensor_slices((images, labels.astype("int64")))

    return Flowers(
        **{name: split(n, seed) for seed, (name, n) in enumerate(SIZES.items())},
        class_names=("a", "b", "c", "d", "e"),
        image_size=(24, 16),
        sizes=SIZES,
        source="brightness",
        protocol="made for this test",
        fingerprint="0" * 16,
    )


@pytest.fixture
def stop_after():
    """Returns a callback's class: Ctrl-C when so many epochs are done."""

    class StopAfter(keras.callbacks.Callback):
        def __init__(self, epoch):
            super().__init__()
            self.epoch = epoch

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.epoch:
                raise KeyboardInterrupt

    return StopAfter
