"""The audit's measures against hand-made maps, slow references and SciPy; models whose reasons are known."""

import itertools

import numpy as np
import pytest
import torch
import torchvision
from scipy import stats
from sklearn.metrics import auc
from torch import nn

from transfer.explanation import audit
from transfer.explanation.plain_maps import centre_map, edge_maps, oracle_maps, random_maps
from transfer.network.classifier import Classifier


def test_energy_and_hits_of_hand_made_maps():
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    maps = np.zeros((4, 4, 4), np.float32)
    maps[0, 0, 0] = 1  # all inside
    maps[1, 0, 0], maps[1, 3, 3] = 0.25, 0.75  # a quarter inside, its maximum outside
    maps[2] = 0.5  # half of it
    masks = np.stack([mask] * 4)
    np.testing.assert_allclose(audit.energy_inside(maps, masks), [1, 0.25, 0.5, np.nan])
    np.testing.assert_array_equal(audit.pointing_hits(maps, masks), [1, 0, 1, np.nan])


def test_the_centre_prior_is_symmetric_and_as_wide_as_it_says():
    prior = centre_map(96)
    np.testing.assert_allclose(prior, prior.T)
    np.testing.assert_allclose(prior, prior[::-1, ::-1])
    assert prior[47, 47 + 24] / prior[47, 47] == pytest.approx(np.exp(-0.5), rel=0.03)


def test_random_maps_are_as_coarse_as_the_layer():
    maps = random_maps(50, 6, 96, np.random.default_rng(0))
    assert maps.shape == (50, 96, 96)
    assert maps.min() == 0
    assert maps.max() == 1
    assert maps.min((1, 2)).max() < 0.1  # each spans nearly all; between its points it is linear
    assert maps.max((1, 2)).min() > 0.9
    assert abs(np.diff(maps, axis=1)).max() <= 6 / 96 + 1e-6


def test_curves_of_a_linear_model_equal_a_slow_reference():
    """The probability is the mean of the pixels, so that each step adds the pixels it replaces."""
    rng = np.random.default_rng(0)
    starts, ends = rng.integers(0, 256, (2, 3, 8, 8, 3), np.uint8)
    maps, targets = rng.random((3, 8, 8)).astype(np.float32), np.array([0, 1, 0])

    def answer(pixels: np.ndarray) -> np.ndarray:
        mean = pixels.mean((1, 2, 3)) / 255
        return np.stack([mean, 1 - mean], axis=1)

    curves = audit.replacement_curves(answer, starts, ends, {"own": maps}, targets)["own"]
    assert curves.shape == (3, audit.STEPS + 1)
    for i in range(3):
        image = starts[i].copy()
        by_rank = sorted(np.ndindex(8, 8), key=lambda place: -maps[i][place])
        for step in range(audit.STEPS + 1):
            for place in by_rank[: step * 64 // audit.STEPS]:
                image[place] = ends[i][place]
            assert curves[i, step] == pytest.approx(answer(image[None])[0, targets[i]])
    expected = [auc(np.linspace(0, 1, audit.STEPS + 1), curve) for curve in curves]
    np.testing.assert_allclose(audit.area_under(curves), expected)


def test_a_faithful_map_is_ahead_in_both_areas():
    """The answer is how white the left half is; a map of the left half knows, one of the right half does not."""
    pixels = np.full((4, 16, 16, 3), 255, np.uint8)
    pixels[:, :, 8:] = 0

    def answer(shown: np.ndarray) -> np.ndarray:
        white = shown[:, :, :8].mean((1, 2, 3)) / 255
        return np.stack([white, 1 - white], axis=1)

    left = np.zeros((4, 16, 16), np.float32)
    left[:, :, :8] = 1
    maps = {"cam": left, **dict.fromkeys(("random", "centre", "edges"), 1 - left)}
    curves = audit.faithfulness_curves(answer, pixels, np.zeros(3), maps, np.zeros(4, int))
    figures = audit.faithfulness(curves, 0)
    assert figures["insertion_gain"] > 0.03
    assert figures["deletion_cam"] == pytest.approx(0.25, abs=0.01)  # gone with the first half
    assert figures["deletion_random"] == pytest.approx(0.75, abs=0.01)
    assert figures["deletion_gain"] == figures["deletion_gain_over_edges"] == pytest.approx(0.5, abs=0.01)
    ends = figures["deletion_gain_ci_low"], figures["deletion_gain_ci_high"]
    assert ends == pytest.approx((-0.1, 1), abs=0.01)  # four images that are all alike say little


def test_rank_correlations_are_correlations_of_ranks():
    rng = np.random.default_rng(0)
    maps, others = rng.random((2, 4, 6, 6))
    maps[3] = 0
    ranks = stats.rankdata(maps[:3].reshape(3, -1), axis=1), stats.rankdata(others[:3].reshape(3, -1), axis=1)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(*ranks, strict=True)]
    np.testing.assert_allclose(audit.rank_correlations(maps, others), [*expected, np.nan])
    np.testing.assert_allclose(audit.rank_correlations(maps[:3], maps[:3]), 1)
    np.testing.assert_allclose(audit.rank_correlations(maps[:3], -maps[:3]), -1)


