"""How fast Vision Transformers of equal sizes are, and what memory they take, side by side.

    python benchmarks/models.py [--sides 64 96] [--batch 32] [--rounds 5] [--out build/speed.json]
    python benchmarks/models.py --pool mean
    python benchmarks/models.py --patch 16 --models vit_keras_lib "convolutional stem" CNN \
        --pool mean --sides 64 96 128 192 --batch 32 --out results/vit_vs_cnn_cost.json
    KERAS_BACKEND=jax python benchmarks/models.py --variant B/16 --dtype mixed_bfloat16 --batch 256

Each model lives in a process of its own and sleeps while another runs one round: a train round,
then an inference round. Rounds are interleaved, the median over rounds counts. Each model is tried
in all its modes (jit on and off, or eager and compiled); its best one counts, for training and for
inference apart. A model whose package is not installed is left out, and named; so is a mode that
breaks off, for want of memory or of a compiler.

All heads read the class token, as the paper's does, or with `--pool mean` the mean token; only the
example of keras.io has no class token and flattens them all. Shares of the peak are of the products
that a model computes: of the last block ours leaves out what a class token's head does not read.

On a GPU give nothing else to do to it; its bfloat16 peak is known for a few (or --peak-tflops).
"""

import argparse
import contextlib
import ctypes
import dataclasses
import functools
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

STARTED = time.perf_counter()

OUT = Path(__file__).resolve().parents[1] / "build" / "speed.json"
SIDES = (64, 96, 128, 192)  # 64, 144, 256 and 576 tokens at patches of 8 x 8
BATCH_TOKENS = 32 * 144  # so the dense layers have the same work at each size
VARIANTS = {
    "S/16": {"dim": 384, "depth": 12, "heads": 6, "mlp_dim": 1536},
    "B/16": {"dim": 768, "depth": 12, "heads": 12, "mlp_dim": 3072},
}
# Dense bfloat16 TFLOP/s by the vendor's data sheets.
KNOWN_PEAKS = {"H100": 989, "H200": 989}
KERAS_MODES, TORCH_MODES = ("jit", "no jit"), ("eager", "compiled")
# Row -> modes, packages. The first is the one that all are compared with.
MODELS = {
    "vit_keras_lib": (KERAS_MODES, ("keras",)),
    "vit_keras_lib, remat": (KERAS_MODES, ("keras",)),
    "convolutional stem": (KERAS_MODES, ("keras",)),
    "CNN": (KERAS_MODES, ("keras",)),
    "no attention": (KERAS_MODES, ("keras",)),
    "keras.io example": (KERAS_MODES, ("keras",)),
    "KerasHub": (KERAS_MODES, ("keras_hub",)),
    "PyTorch eager": (("eager",), ("torch",)),
    "PyTorch compiled": (("compiled",), ("torch",)),
    "timm": (TORCH_MODES, ("torch", "timm")),
}
OURS = "vit_keras_lib"
KERAS_IO_HEAD = (2048, 1024)
ONLY_ASKED_FOR = ("vit_keras_lib, remat", "convolutional stem", "CNN")
DEFAULT_MODELS = tuple(name for name in MODELS if name not in ONLY_ASKED_FOR)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What all models have in common."""

    image: int
    patch: int
    dim: int
    depth: int
    heads: int
    mlp_dim: int
    classes: int
    batch: int
    dtype: str
    pool: str = "cls"

    @property
    def has_class_token(self):
        """Whether there is a class token, which the head reads."""
        return self.pool == "cls"

    @property
    def tokens(self):
        """Patches of an image; a class token is one more."""
        return (self.image // self.patch) ** 2

    @property
    def flops(self):
        """Operations in the matrix products of one image's forward pass, two per product."""
        T, D, M = self.tokens + self.has_class_token, self.dim, self.mlp_dim
        # q, k, v, projection, MLP; between tokens q with k, weights with v
        block = T * D * (4 * D + 2 * M) + 2 * T * T * D
        return 2 * (self.tokens * 3 * self.patch**2 * D + self.depth * block + D * self.classes)

    def data(self):
        """Returns images (B, H, W, 3), float32 from 0 to 255, and labels (B,)."""
        import numpy as np

        rng = np.random.default_rng(0)
        images = rng.uniform(0, 255, (self.batch, self.image, self.image, 3)).astype("float32")
        return images, rng.integers(0, self.classes, self.batch)


