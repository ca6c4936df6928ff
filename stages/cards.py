"""Lay the model and its cards, written from the run's own figures, into one folder to be fetched together."""

from argparse import Namespace

from transfer.data.resize import Interpolation
from transfer.network.classifier import load_card
from transfer.report.cards import facts
from transfer.report.page import fill_in
from transfer.report.read_evidence import read_evidence
from transfer.runtime.command import run
from transfer.runtime.errors import DataError
from transfer.runtime.files import sha256_of, whole
from transfer.runtime.parameters import Group

MODEL_CARD, DATA_CARD = "README.md", "data_card.md"  # where a model hub, or a reader, looks first


class Evaluate(Group):
    elsewhere = ("batch_size", "pictures", "expected_pairs", "robustness_images")
    minimum_macro_f1: float
    mirror: bool
    shift_fraction: float


class Resize(Group):
    elsewhere = ("size_px",)
    interpolation: Interpolation


class Parameters(Group):
    evaluate: Evaluate
    resize: Resize


def main(parameters: Parameters, files: Namespace) -> None:
    evidence = read_evidence(files.evidence, parameters.model_dump())
    card = load_card(files.model)
    try:
        content = facts(evidence, card, sha256_of(files.model)) | {"model_name": files.model.name}
        templates = {MODEL_CARD: files.model_template, DATA_CARD: files.data_template}
        texts = {name: fill_in(template, content) for name, template in templates.items()}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"--evidence lacks or garbles a figure ({error!r}); run the stages before cards") from error
    with whole(files.package) as folder:
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / files.model.name).write_bytes(files.model.read_bytes())


if __name__ == "__main__":
    run(
        main,
        Parameters,
        inputs=["model", "model_template", "data_template"],
        several=["evidence"],
        outputs=["package"],
    )