def small_classifier() -> Classifier:
    torch.manual_seed(0)
    backbone = torchvision.models.resnet18()
    backbone.set_submodule("fc", nn.Identity())
    return Classifier(backbone, nn.Sequential(nn.Linear(512, 3))).eval()


def test_weights_are_randomised_from_the_head_down_and_the_original_stays():
    model = small_classifier()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    changed = []
    for name, network in audit.randomised(model, 0):
        convs = [key for key in before if key.endswith("weight") and before[key].ndim > 1]
        changed.append((name, {key for key in convs if not torch.equal(network.state_dict()[key], before[key])}))
    assert [name for name, _ in changed] == ["head", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]
    for (_, earlier), (_, later) in itertools.pairwise(changed):
        assert earlier <= later
    assert changed[0][1] == {"head.0.weight"}
    assert all(key.startswith(("head", "backbone.layer4")) for key in changed[1][1])
    assert changed[-1][1] == {key for key in before if key.endswith("weight") and before[key].ndim > 1}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    once, again = (
        [copy.get_parameter("head.0.weight").clone() for _, copy in audit.randomised(model, 3)] for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_sanity_is_one_as_long_as_maps_stay():
    maps = np.random.default_rng(0).random((3, 8, 8))
    steps = audit.sanity(small_classifier(), maps, lambda network: maps, 0)
    assert list(steps)[-1] == "conv1"
    assert all(step["rank_correlation"] == pytest.approx(1) for step in steps.values())


def test_the_interval_of_a_mean_is_that_of_scipys_bootstrap():
    values = np.random.default_rng(0).random(60)
    figures = audit.mean_with_interval("x", values, 0)
    reference = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(1))
    assert figures["x"] == pytest.approx(values.mean())
    assert figures["x_ci_low"] == pytest.approx(reference.confidence_interval.low, abs=0.008)
    assert figures["x_ci_high"] == pytest.approx(reference.confidence_interval.high, abs=0.008)
    assert audit.mean_with_interval("x", values[:0], 0) == {}


CHANGES = (
    "background_same_class",
    "background_swapped",
    "masks_permuted",
    "foreground_same_class",
    "foreground_swapped",
)


def table_of(images: int, lost_by: str, energy: float = 0.9) -> dict[str, np.ndarray]:
    """Answers that are lost in all images if `lost_by` becomes another class's and in none else."""
    table = {"right_original": np.ones(images)}
    table |= {f"right_{name}": np.full(images, float(name != f"{lost_by}_swapped")) for name in CHANGES}
    for kind, share in (("cam", energy), ("centre", 0.5), ("random", 0.3), ("edges", 0.4), ("oracle", 0.95)):
        table |= {f"energy_{kind}": np.full(images, share), f"hits_{kind}": np.ones(images)}
    return table


def test_gaps_are_between_another_class_and_the_same_one():
    changed = audit.summarise(table_of(20, "foreground"), 0)["counterfactual"]
    assert (changed["background_gap"], changed["object_gap"], changed["object_minus_background"]) == (0, 1, 1)
    changed = audit.summarise(table_of(20, "background"), 0)["counterfactual"]
    assert (changed["background_gap"], changed["object_gap"], changed["object_minus_background"]) == (1, 0, -1)
    assert (changed["cut_cost"], changed["mask_gain"], changed["images"]) == (0, -1, 20)


@pytest.mark.parametrize(("images", "low", "high"), [(1, 0.0, 0.975), (30, 0.0, 0.1157), (311, 0.0, 0.0118)])
def test_where_no_image_differs_the_interval_says_how_many_could(images: int, low: float, high: float):
    share = audit.mean_with_interval("share", np.zeros(images), 0)
    assert (share["share_ci_low"], share["share_ci_high"]) == pytest.approx((low, high), abs=1e-3)
    gap = audit.mean_with_interval("gap", np.zeros(images), 0, lowest=-1)
    assert (gap["gap_ci_low"], gap["gap_ci_high"]) == pytest.approx((-high, high), abs=1e-3)


