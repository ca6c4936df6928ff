"""The digest of a stage's record: one for what is equal, another for whatever is not."""

import hashlib

import pytest

from transfer.network.provenance import record_digest

FILES = ["bb", "aa", "aa"]
PARAMETERS = {"seed": 0, "train": {"lr": 1e-05, "hidden": [128, 64], "mirror": True, "url": None}}


def test_it_is_a_sha256_over_plain_json():
    text = (
        '[["aa", "aa", "bb"], {"seed": 0, "train.hidden": [128, 64], "train.lr": 1e-05, "train.mirror": true, '
        '"train.url": null}]'
    )
    assert record_digest(FILES, PARAMETERS) == hashlib.sha256(text.encode()).hexdigest()


def test_it_is_the_same_however_a_record_is_written():
    written = {
        "train.lr": 0.00001,
        "train": {"mirror": True, "hidden": (128.0, 64.0)},
        "train.url": None,
        "seed": 0.0,
    }
    assert record_digest(sorted(FILES), written) == record_digest(FILES, PARAMETERS)


@pytest.mark.parametrize(
    ("files", "parameters"),
    [
        (["bb", "aa"], PARAMETERS),
        (["bb", "aa", "cc"], PARAMETERS),
        (FILES, {**PARAMETERS, "seed": 1}),
        (FILES, {**PARAMETERS, "more": 1}),
        (FILES, {**PARAMETERS, "train": {**PARAMETERS["train"], "hidden": [64, 128]}}),
        (FILES, {**PARAMETERS, "train": {**PARAMETERS["train"], "mirror": 1}}),
        (FILES, {**PARAMETERS, "train": {**PARAMETERS["train"], "url": "null"}}),
        (FILES, {**PARAMETERS, "train": {**PARAMETERS["train"], "lr": "1e-05"}}),
    ],
)
def test_anything_else_has_another(files, parameters):
    assert record_digest(files, parameters) != record_digest(FILES, PARAMETERS)
