"""fastai's `Learner.fine_tune`: https://docs.fast.ai/callback.schedule.html#learner.fine_tune

Its frozen phase trains batch norm too (its default), so gradients go through the whole network in both phases.
Augmentation is its own flip on batches, the shift of the others is left out, so it does less than they.
"""

import fastai.callback.progress
import fastai.callback.schedule  # noqa: F401  gives Learner `fine_tune`, as the import above `no_bar`
import numpy as np
from fastai.callback.core import Callback
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize
from fastai.learner import Learner
from fastai.losses import LabelSmoothingCrossEntropyFlat
from fastai.metrics import accuracy
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageBlock
from fastai.vision.learner import default_split
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision import models

from benchmarks.peers.measure import Stopwatch, begin
from benchmarks.settings import Settings


class PhaseTimes(Callback):
    """`fine_tune` calls `fit` twice, once a phase."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self.stopwatch = stopwatch

    def before_fit(self) -> None:
        self.stopwatch.start()

    def after_epoch(self) -> None:
        self.stopwatch.end_epoch()

    def after_fit(self) -> None:
        self.stopwatch.stop(self.learn.recorder.values[-1][-1])


def load_data(settings: Settings):
    with np.load(settings.train) as train, np.load(settings.val) as val:
        images = np.concatenate([train["images"], val["images"]])
        labels = np.concatenate([train["labels"], val["labels"]])
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=images.__getitem__,
        get_y=labels.__getitem__,
        splitter=IndexSplitter(range(settings.images, len(labels))),
        item_tfms=Resize(settings.size_px, ResizeMethod.Squish, resamples=(Image.Resampling.BICUBIC, 0)),
        batch_tfms=[
            *aug_transforms(max_rotate=0, max_zoom=1, max_lighting=0, max_warp=0),
            Normalize.from_stats(*imagenet_stats),
        ],
    )
    return block.dataloaders(range(len(labels)), bs=settings.batch_size, num_workers=settings.workers)


def main() -> None:
    settings, stopwatch = begin()
    set_seed(settings.seed)
    body = models.get_model(settings.architecture, weights=None)
    body.load_state_dict(load_file(settings.weights), strict=False)  # the file has no classifier
    head = nn.Linear(body.fc.in_features, settings.classes)
    body.fc = nn.Identity()
    learn = Learner(
        load_data(settings),
        nn.Sequential(body, head),
        loss_func=LabelSmoothingCrossEntropyFlat(eps=settings.label_smoothing),
        wd=settings.weight_decay,
        metrics=accuracy,
        splitter=default_split,
        cbs=PhaseTimes(stopwatch),
    )
    # `fine_tune` halves the rate for its second phase; lr_mult is what divides it for the backbone.
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(
            settings.epochs,
            base_lr=settings.head_lr,
            freeze_epochs=settings.head_epochs,
            lr_mult=settings.head_lr / 2 / settings.lr,
        )


if __name__ == "__main__":
    main()