def test_the_interval_of_a_gap_is_paired():
    rng = np.random.default_rng(0)
    table = table_of(200, "foreground")
    table["right_background_same_class"] = (rng.random(200) < 0.5).astype(float)
    table["right_background_swapped"] = table["right_background_same_class"].copy()
    table["right_background_swapped"][:10] = 0
    changed = audit.summarise(table, 0)["counterfactual"]
    gone = int(table["right_background_same_class"][:10].sum())
    assert changed["background_gap"] == pytest.approx(gone / 200)
    assert 0 < changed["background_gap_ci_high"] < 0.06  # two separate samples would give 0.1


def test_localisation_is_normalised_between_the_centre_and_the_mask():
    figures = audit.summarise(table_of(20, "foreground", energy=0.725), 0)["energy_inside"]
    assert figures["normalised"] == pytest.approx(0.5)
    assert figures["oracle"] == pytest.approx(0.95)


def test_maps_of_wrong_answers_are_told_apart():
    table = table_of(4, "foreground")
    table["right_original"] = np.array([1.0, 1, 0, 0])
    table["energy_cam"] = np.array([0.8, 0.6, 0.2, np.nan])
    figures = audit.summarise(table, 0)
    assert (figures["right_answers"]["images"], figures["wrong_answers"]["images"]) == (2, 1)
    assert figures["right_answers"]["energy_inside"] == pytest.approx(0.7)
    assert figures["wrong_answers"]["energy_inside"] == 0.2
    assert audit.summarise(table_of(4, "foreground"), 0)["wrong_answers"] == {"images": 0}


def test_the_mask_itself_is_the_best_map_of_its_size():
    masks = np.zeros((2, 12, 12), bool)
    masks[0, 4:8, 4:8] = masks[1, :6, :6] = True
    coarse = oracle_maps(masks, 3)
    assert coarse.shape == (2, 12, 12)
    shares = audit.energy_inside(coarse, masks)
    assert 0.3 < shares[0] < 0.7  # which is what three cells can say
    assert (audit.energy_inside(oracle_maps(masks, 12), masks) == 1).all()


def test_edges_lie_where_the_image_changes_and_are_as_coarse_as_the_maps():
    pixels = np.full((2, 24, 24, 3), 90, np.uint8)
    pixels[0, :, 14:] = 200  # an edge in the third of four columns
    pixels[1, 9:, :, 2] = 91  # of one level of blue, which no grey shows
    edges = edge_maps(pixels, 4)
    assert edges.shape == (2, 24, 24)
    assert (edges[0].argmax(1) // 6 == 2).all()
    assert edges[0, :, 0].max() == 0
    assert (edges[1].argmax(0) // 6 == 1).all()


def test_the_effect_of_selection_is_a_difference_of_two_sets_of_images():
    right = np.array([True] * 60 + [False] * 40 + [True] * 20 + [False] * 80)
    found = audit.selection(right, np.arange(100))
    assert (found["kept"], found["rejected"]) == (100, 100)
    assert (found["accuracy_kept"], found["accuracy_rejected"]) == (0.6, 0.2)
    assert found["kept_minus_rejected"] == pytest.approx(0.4)
    ends = found["kept_minus_rejected_ci_low"], found["kept_minus_rejected_ci_high"]
    assert ends == pytest.approx((0.267, 0.513), abs=0.003)  # Newcombe's
    assert audit.selection(right, np.arange(200)) == audit.selection(right, np.arange(0)) == {}


def test_empty_maps_are_left_out_of_the_shares():
    table = table_of(4, "foreground")
    table["energy_cam"][:3] = np.nan
    table["hits_cam"][:3] = np.nan
    table["energy_centre"] = np.array([0.1, 0.1, 0.1, 0.7])
    figures = audit.summarise(table, 0)
    assert figures["energy_inside"]["cam"] == 0.9
    assert figures["energy_inside"]["centre"] == 0.7  # of the same image
    table["energy_cam"][:] = table["hits_cam"][:] = np.nan
    assert "energy_inside" not in audit.summarise(table, 0)


def test_a_class_without_objects_has_its_counts_and_a_row_with_gaps():
    labels, taken = np.array([0, 0, 1, 0]), np.array([0, 3])
    figures = audit.per_class(table_of(2, "foreground"), labels, taken, ("cat", "dog"), 0)
    assert figures["dog"] == {"images": 1, "accepted": 0}
    assert figures["cat"]["counterfactual"]["background_gap"] == 0
    cat, dog = audit.class_rows(figures)
    assert cat.keys() == dog.keys()
    assert (cat["images"], cat["accepted"], cat["energy_inside_cam"]) == (3, 2, 0.9)
    assert set(dog.values()) == {"dog", 1, 0, ""}


# Three classes, each with its own colour of the object and its own colour of the background.
