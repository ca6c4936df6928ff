"""Some hundred of the inputs that `python -m tests.fuzz` makes by the hundred thousand; it finds planted faults."""

from pathlib import Path

import pytest

import tests.fuzz
from tests.fuzz import Fuzzer, fuzz

INPUTS = 600


def test_readers_accept_or_refuse_whatever_they_are_given(tmp_path: Path) -> None:
    fuzzer = fuzz(INPUTS, 0, tmp_path)
    assert fuzzer.failures == []
    assert sum(fuzzer.outcomes.values()) == INPUTS
    # The inputs reach behind the first check of each reader.
    assert len(fuzzer.outcomes) > 12
    assert min(fuzzer.outcomes["archive: accepted"], fuzzer.outcomes["parameters: accepted"]) > 5


def test_the_same_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    assert fuzz(60, 5, tmp_path).outcomes == fuzz(60, 5, tmp_path).outcomes


def test_a_reader_that_fails_is_found_and_its_input_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path) -> None:
        raise KeyError(path)

    monkeypatch.setattr(tests.fuzz, "check_archive", failing)
    fuzzer = fuzz(6, 0, tmp_path)
    assert isinstance(fuzzer, Fuzzer)
    assert len(fuzzer.failures) == 3
    assert len(list(tmp_path.glob("archive *"))) == 3
