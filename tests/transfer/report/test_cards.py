"""Rows of the cards: in the right order, and none for what was not measured."""

import pytest

from tests.transfer.report.healthy_run import CLASSES, changed, healthy
from transfer.network.backbones import Preprocessing
from transfer.network.classifier import HeadShape, ModelCard
from transfer.report.cards import card_content
from transfer.report.content import class_rows, corruption_table, duplicate_rows, image_rows, result_rows, title
from transfer.report.evidence import Evidence


def test_classes_come_the_hardest_first():
    evidence = changed({"evaluate.per_class.ship.f1": 0.5, "evaluate.per_class.truck.f1": 0.7})
    rows = class_rows(evidence)
    assert [row[0] for row in rows] == ["ship", "truck", "cat", "dog"]
    assert rows[0] == ["ship", "0.910", "0.910", "0.500 (0.890 to 0.930)"]


def test_results_have_their_intervals():
    assert result_rows(healthy())[:2] == [
        ["accuracy", "91.2 % (89.9 to 92.4)"],
        ["macro F1", "0.910 (0.900 to 0.920)"],
    ]


def test_images_are_counted_by_class_and_in_all():
    rows = image_rows(healthy())
    assert [row[0] for row in rows] == [*CLASSES, "all"]
    assert rows[0] == ["cat", "2,000", "500", "500"]
    assert rows[-1] == ["all", "8,000", "2,000", "2,000"]


def test_pairs_and_corruptions_are_named_in_words():
    assert duplicate_rows(healthy()) == [["within training", "0", "3", "0"], ["test images of training", "0", "0", "0"]]
    assert corruption_table(healthy())[1] == [["noise", "90.0 %", "87.0 %", "85.0 %"]]


@pytest.mark.parametrize(
    ("address", "newest", "shown"),
    [
        ("/home/me/photos", "2026-11-20", "ResNet-50 on photos: 4 classes, up to 2026-11-20"),
        ("https://host/a/my%20photos.tar.gz?token=x", None, "ResNet-50 on my photos: 4 classes"),
        ("/home/me/photos.v2/", None, "ResNet-50 on photos.v2: 4 classes"),
        (None, None, "ResNet-50 on images: 4 classes"),
    ],
)
def test_the_title_names_network_data_and_the_day_of_the_newest_image(address, newest, shown):
    evidence = Evidence(
        {
            "evaluate": healthy().metrics["evaluate"],
            "backbone": {"name": "resnet50"},
            "download": {"newest_image": newest} if newest else {},
        },
        {},
        {"download": {"url": address}} if address else {},
    )
    assert title(evidence) == shown


def test_what_was_not_measured_has_no_rows():
    assert duplicate_rows(Evidence({})) == corruption_table(Evidence({}))[1] == []


def test_a_template_that_asks_for_what_was_not_measured_is_told():
    shape = HeadShape(512, (), False, 0.0, 4)
    card = ModelCard("resnet18", shape, CLASSES, Preprocessing((0, 0, 0), (1, 1, 1)), 96, "cubic", "float32")
    known = card_content(healthy(), card, {})
    assert known["accuracy"] == "91.2 % (95 % interval 89.9 to 92.4)"
    assert known["figure"]("evaluate", "calibration", "ece") == 0.02
    assert known["figure"]("evaluate", "label_errors", "suspected") == 0
    with pytest.raises(KeyError, match=r"evaluate\.calibration\.mce"):
        known["figure"]("evaluate", "calibration", "mce")