# --- The models -------------------------------------------------------------------------------


def our_model(s, **options):
    """The ViT of this library."""
    from vit_keras_lib import ViT

    return ViT(
        s.image, s.classes, s.patch, s.dim, s.depth, s.heads, s.mlp_dim,
        pool=s.pool, class_token=s.has_class_token, **options,
    )  # fmt: skip


def cnn_model(s):
    """The CNN of this library, whose sizes are its own."""
    from vit_keras_lib.models import CNN

    return CNN(s.image, s.classes)


def blind_model(s):
    """Ours with tokens that do not look at each other: what no attention, however fast, can beat.

    All dense layers are there; only what is computed between the tokens is not.
    """
    from keras import ops

    from vit_keras_lib.layers import SelfAttention

    def call(self, x, training=None, return_attention_scores=False, num_queries=None):
        own = ops.sum(self._heads(x), axis=2)  # (B, T, 3, k, d) -> (B, T, k, d)
        own = own if num_queries is None else own[:, :num_queries]  # -> (B, Q, k, d)
        y = self.projection(ops.reshape(own, (-1, s.dim)))  # -> (B * Q, dim)
        return ops.reshape(y, (-1, num_queries or x.shape[1], s.dim))  # -> (B, Q, dim)

    SelfAttention.call = call  # this process has this one model only
    return our_model(s)


def keras_io_model(s, head_dim=None, normalize=None):
    """The construction of the ViT example on keras.io, at these sizes (its heads have dim each).

    There a Normalization adapted to the photos comes first; without one, pixels go to [-1, 1].
    """
    from keras import Input, Model, layers, ops

    class Patches(layers.Layer):
        def call(self, images):
            patches = ops.image.extract_patches(images, s.patch)  # (B, H/P, W/P, P*P*C)
            return ops.reshape(patches, (-1, s.tokens, patches.shape[-1]))  # (B, N, P*P*C)

    class PatchEncoder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.projection = layers.Dense(s.dim)
            self.place = layers.Embedding(s.tokens, s.dim)

        def call(self, patches):
            return self.projection(patches) + self.place(ops.arange(s.tokens)[None])

    def mlp(x, widths, dropout):
        for width in widths:
            x = layers.Dropout(dropout)(layers.Dense(width, activation="gelu")(x))
        return x

    images = Input((s.image, s.image, 3))
    normalize = normalize or layers.Rescaling(1 / 127.5, -1.0)
    x = PatchEncoder()(Patches()(normalize(images)))  # (B, N, dim)
    for _ in range(s.depth):
        normed = layers.LayerNormalization(epsilon=1e-6)(x)
        attention = layers.MultiHeadAttention(s.heads, head_dim or s.dim // s.heads, dropout=0.1)
        x = layers.Add()([attention(normed, normed), x])
        normed = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([mlp(normed, (s.mlp_dim, s.dim), 0.1), x])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))  # (B, N * dim)
    x = mlp(layers.Dropout(0.5)(x), KERAS_IO_HEAD, 0.5)
    return Model(images, layers.Dense(s.classes, dtype="float32")(x))


def keras_hub_model(s):
    """KerasHub's backbone with a Dense on the class token or the mean one."""
    from keras import Input, Model, layers
    from keras_hub.models import ViTBackbone

    backbone = ViTBackbone(
        (s.image, s.image, 3), (s.patch, s.patch), s.depth, s.heads, s.dim, s.mlp_dim,
        use_class_token=s.has_class_token,
    )  # fmt: skip
    images = Input((s.image, s.image, 3))
    tokens = backbone(layers.Rescaling(1 / 127.5, -1.0)(images))  # (B, N, dim)
    # (B, dim)
    read = tokens[:, 0] if s.has_class_token else layers.GlobalAveragePooling1D()(tokens)
    return Model(images, layers.Dense(s.classes, dtype="float32")(read))


