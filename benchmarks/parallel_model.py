"""What training on 1 to 64 GPUs would give, by arithmetic: `python -m benchmarks.parallel_model`.

A prediction from the assumptions below, not a measurement: nothing here has run on more than one GPU.
"""

from dataclasses import dataclass, fields

GPUS = (1, 2, 4, 8, 16, 32, 64)
IMAGENET_IMAGES = 1_281_167


@dataclass(frozen=True)
class Assumed:
    """A ResNet-50 at 224 pixels in bf16 on machines of eight GPUs; batches grow with the GPUs."""

    rate: float = 3500.0  # images/s of one GPU, the goal
    batch: int = 256  # images a GPU and step
    backward_share: float = 2 / 3  # of a step, beside which gradients travel
    overlap: float = 0.8  # of the backward pass: the first gradients come late, the last have nothing beside them
    parameters: int = 25_557_032  # gradients are float32
    features: int = 2048  # of each image, gathered in bf16
    norms: int = 53  # batch normalisations, one collective forwards and one backwards, beside which nothing runs
    machine: int = 8  # GPUs that NVLink joins
    nvlink: float = 300e9  # bytes/s each way that an all-reduce gets of 450 GB/s
    network: float = 50e9  # bytes/s each way between machines: 400 Gb/s a machine
    latency_nvlink_s: float = 25e-6  # of a small collective within a machine
    latency_network_s: float = 60e-6  # and across machines
    image_bytes: int = 224 * 224 * 3  # uint8


def moved_s(assumed: Assumed, gpus: int, size: float) -> float:
    """Seconds to all-gather `size` bytes over all GPUs: a ring within each machine, then one across the machines."""
    inside = min(gpus, assumed.machine)
    machines = -(-gpus // assumed.machine)
    return (inside - 1) / inside * size / assumed.nvlink + (machines - 1) / machines * size / assumed.network


def all_reduced_s(assumed: Assumed, gpus: int, size: float) -> float:
    """Seconds to sum `size` bytes over all GPUs: a ring moves 2 (n - 1) / n of them (Patarasuk and Yuan 2009)."""
    return 2 * moved_s(assumed, gpus, size)


def step_s(assumed: Assumed, gpus: int, training_norms: bool = True) -> float:
    """Seconds of a training step on so many GPUs, with batch normalisation in training or with frozen statistics."""
    alone = assumed.batch / assumed.rate
    if gpus == 1:
        return alone
    gradients = all_reduced_s(assumed, gpus, 4 * assumed.parameters)
    late = max(0.0, gradients - assumed.overlap * assumed.backward_share * alone)
    features = 2 * assumed.features * assumed.batch * gpus
    gathered = moved_s(assumed, gpus, features) + all_reduced_s(assumed, gpus, features)
    latency = assumed.latency_nvlink_s if gpus <= assumed.machine else assumed.latency_network_s
    norms = 2 * assumed.norms * latency if training_norms else 0.0
    return alone + late + gathered + norms


def row(assumed: Assumed, gpus: int) -> dict[str, float]:
    """Figures for so many GPUs."""
    rate = gpus * assumed.batch / step_s(assumed, gpus)
    frozen = gpus * assumed.batch / step_s(assumed, gpus, training_norms=False)
    return {
        "GPUs": gpus,
        "images/s": rate,
        "of ideal": rate / (gpus * assumed.rate),
        "images/s, frozen statistics": frozen,
        "of ideal, frozen": frozen / (gpus * assumed.rate),
        "ImageNet epoch, s": IMAGENET_IMAGES / rate,
        "GB/s read a machine": min(gpus, assumed.machine) * rate / gpus * assumed.image_bytes / 1e9,
    }


def table(assumed: Assumed) -> str:
    """All rows, in Markdown."""
    rows = [row(assumed, gpus) for gpus in GPUS]
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---:|" * len(rows[0])]
    for values in rows:
        shown = [
            f"{value:.1%}"
            if name.startswith("of ideal")
            else f"{value:,.1f}"
            if name.startswith("GB")
            else f"{value:,.0f}"
            for name, value in values.items()
        ]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> None:
    assumed = Assumed()
    print(Assumed.__doc__)
    for field in fields(assumed):
        print(f"  {field.name} = {getattr(assumed, field.name):g}")
    print(f"ImageNet at 224 pixels: {IMAGENET_IMAGES * assumed.image_bytes / 1e9:.0f} GB of uint8\n")
    print(table(assumed))


if __name__ == "__main__":
    main()
