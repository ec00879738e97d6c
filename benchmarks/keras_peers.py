"""The networks of the published baselines in Keras, from their layer tables, and training steps.

The variable KERAS_BACKEND chooses the backend; Keras is imported only when a function is called.
The inputs are preprocessed features: a step of Keras does not include the preprocessing, ours does.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import benchmarks
from benchmarks import turns

# Makes a network from the module keras: the model, its loss, and shapes of inputs and targets.
Peer = Callable[[Any], tuple[Any, Any, list[tuple], tuple]]

SPELLED, CHARACTERS = 64, 62  # Positions of a phrase, and characters of the alphabet.


def lstm(keras: Any) -> tuple:
    """adish007, ASL-Fingerspelling-using-LSTM: 74,562 parameters."""
    layers = keras.layers
    x = inputs = keras.Input((128, 78))
    x = layers.LSTM(75)(x)
    x = layers.LSTM(50, return_sequences=True)(layers.RepeatVector(128)(x))
    x = layers.Dense(CHARACTERS, activation="softmax")(x)[:, ::2]
    model = keras.Model(inputs, x)
    return model, keras.losses.CategoricalCrossentropy(), [(128, 78)], (SPELLED, CHARACTERS)


def transformer(keras: Any) -> tuple:
    """coriegee, ASLRecognitionModel: 4,132,062 parameters."""
    layers, dim = keras.layers, 200

    def attention(x: Any, memory: Any, **kwargs: Any) -> Any:
        return layers.MultiHeadAttention(4, dim)(x, memory, **kwargs)

    def norm(x: Any) -> Any:
        return layers.LayerNormalization(epsilon=1e-6)(x)

    def mlp(x: Any) -> Any:
        return layers.Dense(dim)(layers.Dense(400, activation="relu")(x))

    def drop(x: Any, rate: float = 0.1) -> Any:
        return layers.Dropout(rate)(x)

    x = clip = keras.Input((128, 78))
    for _ in range(3):
        x = layers.Conv1D(dim, 11, padding="same", activation="relu")(x)
    x = x * math.sqrt(dim) + _positions(128, dim)
    for _ in range(2):
        x = norm(x + drop(attention(x, x)))
        x = norm(x + drop(mlp(x)))
    tokens = keras.Input((SPELLED - 1,), dtype="int32")
    y = layers.Embedding(CHARACTERS, dim)(tokens) * math.sqrt(dim)
    y = y + _positions(SPELLED - 1, dim)
    y = norm(y + drop(attention(y, y, use_causal_mask=True), 0.5))
    y = norm(y + drop(attention(y, x)))
    y = norm(y + drop(mlp(y)))
    model = keras.Model([clip, tokens], layers.Dense(CHARACTERS)(y))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    return model, loss, [(128, 78), (SPELLED - 1,)], (SPELLED - 1, CHARACTERS)


def _positions(length: int, dim: int) -> np.ndarray:
    rates = 1e4 ** (-np.arange(dim // 2) / (dim // 2))
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


def keypoint_lstm(keras: Any) -> tuple:
    """ngzhili, LSTM_Keypoint_Sign_Language_Detector: 596,774 parameters."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((30, 1662)),
            layers.LSTM(64, activation="relu", return_sequences=True),
            layers.LSTM(128, activation="relu", return_sequences=True),
            layers.LSTM(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(6, activation="softmax"),
        ]
    )
    return model, keras.losses.CategoricalCrossentropy(), [(30, 1662)], (6,)


def cnn(keras: Any) -> tuple:
    """Sign_Language_Classification's small network: 656,733 parameters."""
    layers = keras.layers

    def separable(x: Any, width: int) -> Any:
        return layers.SeparableConv2D(width, 3, padding="same", activation="relu")(x)

    def block(x: Any, width: int) -> Any:
        halved = layers.MaxPooling2D(2, padding="same")(separable(x, width))
        return layers.Dropout(0.3)(halved + layers.Conv2D(width, 1, strides=2, padding="same")(x))

    inputs = keras.Input((100, 100, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    x = block(separable(block(x, 64), 32), 32)
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(29, activation="softmax")(x))
    return model, keras.losses.CategoricalCrossentropy(), [(100, 100, 3)], (29,)


def resnet50(keras: Any, *, size: int, classes: int) -> tuple:
    """ResNet50 with the heads of two baselines. All of the trunk but its last convolution and norm
    is frozen; it runs in every step. 26,752,541 parameters are trained at 224 pixels, 3,690,008
    at 32."""
    layers = keras.layers
    trunk = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    for layer in trunk.layers[:-4]:
        layer.trainable = False
    inputs = keras.Input((size, size, 3))
    x = trunk(inputs)
    if size == 32:
        x = layers.GlobalMaxPooling2D()(x)
        decay = keras.regularizers.L2(0.001)
        for width in (1024, 512):
            x = layers.Dense(width, activation="relu", kernel_regularizer=decay)(x)
    else:
        x = layers.Dropout(0.5)(layers.Dense(256)(layers.Flatten()(x)))
    model = keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))
    return model, keras.losses.CategoricalCrossentropy(), [(size, size, 3)], (classes,)


PEERS: dict[str, Peer] = {
    "fingerspelling_lstm": lstm,
    "fingerspelling_transformer": transformer,
    "keypoint_lstm": keypoint_lstm,
    "asl_alphabet_cnn": cnn,
    "asl_alphabet_resnet50": functools.partial(resnet50, size=224, classes=29),
    "sign_mnist_resnet50": functools.partial(resnet50, size=32, classes=24),
}


def build(config: str, rows: int, compiled: bool) -> turns.Work:
    """Steps of Adam on one batch of `rows`, by Keras' method `fit`."""
    import keras

    model, loss, shapes, target = PEERS[config](keras)
    rng = np.random.default_rng(0)
    clips: list[np.ndarray] = [rng.random((rows, *shape), np.float32) for shape in shapes]
    if len(shapes) == 2:
        clips[1] = rng.integers(0, CHARACTERS, (rows, *shapes[1])).astype(np.int32)
    classes = np.eye(target[-1], dtype=np.float32)[
        rng.integers(0, target[-1], (rows, *target[:-1]))
    ]
    model.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=compiled)

    def steps(count: int) -> None:
        batch = (tuple(clips) if len(clips) > 1 else clips[0], classes)
        model.fit(_repeated(keras.backend.backend(), batch), steps_per_epoch=count, verbose=0)

    return turns.Work(steps)


def _repeated(backend: str, batch: tuple) -> Any:
    """The batch again and again, in the fastest way of a backend."""
    if backend == "tensorflow":
        import tensorflow as tf

        options = tf.data.Options()
        # The thread of autotune sleeps for 10 ms, 20 ms, ... and `fit` ends only when it wakes.
        options.autotune.enabled = False
        return tf.data.Dataset.from_tensors(batch).repeat().with_options(options)
    return (batch for _ in itertools.repeat(None))


if __name__ == "__main__":
    benchmarks.no_command("train_step")