def torch_model(s):
    """A ViT in plain PyTorch, with its fused attention."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(s.dim, 1e-6), nn.LayerNorm(s.dim, 1e-6)
            self.qkv, self.projection = nn.Linear(s.dim, 3 * s.dim), nn.Linear(s.dim, s.dim)
            self.mlp = nn.Sequential(
                nn.Linear(s.dim, s.mlp_dim), nn.GELU(), nn.Linear(s.mlp_dim, s.dim)
            )

        def forward(self, x):
            qkv = self.qkv(self.norm1(x)).unflatten(2, (3, s.heads, -1))  # (B, T, 3, k, d)
            heads = functional.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
            x = x + self.projection(heads.transpose(1, 2).flatten(2))  # (B, k, T, d) -> (B, T, dim)
            return x + self.mlp(self.norm2(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.projection = nn.Linear(3 * s.patch**2, s.dim)
            T = s.tokens + s.has_class_token
            self.place = nn.Parameter(0.02 * torch.randn(T, s.dim))
            self.class_token = nn.Parameter(torch.zeros(T - s.tokens, s.dim))
            self.blocks = nn.Sequential(*(Block() for _ in range(s.depth)))
            self.norm, self.head = nn.LayerNorm(s.dim, 1e-6), nn.Linear(s.dim, s.classes)

        def forward(self, images):
            grid, P = s.image // s.patch, s.patch
            x = (images / 127.5 - 1).reshape(-1, grid, P, grid, P, 3)
            x = x.transpose(2, 3).reshape(-1, s.tokens, 3 * P**2)  # (B, N, P*P*C)
            prefix = self.class_token.expand(len(x), -1, -1)  # (B, 0 or 1, dim)
            x = torch.cat([prefix, self.projection(x)], dim=1)  # (B, T, dim)
            x = self.norm(self.blocks(x + self.place))
            return self.head(x[:, 0] if s.has_class_token else x.mean(1))

    return Net()


def timm_model(s):
    """The VisionTransformer of timm."""
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = VisionTransformer(
                s.image, s.patch, 3, s.classes, class_token=s.has_class_token,
                global_pool="token" if s.has_class_token else "avg",
                embed_dim=s.dim, depth=s.depth, num_heads=s.heads, mlp_ratio=s.mlp_dim / s.dim,
                fc_norm=False,
            )  # fmt: skip

        def forward(self, images):
            return self.vit((images / 127.5 - 1).permute(0, 3, 1, 2))  # (B, C, H, W)

    return Net()


MAKERS = {
    "vit_keras_lib": our_model,
    "vit_keras_lib, remat": functools.partial(our_model, remat=True),
    "convolutional stem": functools.partial(our_model, stem="conv"),
    "CNN": cnn_model,
    "no attention": blind_model,
    "keras.io example": keras_io_model,
    "KerasHub": keras_hub_model,
    "PyTorch eager": torch_model,
    "PyTorch compiled": torch_model,
    "timm": timm_model,
}


# --- Steps: functions (train, infer, wait, memory); `wait` blocks until its argument is computed --


def keras_steps(s, maker, mode):
    """Steps of a Keras model, on whatever backend."""
    import keras

    keras.config.set_dtype_policy(s.dtype)
    model = maker(s)
    images, labels = s.data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3), loss, jit_compile=mode == "jit")
    if keras.backend.backend() == "jax":
        return *jax_steps(model, images, labels), jax_memory
    images, labels = map(keras.ops.convert_to_tensor, (images, labels))
    train = functools.partial(model.train_on_batch, images, labels)
    infer = functools.partial(model.predict_on_batch, images)
    memory = torch_memory if keras.backend.backend() == "torch" else tensorflow_memory
    return train, infer, lambda result: None, memory  # both return numbers: nothing to wait for


def jax_steps(model, images, labels):
    """Steps of a Keras model on JAX that do not wait for each other."""
    import jax

    model.optimizer.build(model.trainable_variables)
    images, labels = jax.device_put((images, labels))
    trainable, fixed, state = (
        [v.value for v in group]
        for group in (
            model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
        )
    )  # fmt: skip

    def objective(trainable, fixed, images, labels):
        logits, fixed = model.stateless_call(trainable, fixed, images, training=True)
        return model.loss(labels, logits), fixed

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def train_step(trainable, fixed, state, images, labels):
        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, fixed), slopes = gradient(trainable, fixed, images, labels)
        trainable, state = model.optimizer.stateless_apply(state, slopes, trainable)
        return value, trainable, fixed, state

    @jax.jit
    def infer_step(trainable, fixed, images):
        return model.stateless_call(trainable, fixed, images, training=False)[0]

    def train():
        nonlocal trainable, fixed, state
        value, trainable, fixed, state = train_step(trainable, fixed, state, images, labels)
        return value

    return train, lambda: infer_step(trainable, fixed, images), jax.block_until_ready


def torch_steps(s, maker, mode):
    """Steps of a PyTorch module."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":  # float32 products on tensor cores, as TensorFlow's and JAX's are
        torch.set_float32_matmul_precision("high")
    half = torch.autocast(device, torch.bfloat16, enabled=s.dtype == "mixed_bfloat16")
    torch.manual_seed(0)
    model = maker(s).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.004, fused=True)
    images, labels = (torch.as_tensor(a, device=device) for a in s.data())
    forward = torch.compile(model) if mode == "compiled" else model

    def train():
        model.train()
        with half:
            logits = forward(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def infer():
        model.eval()
        with torch.inference_mode(), half:
            return forward(images)

    return train, infer, lambda result: result.sum().item(), torch_memory


def resident_memory():
    """Peak resident memory of this process in GB."""
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024) / 1e9


