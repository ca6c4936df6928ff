"""Medians, ratios and spread on known numbers, the table that shows them, and the guard against becoming slower."""

import pytest

from benchmarks.figures import between_markers, losses, ratios, spread, summarise, table

MIB = 1 << 20


def run(system: str, repetition: int, first: float, second: float, startup: float = 1.0) -> dict:
    # A second passes before the first epoch's end that no later epoch has.
    ends = [1 + (second - 1) / 2, second]
    phases = [
        {"seconds": first, "epoch_ends": [first], "val_accuracy": 0.5},
        {"seconds": second, "epoch_ends": ends, "val_accuracy": 0.75},
    ]
    return {
        "system": system,
        "repetition": repetition,
        "startup_s": startup,
        "phases": phases,
        "peak_bytes": 300 * MIB,
    }


# A slow moment of the machine hits the last repetition of both.
RECORDS = [
    run("ours", 0, 2.0, 11.0),
    run("peer", 0, 12.0, 15.0, startup=3.0),
    run("peer", 1, 10.0, 13.0),
    run("ours", 1, 2.0, 11.0),
    run("ours", 2, 4.0, 41.0),
    run("peer", 2, 28.0, 56.0),
    run("peer", 3, 1000.0, 1000.0),  # without ours beside it, in no ratio
]


def test_spread_is_median_lowest_and_highest() -> None:
    assert spread([5.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 5.0}
    assert spread([4.0, 2.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_ratios_pair_runs_of_the_same_repetition() -> None:
    ours = {0: {"phase_1_s": 2.0}, 2: {"phase_1_s": 4.0}}
    theirs = {2: {"phase_1_s": 20.0}, 0: {"phase_1_s": 6.0}, 1: {"phase_1_s": 1.0}}
    assert ratios(ours, theirs, "phase_1_s") == [3.0, 5.0]


def test_summary_of_known_runs() -> None:
    found = summarise(RECORDS, images=100, epochs=(10, 2))
    assert found["ours"]["repetitions"] == 3
    assert found["peer"]["repetitions"] == 4
    assert found["ours"]["phase_2_images_per_s"] == {"median": 20.0, "low": 5.0, "high": 20.0}
    assert found["ours"]["all_s"] == {"median": 14.0, "low": 14.0, "high": 46.0}
    assert found["ours"]["peak_mib"]["median"] == 300.0
    times = found["peer"]["times_as_long"]
    assert times["phase_1"] == {"median": 6.0, "low": 5.0, "high": 7.0}
    assert times["phase_2"] == pytest.approx({"median": 15 / 11, "low": 13 / 11, "high": 56 / 41})
    assert times["image"] == pytest.approx({"median": 1.375, "low": 1.2, "high": 1.4})
    assert times["all"] == pytest.approx({"median": 85 / 46, "low": 24 / 14, "high": 30 / 14})
    assert "times_as_long" not in found["ours"]


def test_of_a_single_epoch_the_whole_phase_is_the_rate() -> None:
    single = run("ours", 0, 2.0, 10.0)
    single["phases"][1]["epoch_ends"] = [9.0]
    assert summarise([single], images=100, epochs=(10, 1))["ours"]["phase_2_images_per_s"]["median"] == 10.0


def test_without_our_runs_there_are_no_ratios() -> None:
    found = summarise([record for record in RECORDS if record["system"] == "peer"], 100, (10, 2))
    assert "times_as_long" not in found["peer"]


def test_table_shows_each_system_in_the_given_order() -> None:
    lines = table(summarise(RECORDS, 100, (10, 2)), {"ours": "this one", "peer": "another", "third": "not run"})
    rows = lines.splitlines()
    assert (
        rows[2] == "| this one | 1.0 (1.0–1.0) | 2.0 (2.0–4.0) | 11.0 (11.0–41.0) | 20.0 (5.0–20.0) | 300 (300–300) |"
    )
    assert rows[3].startswith("| another | 1.0 (1.0–3.0) | 20.0 (10.0–1,000.0) |")
    assert rows[-1] == "| another | 6.00 (5.00–7.00) | 1.36 (1.18–1.37) | 1.38 (1.20–1.40) | 1.85 (1.71–2.14) |"
    assert "not run" not in lines
    assert {row.count("|") for row in rows[:4]} == {7}


def test_only_what_stands_between_its_markers_is_replaced() -> None:
    page = "before\n<!-- a -->\nold\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\n"
    once = between_markers(page, "a", "new")
    assert once == "before\n<!-- a -->\nnew\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\n"
    assert between_markers(once, "a", "new") == once


@pytest.mark.parametrize("page", ["", "<!-- a -->", "<!-- /a --> <!-- a -->"])
def test_a_page_without_markers_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="no <!-- a -->"):
        between_markers(page, "a", "new")


def test_guard_names_the_ratio_that_fell_by_over_a_fifth() -> None:
    recorded = {"phase 1": 5.0, "phase 2": 1.5, "resize": 0.8}
    assert losses(recorded, {"phase 1": 4.01, "phase 2": 1.21, "resize": 2.0}) == []
    assert losses(recorded, {"phase 1": 3.0, "phase 2": 1.5, "resize": 0.8}) == [
        "phase 1: 3.00, was 5.00: a loss of 40%"
    ]


def test_guard_fails_on_a_ratio_that_is_no_longer_measured() -> None:
    assert losses({"phase 1": 5.0}, {"phase 2": 5.0}) == ["phase 1: recorded 5.00, not measured"]
