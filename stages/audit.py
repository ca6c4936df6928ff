"""Test whether the model decides by the object or by its surroundings, and whether its maps can be trusted."""

from argparse import Namespace
from typing import Any

import numpy as np
from pydantic import Field

from transfer.devices.launch import run_on_devices
from transfer.explanation import audit
from transfer.explanation.cam import Explain
from transfer.explanation.objects import REJECTED, TAKEN, counterfactuals, known_objects
from transfer.explanation.sheet import audit_sheet, first_of_classes, verdict_text
from transfer.explanation.subject import measure_maps, read_subject
from transfer.explanation.verdict import maps_verdict, model_verdict
from transfer.runtime.files import write_json, write_tsv
from transfer.runtime.kept import fingerprint
from transfer.runtime.parameters import Group


class Audit(Group):
    images: int = Field(gt=0)
    faithfulness_images: int = Field(gt=0)
    sanity_images: int = Field(gt=0)
    min_object_share: float = Field(gt=0, le=1)
    max_object_share: float = Field(gt=0, le=1)
    min_mask_agreement: float = Field(ge=0, le=1)
    max_background_gap: float = Field(ge=0)
    max_sanity_correlation: float = Field(ge=-1, le=1)


class Parameters(Group):
    seed: int = Field(ge=0)
    explain: Explain
    audit: Audit


def main(parameters: Parameters, files: Namespace) -> None:
    config, seed = parameters.audit, parameters.seed
    subject, classes = read_subject(files.model, files.test, config.images, parameters.explain, seed)
    labels, pixels = subject.labels, subject.pixels
    probabilities = subject.predict(pixels)
    maps = subject.maps(subject.model, np.arange(len(labels)), probabilities.argmax(1))
    limits = config.min_object_share, config.max_object_share, config.min_mask_agreement
    masks, judged = known_objects(files.state, fingerprint(config), pixels, *limits)
    taken = np.flatnonzero(judged == TAKEN)
    figures: dict[str, Any] = {
        "images": len(labels),
        "method": parameters.explain.method,
        "layer": subject.layer.name,
        "map_px": subject.layer.width,
        "empty_maps": int((~maps.any((1, 2))).sum()),
        "coverage": len(taken) / len(labels),
        "selection": audit.selection(probabilities.argmax(1) == labels, taken),
        "rejected": {why: int((judged == why).sum()) for why in REJECTED},
    }
    table, versions = {}, {}
    if taken.size:
        changed = counterfactuals(pixels[taken], masks[taken], labels[taken], seed)
        versions = {"original": (pixels[taken], probabilities[taken])}
        versions |= {name: (made, subject.predict(made)) for name, made in changed.items()}
        table = audit.right_answers({name: found for name, (_, found) in versions.items()}, labels[taken])
        table |= audit.localisation(pixels[taken], maps[taken], masks[taken], subject.layer.width, seed)
        figures |= audit.summarise(table, seed)
    counts = config.faithfulness_images, config.sanity_images
    measured, curves = measure_maps(subject, maps, probabilities, counts, seed)
    figures |= measured
    by_class = audit.per_class(table, labels, taken, classes, seed)
    figures["model"] = model_verdict({**figures, "per_class": by_class}, config.max_background_gap, classes)._asdict()
    figures["maps"] = maps_verdict(figures, config.max_sanity_correlation)._asdict()
    write_json(files.metrics, figures)
    write_tsv(files.plots / "classes.tsv", audit.class_rows(by_class))
    examples = first_of_classes(labels[taken], masks[taken], maps[taken], versions, classes)
    audit_sheet(files.plots / "pictures/sheet.png", examples, figures, curves, classes)
    print(verdict_text(figures))


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=["model", "test"], outputs=["metrics", "plots"])