def torch_memory():
    """Peak memory in GB: the GPU's where there is one."""
    import torch

    has_gpu = torch.cuda.is_available()
    return torch.cuda.max_memory_allocated() / 1e9 if has_gpu else resident_memory()


def jax_memory():
    """Peak memory in GB: the GPU's where there is one."""
    import jax

    stats = jax.local_devices()[0].memory_stats()
    return stats["peak_bytes_in_use"] / 1e9 if stats else resident_memory()


def tensorflow_memory():
    """Peak memory in GB: the GPU's where there is one."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9
    return resident_memory()


# --- A worker: one model in one mode, or the matrix products ----------------------------------


def rate(step, wait, count):
    """Steps a second, after one to warm up."""
    wait(step())
    started = time.perf_counter()
    for _ in range(count):
        result = step()
    wait(result)
    return count / (time.perf_counter() - started)


def model_rounds(s, name, mode, seconds):
    """Yields what the first steps took, then one round after the other."""
    build = torch_steps if "torch" in MODELS[name][1] else keras_steps
    train, infer, wait, memory = build(s, MAKERS[name], mode)
    wait(train())
    first = time.perf_counter() - STARTED
    wait(infer())
    counts = [max(1, round(seconds * rate(step, wait, 1))) for step in (train, infer)]
    yield {"first": first}
    while True:
        yield {
            "train": s.batch * rate(train, wait, counts[0]),
            "infer": s.batch * rate(infer, wait, counts[1]),
            "memory": memory(),
        }


def product_rounds(s, seconds):
    """Yields, after a warm-up, the highest FLOP/s of the backend's matrix product in each round."""
    import keras
    import numpy as np

    dtype = s.dtype.removeprefix("mixed_")
    rng = np.random.default_rng(0)
    sides = (512, 1024, 2048) if dtype == "float32" else (4096, 8192)
    pairs = [
        [keras.ops.convert_to_tensor(rng.normal(size=(n, n)), dtype) for _ in "ab"] for n in sides
    ]

    def wait(product):
        keras.ops.convert_to_numpy(product[0, 0])

    steps = [functools.partial(keras.ops.matmul, *pair) for pair in pairs]
    for step in steps:
        wait(step())
    counts = [max(1, round(seconds / 2 * rate(step, wait, 1))) for step in steps]
    yield {"first": time.perf_counter() - STARTED}
    while True:
        yield {
            str(n): 2 * n**3 * rate(step, wait, count)
            for n, step, count in zip(sides, steps, counts, strict=True)
        }


