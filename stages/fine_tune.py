"""Phase 2: fine-tune the whole network with differential learning rates."""

from argparse import Namespace

import numpy as np
import torch

from transfer.devices.launch import run_on_devices
from transfer.devices.processes import leave_to_first
from transfer.network.classifier import ModelCard, save_model
from transfer.runtime.hand_overs import write_hand_overs
from transfer.runtime.kept import fingerprint
from transfer.training.fine_tuning import INPUTS, Parameters, Prepared, prepare
from transfer.training.log import live_log, write_results
from transfer.training.loop import fit
from transfer.training.optimization import build_schedule, epochs_without_gain
from transfer.training.plan import Plan
from transfer.training.state import SavedState, only_one, seed_step


def steps_of(made: Prepared, batch_size: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """What phase 2 is given and gives, for `write_hand_overs`: phase 1's head, and a batch as the network gets it."""
    seed_step(seed, 0)
    images, labels = made.task.draw(torch.arange(min(batch_size, made.task.count)), 1)
    layers = {f"head {name}": tensor.numpy() for name, tensor in made.head.state.items() if tensor.ndim}
    batch = {"a batch of train images": images.float().cpu().numpy(), "their labels": labels.cpu().numpy()}
    return {"train_head → fine_tune": layers, "augmentation → network": batch}


def main(parameters: Parameters, files: Namespace) -> None:
    train, config = parameters.train, parameters.train.fine_tune
    made = prepare(parameters, files)
    patience = epochs_without_gain(config.schedule, config.patience)
    plan = Plan(config.epochs, train.batch_size, patience, config.ema_decay, parameters.seed, config.keep, True)
    steps = plan.epochs * plan.steps_per_epoch(made.task.count)
    schedule = build_schedule(config.schedule, made.optimizer, steps, config.warm_up_fraction, config.plateau_patience)
    saved = SavedState(files.state, "fine_tune", fingerprint(parameters, [getattr(files, name) for name in INPUTS]))
    first_epoch = made.head.epochs + 1
    with only_one(files.model), only_one(saved.folder), saved:
        with live_log(files.state / "live/fine_tune", first_epoch) as log:
            fitted = fit(made.model, made.task, plan, made.optimizer, schedule, saved, log, "fine_tune")
        leave_to_first()
        backbone, head, split = made.backbone, made.head, made.split
        how = split.pixels.shape[1], split.interpolation, made.precision
        card = ModelCard(backbone.architecture, head.shape, split.classes, backbone.preprocessing, *how)
        save_model(files.model, made.model, card)
        write_results(files.metrics, files.curves, fitted, first_epoch, precision=made.precision)
        beside = files.curves.with_suffix("") / "hand_overs.tsv"
        write_hand_overs(beside, steps_of(made, train.batch_size, parameters.seed))
        saved.discard()


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=INPUTS, outputs=["model", "metrics", "curves"], parallel=True)
