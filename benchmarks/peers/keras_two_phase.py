"""Keras 3 on its torch backend, frozen then whole, as its guide to transfer learning: https://keras.io/guides/transfer_learning/

keras.applications has no ResNet-18, so torchvision's goes in through Keras' TorchModuleWrapper: the same network and
weights as all others. As the guide says, batch norm stays in inference mode in both phases, which saves work.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers
from safetensors.torch import load_file
from torch import nn
from torchvision import models

from benchmarks.peers.measure import Stopwatch, begin
from benchmarks.settings import Settings

MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def build(settings: Settings) -> tuple[keras.Model, layers.Layer]:
    network = models.get_model(settings.architecture, weights=None)
    network.load_state_dict(load_file(settings.weights), strict=False)  # the file has no classifier
    features = network.fc.in_features
    network.fc = nn.Identity()
    base_model = layers.TorchModuleWrapper(network, output_shape=(None, features))
    inputs = keras.Input(shape=(32, 32, 3))
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.RandomTranslation(0.125, 0.125, fill_mode="reflect")(x)
    x = layers.Resizing(settings.size_px, settings.size_px, interpolation="bicubic")(x)
    x = layers.Normalization(mean=255 * MEAN, variance=(255 * STD) ** 2)(x)
    x = layers.Permute((3, 1, 2))(x)
    x = base_model(x, training=False)
    return keras.Model(inputs, layers.Dense(settings.classes)(x)), base_model


def load(path: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as arrays:
        return arrays["images"].astype("float32"), keras.utils.to_categorical(arrays["labels"], classes)


def fit(settings: Settings, stopwatch: Stopwatch, model: keras.Model, lr: float, epochs: int, train, val) -> float:
    model.compile(
        optimizer=keras.optimizers.AdamW(lr, weight_decay=settings.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing),
        metrics=["accuracy"],
    )
    ends = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: stopwatch.end_epoch())
    history = model.fit(*train, settings.batch_size, epochs, verbose=0, validation_data=val, callbacks=[ends])
    return history.history["val_accuracy"][-1]


def main() -> None:
    settings, stopwatch = begin()
    keras.utils.set_random_seed(settings.seed)
    train, val = load(settings.train, settings.classes), load(settings.val, settings.classes)
    model, base_model = build(settings)

    stopwatch.start()
    base_model.trainable = False
    stopwatch.stop(fit(settings, stopwatch, model, settings.head_lr, settings.head_epochs, train, val))

    stopwatch.start()
    base_model.trainable = True
    stopwatch.stop(fit(settings, stopwatch, model, settings.lr, settings.epochs, train, val))


if __name__ == "__main__":
    main()
