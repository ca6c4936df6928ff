"""The networks that torchvision and timm build: their names, their published weights, the images that they take."""

import difflib
from collections.abc import Iterable, Mapping
from types import ModuleType

import torch
from torch import Tensor, nn

from transfer.network import torchvision_models
from transfer.network.published import PublishedWeights
from transfer.network.spatial import maps_of
from transfer.network.uninitialised import Uninitialised
from transfer.runtime.errors import WeightsError

LARGEST_PX = 600  # up to which a size that would do is looked for


def _library(architecture: str) -> ModuleType:
    """The module that knows the architecture: of timm's networks timm_models, which takes a second to import."""
    if not architecture.startswith("timm/"):
        return torchvision_models
    from transfer.network import timm_models

    return timm_models


def published_weights(architecture: str, name: str) -> PublishedWeights:
    """Look up weights by name: in torchvision's enum, or a tag of timm's; DEFAULT is the best, or the name's own tag.

    Raises WeightsError naming what there is to choose from.
    """
    if not is_known(architecture):
        raise WeightsError(f"backbone.name = {architecture!r}: no such classification model{_advice(architecture)}")
    return _library(architecture).published(architecture, name)


def is_known(architecture: str) -> bool:
    library = _library(architecture)
    return architecture in library.names() if library is torchvision_models else library.exists(architecture)


def _advice(architecture: str) -> str:
    """The names that resemble one that does not exist, for the end of a sentence."""
    from transfer.network import timm_models

    plain = architecture.removeprefix("timm/").split(".")[0]
    here, there = torchvision_models.names(), timm_models.names()
    if f"timm/{plain}" in there:
        return f"; did you mean timm/{plain}?"
    order = (there, here) if architecture.startswith("timm/") else (here, there)
    for listed in order:
        known = [name.removeprefix("timm/") for name in listed]
        if close := difflib.get_close_matches(plain, known, n=1):
            return f"; did you mean {listed[known.index(close[0])]}?"
    return " of torchvision's, nor of timm's (timm/NAME); docs/backbones.md lists some"


def build_network(architecture: str, size_px: int | None = None) -> tuple[nn.Module, int, tuple[str, ...]]:
    """The architecture with random weights and without its classifier: module, features, and what it lacks, as that
    with which the names of the classifier's tensors begin.

    Images (batch, 3, H, W) -> pooled features (batch, features). `size_px` is that of the images where the network
    has weights for each place in them, as transformers have; None: what it was published for.
    """
    with torch.random.fork_rng(devices=[]):  # its weights are replaced; the caller's random numbers stay as they are
        return _library(architecture).build(architecture, size_px)


def initial_weights(architecture: str, size_px: int | None = None) -> dict[str, Tensor]:
    """The weights with which the library begins to train the network, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _library(architecture).build(architecture, size_px)[0].state_dict()


def outline(architecture: str, size_px: int | None = None) -> tuple[nn.Module, int, tuple[str, ...]]:
    """What `build_network` gives, without memory for weights: on the meta device."""
    try:
        with torch.device("meta"), Uninitialised():
            return build_network(architecture, size_px)
    except NotImplementedError:  # RegNets compute their widths with tensors
        network, features, classifier = build_network(architecture, size_px)
        return network.to("meta"), features, classifier


def empty_network(architecture: str, size_px: int | None = None) -> tuple[nn.Module, int]:
    """`build_network`'s module, for weights that will replace all it has, and features: without memory where safe."""
    network, features, _ = outline(architecture, size_px)
    saved = network.state_dict()
    if architecture.startswith("timm/") or any(name not in saved for name, _ in network.named_buffers()):
        with Uninitialised():
            network = build_network(architecture, size_px)[0]
    return network, features


def is_sized(architecture: str) -> bool:
    """Whether the network has weights for each place in its images, so that it is made for one size."""
    library = _library(architecture)
    return (
        library.patch_px(architecture) is not None if library is torchvision_models else library.is_sized(architecture)
    )


def fitted(architecture: str, size_px: int | None, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the network holds once its library has loaded `state` by its own rules.

    Raises RuntimeError or ValueError, as torch does, if it does not fit.
    """
    with torch.random.fork_rng(devices=[]), Uninitialised():
        return _library(architecture).load(architecture, size_px, state)


def check_size(architecture: str, size_px: int, small_px: int | None = None) -> None:
    """One pass without values for each size. Raises WeightsError, naming the next size that would do, if the network
    made for images of `size_px` takes none of that size, or none of `small_px`.
    """
    if not _takes(architecture, size_px, size_px):
        fitting = next((size for size in _sizes(architecture, size_px) if _takes(architecture, size, size)), None)
        advice = f"set {fitting}" if fitting else "choose another backbone.name"
        raise WeightsError(f"resize.size_px = {size_px}: {architecture} takes no images of that size; {advice}")
    if small_px and not _takes(architecture, size_px, small_px):
        sizes = (size for size in _sizes(architecture, small_px) if size < size_px)
        fitting = next((size for size in sizes if _takes(architecture, size_px, size)), None)
        raise WeightsError(
            f"train.fine_tune.small_images.size_px = {small_px}: {architecture} for images of {size_px} pixels "
            f"takes none of that size; set {fitting or 'null'}"
        )


def check_maps(architecture: str, size_px: int) -> None:
    """Raise WeightsError, naming a size that would do, if heat maps can show nothing of the network at this size."""
    if _has_maps(architecture, size_px):
        return
    larger = [size_px * times for times in (2, 4, 8) if size_px * times < LARGEST_PX]
    if fitting := next((size for size in larger if _has_maps(architecture, size)), None):
        raise WeightsError(
            f"resize.size_px = {size_px}: {architecture} leaves no feature map for heat maps; set {fitting}"
        )
    raise WeightsError(
        f"backbone.name = {architecture}: it leaves no feature map for heat maps; choose another backbone.name"
    )


def _has_maps(architecture: str, size_px: int) -> bool:
    if not _takes(architecture, size_px, size_px):
        return False
    return bool(maps_of(outline(architecture, size_px)[0].eval(), torch.empty(2, 3, size_px, size_px, device="meta")))


def _sizes(architecture: str, above: int) -> Iterable[int]:
    """Sizes worth a try: all, or for a network that is built for one the multiples of its patches."""
    if not is_sized(architecture):
        return range(above + 1, LARGEST_PX)
    network = outline(architecture)[0]
    patch = getattr(getattr(network, "patch_embed", network), "patch_size", 32)  # timm's is a pair
    step = patch[0] if isinstance(patch, tuple) else patch
    return range(above - above % step + step, LARGEST_PX, step)


def _takes(architecture: str, size_px: int, images_px: int) -> bool:
    try:
        network = outline(architecture, size_px)[0].eval()
        with torch.no_grad():
            network(torch.empty(2, 3, images_px, images_px, device="meta"))
    except (RuntimeError, AssertionError, ValueError, ZeroDivisionError):
        return False
    return True
