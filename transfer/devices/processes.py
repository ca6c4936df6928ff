"""One run in several processes, one a device, that give what one process gives for the same batches, but for rounding.

Every process draws the random numbers of the whole batch. It runs the backbone on its share of the images; their
features are gathered, so that each has head, loss and optimizer for the whole batch. Without other processes
everything here does nothing.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.parallel import DistributedDataParallel

from transfer.devices.device import best_device
from transfer.runtime.errors import ParameterError

TIMEOUT = timedelta(minutes=10)  # for a process that neither answers nor ends

T = TypeVar("T")


def join(place: Path | None = None) -> None:
    """Meet the processes that torchrun's variables tell of, over NCCL on GPUs and gloo on processors.

    They meet in the file `place`, or at the address that the variables name.

    Raises ParameterError if there are more processes on this machine than GPUs.
    """
    if (count := int(os.environ.get("WORLD_SIZE", "1"))) == 1:
        return
    device, here = best_device(), int(os.environ.get("LOCAL_WORLD_SIZE", count))
    if device.type == "cuda":
        if here > torch.cuda.device_count():
            raise ParameterError(f"NPROC = {here}: more than the GPUs here, {torch.cuda.device_count()}")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    elif device.type != "cpu":
        raise ParameterError(f"NPROC = {here}: several processes need GPUs of NVIDIA or processors, not {device.type}")
    store = dist.FileStore(str(place), count) if place else None  # type: ignore[reportPrivateImportUsage]
    own = int(os.environ["RANK"]) if place else -1
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=TIMEOUT, store=store, rank=own, world_size=count if place else -1)


def world_size() -> int:
    """The number of processes that work together; 1 before they met and after they parted."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


def leave_to_first() -> None:
    """Part: the first process goes on alone, all others end here."""
    if world_size() > 1:
        first = is_first()
        dist.destroy_process_group()
        if not first:
            sys.exit(0)


def from_first(value: T) -> T:
    """The first process's `value`, whatever the others have."""
    if world_size() == 1:
        return value
    box = [value if is_first() else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]  # type: ignore[return-value]


def share(count: int, before: int = 0) -> Tensor | slice:
    """Places of this process's items among `count`, in front of them those of the `before` items that precede them.

    The first item is preceded by the last. One process has all, and nothing in front.
    Raises ParameterError if the processes cannot have equally many.
    """
    if world_size() == 1:
        return slice(None)
    if count % world_size():
        raise ParameterError(
            f"{world_size()} processes cannot share batches of {count} evenly; "
            "set NPROC or train.batch_size so that one divides the other"
        )
    size = count // world_size()
    start, stop = rank() * size - before, (rank() + 1) * size
    return slice(start, stop) if start >= 0 else torch.arange(start, stop) % count


def gather(own: Tensor) -> Tensor:
    """Equally long parts (n, ...) of all processes, one after the other: (processes × n, ...).

    Backwards each process gets the sum of what all of them want of its part.
    """
    return own if world_size() == 1 else _Gather.apply(own)  # type: ignore[return-value]


class _Gather(Function):
    @staticmethod
    def forward(_context: Any, own: Tensor) -> Tensor:
        whole = own.new_empty(world_size() * len(own), *own.shape[1:])
        dist.all_gather_into_tensor(whole, own.contiguous())
        return whole

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]


def joined(parts: Sequence[Tensor], starts: Sequence[int], count: int) -> Tensor:
    """All processes' parts together (count, ...); `starts` says where each of this process's own begins.

    A part without a start is left out.
    """
    if world_size() == 1:
        return torch.cat(list(parts))
    whole = parts[0].new_zeros(count, *parts[0].shape[1:])
    for start, part in zip(starts, parts, strict=False):
        whole[start : start + len(part)] = part
    dist.all_reduce(whole)  # adding zeros changes no bit
    return whole


class _Shared(nn.Module):
    """A classifier whose backbone sees this process's images, and its head those of all processes."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.classify(gather(self.model.backbone(images)))


def spread(model: nn.Module) -> nn.Module:
    """What to train in place of `model`, which has a backbone and a head: this process's images -> logits of all.

    To be called anew whenever other parameters are trained. Each process has the loss of the whole batch, so the
    sum that `gather` gives to the backbone is as many times too large as there are processes, over which
    DistributedDataParallel takes the mean (Li et al. 2020).
    """
    if world_size() == 1:
        return model
    with warnings.catch_warnings():  # newer releases of torch call broadcast_buffers otherwise
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(_Shared(model), broadcast_buffers=False, gradient_as_bucket_view=True)


def synchronised(module: nn.Module) -> nn.Module:
    """`module` with batch normalisation by the images of all processes; the names of its tensors stay."""
    if world_size() == 1:
        return module
    if best_device().type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, part in list(module.named_modules()):
        if type(part) is nn.BatchNorm2d:
            module.set_submodule(name, BatchNormOfAll(part))
    return module


class BatchNormOfAll(nn.BatchNorm2d):
    """nn.BatchNorm2d over the images (batch, C, H, W) of all processes; torch's SyncBatchNorm is for CUDA alone.

    It has the parameters and statistics of `norm`, not copies.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self._parameters.update(norm._parameters)
        self._buffers.update(norm._buffers)
        self.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training or self.running_mean is None or self.running_var is None or self.momentum is None:
            return super().forward(input)
        # As in torch's own, statistics of images in half precision are in float32, and so is what they do to them.
        images = input.to(torch.promote_types(input.dtype, torch.float32))
        var, mean = torch.var_mean(images, (0, 2, 3), correction=0)
        means, variances = gather(torch.stack([mean, var])[None]).unbind(1)  # (processes, C) each
        mean = means.mean(0)
        var = (variances + (means - mean).square()).mean(0)
        with torch.no_grad():
            count = world_size() * input.numel() // len(mean)
            self.num_batches_tracked += 1  # type: ignore[operator]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
        factor = self.weight * (var + self.eps).rsqrt()
        whole = torch.addcmul((self.bias - mean * factor).view(-1, 1, 1), images, factor.view(-1, 1, 1))
        return whole.to(input.dtype)
