"""What a model card and a data card say (Mitchell et al. 2019, Gebru et al. 2021), from the figures of a run."""

from collections.abc import Mapping
from typing import Any

from transfer.network.classifier import ModelCard
from transfer.report import content
from transfer.report.evidence import Evidence, interval, shown
from transfer.report.gate import gate, leakage_text
from transfer.runtime.wording import percent, plural


def card_content(evidence: Evidence, card: ModelCard, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """All that the templates of both cards ask for; `ran` are the stages with figures, the others are left out.

    Raises KeyError for a figure that is missing, as `figure` does.
    """

    def figure(*keys: str) -> Any:
        if (value := evidence.figure(*keys)) is None:
            raise KeyError(".".join(keys))
        return value

    scores, leakage = evidence.metrics["evaluate"], evidence.figure("evaluate", "duplicates") or {}
    ends = interval(scores["accuracy_ci_low"], scores["accuracy_ci_high"])
    return {
        **{each.__name__: each for each in (percent, plural, shown)},
        "card": card,
        "provenance": provenance,
        "scores": scores,
        "ran": evidence.metrics.keys(),
        "figure": figure,
        "parameter": evidence.parameter,
        "images": evidence.images,
        "verdict": gate(evidence).sentence,
        "accuracy": f"{percent(scores['accuracy'])} ({ends})",
        "results": content.result_rows(evidence),
        "classes": content.class_rows(evidence),
        "corruptions": content.corruption_table(evidence),
        "counts": content.image_rows(evidence),
        "duplicates": content.duplicate_rows(evidence),
        "leakage": leakage_text(leakage)
        if leakage.get("affected_test_images") and "accuracy_without" in leakage
        else "",
        "train_suspects": len(evidence.rows("label_errors/suspects")),
    }