def give_back():
    """Returns freed memory to the system, so that sleepers leave room (glibc)."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def work(task):
    """Runs a worker: one round for each line that comes in, one line of JSON out."""
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not a reply
    s = Sizes(**task["sizes"])
    if task["name"] is None:
        rounds = product_rounds(s, task["seconds"])
    else:
        rounds = model_rounds(s, task["name"], task["mode"], task["seconds"])
    print(json.dumps(next(rounds)), file=reply, flush=True)
    for _ in sys.stdin:
        answer = json.dumps(next(rounds))
        give_back()
        print(answer, file=reply, flush=True)


class Worker:
    """A worker process, asleep but for the rounds it is asked for."""

    def __init__(self, s, name, mode, seconds):
        """Starts it."""
        self.label = ", ".join(filter(None, (name or "matrix product", mode)))
        task = {"sizes": dataclasses.asdict(s), "name": name, "mode": mode, "seconds": seconds}
        environment = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Several processes share a GPU.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            **os.environ,
        }
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (close() closes it)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", json.dumps(task)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=environment,
        )  # fmt: skip
        self.name, self.mode, self.rounds = name, mode, []

    def start(self):
        """Waits for its first step."""
        self.first = self._answer()["first"]
        print(f"  {self.label}: first step after {self.first:.1f} s", flush=True)

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.label} broke off:\n{self.log.read()[-3000:]}")
        return json.loads(line)

    def run(self):
        """Has it run one round."""
        with contextlib.suppress(BrokenPipeError):  # if it is gone, there will be no answer
            print(file=self.process.stdin, flush=True)
        self.rounds.append(self._answer())

    def median(self, key):
        """The median of its rounds."""
        return statistics.median(r[key] for r in self.rounds)

    def close(self):
        """Ends it."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


# --- The comparison ---------------------------------------------------------------------------


def measure(s, names, rounds, seconds):
    """Measures the models at one size.

    Returns:
        A row for each model, the peak of the matrix product, and labels of what broke off.
    """
    workers, broken = [], []

    def goes_on(step, worker):
        try:
            step()
        except RuntimeError as error:
            if worker.name in (None, OURS):  # what all others are compared with
                raise
            print(f"  left out: {error}", flush=True)
            workers.remove(worker)
            broken.append(worker.label)
            worker.close()

    try:
        for name, mode in [(None, None), *((n, m) for n in names for m in modes_of(n))]:
            workers.append(Worker(s, name, mode, seconds))
            goes_on(workers[-1].start, workers[-1])
        for _ in range(rounds):
            for worker in [*workers]:
                goes_on(worker.run, worker)
    finally:
        for worker in workers:
            worker.close()
    products, *models = workers
    peak = max(products.median(side) for side in products.rounds[0])
    rows = []
    for name in dict.fromkeys(worker.name for worker in models):
        own = [w for w in models if w.name == name]
        train = max(own, key=lambda w: w.median("train"))
        infer = max(own, key=lambda w: w.median("infer"))
        rows.append(
            {
                "model": name,
                "tokens": s.tokens,
                "batch": s.batch,
                "train, img/s": train.median("train"),
                "train mode": train.mode,
                "inference, img/s": infer.median("infer"),
                "inference mode": infer.mode,
                "peak memory, GB": train.rounds[-1]["memory"],
                "first step, s": train.first,
                "rounds": {
                    w.mode: {key: [r[key] for r in w.rounds] for key in ("train", "infer")}
                    for w in own
                },
            }
        )
    return rows, peak, broken


def modes_of(name):
    """The modes to try: on JAX nobody runs a Keras model without jit."""
    modes, packages = MODELS[name]
    on_jax = os.environ.get("KERAS_BACKEND") == "jax"
    return ("jit",) if on_jax and "torch" not in packages else modes


