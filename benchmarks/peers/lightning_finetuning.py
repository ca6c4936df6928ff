"""Lightning with its BackboneFinetuning callback.

https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.BackboneFinetuning.html
The callback keeps batch norm trainable in the frozen phase (its default), as fastai does.
"""

import lightning
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, Callback
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torchvision import models

from benchmarks.peers.measure import Stopwatch, begin
from benchmarks.peers.torchvision_loop import loaders
from benchmarks.settings import Settings


class TransferLearning(lightning.LightningModule):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = models.get_model(settings.architecture, weights=None)
        self.backbone.load_state_dict(load_file(settings.weights), strict=False)  # the file has no classifier
        self.head = nn.Linear(self.backbone.fc.in_features, settings.classes)
        self.backbone.fc = nn.Identity()

    def forward(self, images):
        return self.head(self.backbone(images))

    def training_step(self, batch, _index):
        images, labels = batch
        return F.cross_entropy(self(images), labels, label_smoothing=self.settings.label_smoothing)

    def validation_step(self, batch, _index) -> None:
        images, labels = batch
        self.log("val_accuracy", (self(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(
            self.head.parameters(), lr=self.settings.head_lr, weight_decay=self.settings.weight_decay
        )


class PhaseTimes(Callback):
    def __init__(self, stopwatch: Stopwatch, head_epochs: int) -> None:
        self.stopwatch, self.head_epochs = stopwatch, head_epochs

    def on_train_epoch_start(self, trainer, _module) -> None:
        if trainer.current_epoch == self.head_epochs:
            self.stopwatch.stop(trainer.callback_metrics["val_accuracy"])
        if trainer.current_epoch in (0, self.head_epochs):
            self.stopwatch.start()

    def on_train_epoch_end(self, _trainer, _module) -> None:
        self.stopwatch.end_epoch()

    def on_train_end(self, trainer, _module) -> None:
        self.stopwatch.stop(trainer.callback_metrics["val_accuracy"])


def main() -> None:
    settings, stopwatch = begin()
    lightning.seed_everything(settings.seed, verbose=False)
    finetuning = BackboneFinetuning(
        unfreeze_backbone_at_epoch=settings.head_epochs,
        backbone_initial_lr=settings.lr,
        lambda_func=lambda _epoch: 1.0,
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        precision="bf16-mixed" if settings.bfloat16 else "32-true",
        max_epochs=settings.head_epochs + settings.epochs,
        # First, so that unfreezing counts as part of the second phase.
        callbacks=[PhaseTimes(stopwatch, settings.head_epochs), finetuning],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(TransferLearning(settings), *loaders(settings))


if __name__ == "__main__":
    main()
