"""The classifier as one program: uint8 pixels in, probabilities averaged over all views and features out."""

from pathlib import Path

import torch
from torch import Tensor, nn

from transfer.network.classifier import Classifier, ModelCard, load_card, load_model
from transfer.network.images import reflect


class Program(nn.Module):
    """Pixels (batch, S, S, 3) uint8 -> probabilities (batch, classes), features (batch, F) of the image as it is."""

    mean: Tensor
    std: Tensor
    places: Tensor

    def __init__(self, model: Classifier, card: ModelCard, mirror: bool, shift_fraction: float) -> None:
        super().__init__()
        self.model, self.mirror = model, mirror
        self.register_buffer("mean", 255 * torch.tensor(card.preprocessing.mean))
        self.register_buffer("std", 255 * torch.tensor(card.preprocessing.std))
        shift_px = round(shift_fraction * card.size_px)
        shifts = torch.tensor([0, -shift_px, shift_px] if shift_px else [0])
        # (shifts, S): which row, and which column, of the image stands where.
        self.register_buffer("places", reflect(torch.arange(card.size_px) + shifts[:, None], card.size_px))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        plain = ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)  # in channels-last layout already
        shifted = [plain, *(plain[:, :, self.places[i]][..., self.places[i]] for i in range(1, len(self.places)))]
        views = [view for one in shifted for view in ((one, one.flip(3)) if self.mirror else (one,))]
        # One run for all views: in an exported file, and most of all a quantised one, each weight is there once.
        features = self.model.backbone(torch.cat(views))
        chances = self.model.classify(features).softmax(1)
        return chances.unflatten(0, (len(views), -1)).mean(0), features[: pixels.shape[0]].float()


def load_program(model_file: Path, mirror: bool, shift_fraction: float) -> Program:
    """The program of a saved classifier. Raises WeightsError if the file holds anything else."""
    model, card = load_model(model_file, load_card(model_file).classes)
    return Program(model, card, mirror, shift_fraction).eval()