def model_flops(s, name):
    """Operations in the products of one image's forward pass, two per product."""
    if name == "keras.io example":  # without a class token; its head reads all tokens
        head = s.tokens * s.dim * KERAS_IO_HEAD[0] + KERAS_IO_HEAD[0] * KERAS_IO_HEAD[1]
        body = dataclasses.replace(s, pool="mean").flops
        return body + 2 * (head + (KERAS_IO_HEAD[1] - s.dim) * s.classes)
    if MODELS[name][1] != ("keras",):
        return s.flops
    from vit_keras_lib.models import multiply_adds

    if name == "no attention":
        T = s.tokens + s.has_class_token
        rows = s.depth * T - s.has_class_token * (T - 1)  # of the last block the class token's
        return 2 * (multiply_adds(our_model(s)) - 2 * rows * T * s.dim)
    return 2 * multiply_adds(MAKERS[name](s))


def add_ratios(rows, s, matmul_peak, device_peak=None):
    """Adds each row's ratios to ours, to the matrix product and, if known, to the device's peak."""
    ours = next((row for row in rows if row["model"] == OURS), None)
    for row in rows:
        flops = model_flops(s, row["model"])
        row["multiply-adds"] = flops // 2
        for kind, factor in (("train", 3), ("inference", 1)):
            speed = row[f"{kind}, img/s"]
            row[f"{kind}, of matmul peak"] = factor * flops * speed / matmul_peak
            if ours:
                row[f"{kind}, ratio to ours"] = speed / ours[f"{kind}, img/s"]
            if device_peak:
                row[f"{kind}, model-FLOPs utilisation"] = factor * flops * speed / device_peak


def table(rows, with_utilisation):
    """Returns the rows as text."""
    columns = [
        ("train img/s", "train, img/s", "{:.1f}"),
        ("x ours", "train, ratio to ours", "{:.2f}"),
        ("of peak", "train, of matmul peak", "{:.0%}"),
        ("infer img/s", "inference, img/s", "{:.1f}"),
        ("x ours", "inference, ratio to ours", "{:.2f}"),
        ("of peak", "inference, of matmul peak", "{:.0%}"),
        ("memory GB", "peak memory, GB", "{:.2f}"),
        ("1st step s", "first step, s", "{:.1f}"),
    ]
    if with_utilisation:
        columns.append(("train MFU", "train, model-FLOPs utilisation", "{:.1%}"))
        columns.append(("infer MFU", "inference, model-FLOPs utilisation", "{:.1%}"))
    lines = [f"{'':21}" + "".join(f"{title:>12}" for title, _, _ in columns) + "  modes"]
    for row in rows:
        cells = [form.format(row[key]) if key in row else "" for _, key, form in columns]
        modes = " / ".join(dict.fromkeys((row["train mode"], row["inference mode"])))
        lines.append(f"{row['model']:21}" + "".join(f"{c:>12}" for c in cells) + f"  {modes}")
    return "\n".join(lines)


def installed(name):
    """Whether the packages of a model are there."""
    return all(importlib.util.find_spec(package) for package in MODELS[name][1])


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="of images, in pixels")
    parser.add_argument("--patch", type=int, default=8, help="side of a patch, in pixels")
    parser.add_argument("--pool", choices=("cls", "mean"), default="cls", help="what heads read")
    parser.add_argument("--variant", choices=VARIANTS, help="this size at 224 pixels instead")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=DEFAULT_MODELS, metavar="M",
                        help="; ".join(MODELS))  # fmt: skip
    parser.add_argument("--batch", type=int, help=f"images; default: {BATCH_TOKENS} tokens' worth")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a round, at least one step")
    parser.add_argument("--dtype", choices=("float32", "mixed_bfloat16"), default="float32")
    parser.add_argument("--peak-tflops", type=float, help="of the device, dense, in this dtype")
    parser.add_argument("--quick", action="store_true", help="tiny models: does it run?")
    parser.add_argument("--out", type=Path, help="JSON file to write; default: build/speed.json")
    options = parser.parse_args()
    if options.out is None and not options.quick:
        options.out = OUT
    return options


