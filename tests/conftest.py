"""What every test of a layer asks of it, in one place; and a server to download from."""

import http.server
import threading

import keras
import numpy as np
import pytest
from keras import ops

import vit_keras_lib


@pytest.fixture(autouse=True)
def fresh_keras():
    """Each test starts from the same seed, under float32."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def check_layer(tmp_path):
    """Returns a function that puts a layer through what Keras users do with layers."""

    def check(layer_class, config, input_shape, output_shape, weights):
        x = np.random.default_rng(0).normal(size=(2, *input_shape)).astype("float32")
        layer = layer_class(**config)
        y = ops.convert_to_numpy(layer(x))

        assert y.shape == (2, *output_shape)
        assert len(layer.weights) == weights
        assert layer.compute_output_shape((None, *input_shape)) == (None, *output_shape)
        assert set(config) <= set(layer.get_config())

        again = layer_class.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()

        inputs = keras.Input(input_shape)
        symbolic = layer(inputs)
        assert symbolic.shape == (None, *output_shape)
        model = keras.Model(inputs, symbolic)
        model.save(tmp_path / "layer.keras")
        loaded = keras.models.load_model(tmp_path / "layer.keras")
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))

        for jit in (False, True):
            flat = keras.layers.Flatten()(symbolic)
            fitted = keras.Model(inputs, keras.layers.Dense(1)(flat))
            fitted.compile("sgd", "mse", jit_compile=jit)
            loss = fitted.fit(x, np.ones((2, 1), "float32"), verbose=0).history["loss"][0]
            assert np.isfinite(loss)

        for policy in ("mixed_float16", "mixed_bfloat16"):
            half = layer_class(**config, dtype=policy)
            y_half = half(x)
            assert keras.backend.standardize_dtype(y_half.dtype) == policy.removeprefix("mixed_")
            assert all(v.dtype == "float32" for v in half.trainable_variables)
            for inner in half._flatten_layers():
                assert inner.dtype_policy.name == policy, inner.name
            half.set_weights(layer.get_weights())
            y_full = ops.convert_to_numpy(layer(x))
            y_half = ops.convert_to_numpy(ops.cast(half(x), "float32"))
            np.testing.assert_allclose(y_half, y_full, atol=0.1, rtol=0.1)
        return layer

    return check


@pytest.fixture(scope="session")
def tiny_vit():
    """Returns a maker of small ViTs: 24 x 16 pixels, patch 8, grid 3 x 2."""

    def make(**changes):
        config = dict(
            image_size=(24, 16), num_classes=5, patch_size=8, dim=24, depth=2, num_heads=3
        )
        return vit_keras_lib.ViT(**{**config, "mlp_dim": 48, **changes})

    return make


@pytest.fixture
def server(monkeypatch):
    """Serves files on this machine.

    `files` maps what follows the address and a slash to bytes; `asked` lists what was asked for.
    Of the files in `cut` half is sent before the connection ends, of those in `stalls` half
    before the server falls silent.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            httpd.asked.append(name)
            data = httpd.files.get(name)
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            broken = name in httpd.cut | httpd.stalls
            self.wfile.write(data[: len(data) // 2] if broken else data)
            self.wfile.flush()
            if name in httpd.stalls:
                httpd.released.wait(30)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.files, httpd.asked, httpd.cut, httpd.stalls = {}, [], set(), set()
    httpd.released = threading.Event()
    httpd.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.released.set()
    httpd.shutdown()
    httpd.server_close()