def chosen_sizes(options):
    """Returns the sizes to measure."""
    widths = {"dim": 192, "depth": 6, "heads": 12, "mlp_dim": 768, "classes": 5}
    widths, sides = {**widths, "patch": options.patch}, options.sides
    if options.quick:
        widths |= {"dim": 24, "depth": 1, "heads": 3, "mlp_dim": 48}
    if options.variant:
        widths, sides = {**VARIANTS[options.variant], "patch": 16, "classes": 1000}, [224]
    sizes = []
    for side in sides:
        batch = options.batch or max(1, BATCH_TOKENS // (side // widths["patch"]) ** 2)
        sizes.append(Sizes(side, batch=batch, dtype=options.dtype, pool=options.pool, **widths))
    return sizes


def main():
    """Measures, prints a table for each size, and writes JSON."""
    options = arguments()
    if options.work:
        work(json.loads(options.work))
        return
    sizes = chosen_sizes(options)
    if len(sizes) > 1:  # each by itself: what is measured is stored, whatever comes after
        for s in sizes:
            subprocess.run([sys.executable, *sys.argv, "--sides", str(s.image)], check=True)
        return
    (s,) = sizes
    names = [name for name in options.models if installed(name)]
    missing = [name for name in options.models if name not in names]
    if missing:
        print(f"Not installed, left out: {', '.join(missing)}.")
    print(f"\n{s.tokens} tokens, pool {s.pool}, batch {s.batch}, {s.dtype}", flush=True)
    rows, peak, broken = measure(s, names, options.rounds, options.seconds)

    # Only now: a child's peak memory on Linux is never below what its parent held at its start.
    from vit_keras_lib.training import device_name

    device = device_name()
    tflops = options.peak_tflops
    if tflops is None and options.dtype == "mixed_bfloat16":
        tflops = next((peak for chip, peak in KNOWN_PEAKS.items() if chip in device), None)
    add_ratios(rows, s, peak, tflops and tflops * 1e12)
    print(f"\n{device}")
    print(f"\n{s.tokens} tokens, pool {s.pool}, batch {s.batch}, {s.dtype}, dim {s.dim}, "
          f"depth {s.depth}")  # fmt: skip
    print(f"matmul peak, measured: {peak / 1e9:,.0f} GFLOP/s = {peak / s.flops:,.0f} images/s "
          f"of inference, {peak / s.flops / 3:,.0f} of training, all tokens computed")  # fmt: skip
    if tflops:
        print(f"device's peak: {tflops:,.0f} TFLOP/s; MFU = model FLOPs of matrix products / it")
    print(table(rows, bool(tflops)), flush=True)
    if options.out:
        settings = {"rounds": options.rounds, "seconds": options.seconds, "device": device}
        settings["peak given, TFLOP/s"] = tflops
        size = {**dataclasses.asdict(s), "tokens": s.tokens, "matmul peak, GFLOP/s": peak / 1e9}
        store(options.out, settings, {**size, "not installed": missing, "broke off": broken}, rows)


def store(path, settings, size, rows):
    """Writes what was measured at one size, beside other sizes measured alike."""
    from vit_keras_lib.training import provenance, read_json, write_json

    common = ("patch", "dim", "depth", "heads", "mlp_dim", "classes", "dtype", "pool")
    settings = {**settings, **{name: size[name] for name in common}}
    stored = read_json(path) if path.exists() else {}
    alike = stored.get("settings") == settings
    sizes, other_rows = ((stored[k] if alike else []) for k in ("sizes", "rows"))
    peers = {
        name: metadata.version(name)
        for name in ("keras-hub", "torch", "timm")
        if importlib.util.find_spec(name.replace("-", "_"))
    }
    size["run"] = provenance(seed=0)
    result = {
        "settings": settings,
        "sizes": [size, *(old for old in sizes if old["tokens"] != size["tokens"])],
        "rows": [*rows, *(old for old in other_rows if old["tokens"] != size["tokens"])],
        "peers": peers,
    }
    for entries in (result["sizes"], result["rows"]):
        entries.sort(key=lambda entry: entry["tokens"])  # stable: models keep their order
    write_json(path, result)


if __name__ == "__main__":
    main()
