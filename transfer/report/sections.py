"""The report's sections, in the order of interest: what came out, what to do, what was done, and the evidence.

A section says what its figures are; where they were not measured it is left out, or says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from transfer.report import charts
from transfer.report.claims import answer_claims, confusion_from, distances
from transfer.report.evidence import ESTIMATES, Evidence, Row, estimate, interval, leaves, percent, points, shown
from transfer.report.findings import (
    Finding,
    Gate,
    cluster_classes,
    diagnose,
    leakage_text,
    strengths,
)

MOST_CONFUSIONS = 10
NUMBERED_CLASSES = 20  # a confusion matrix of more has no room for names and numbers
PHASES = {"train_head": "phase 1 (head only)", "fine_tune": "phase 2 (whole network)"}


@dataclass(frozen=True)
class Table:
    """Rows of text. `code` names columns of parameter names and digests, `folded` one to be opened by its title,
    `stacked` one whose rows are read as cards where the page is narrow."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    code: Sequence[str] = ()
    folded: bool = False
    stacked: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawn chart (an <svg> element) and what it shows, in words."""

    caption: str
    svg: str


@dataclass(frozen=True)
class Picture:
    """The stem of a picture's file and what it shows, in words."""

    name: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading and what is under it, in this order. `lists` are (title, items)."""

    title: str
    text: Sequence[str] = ()
    lists: Sequence[tuple[str, Sequence[str]]] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = field(default_factory=list)


def whole_table(title: str, rows: Sequence[Row], folded: bool = True) -> list[Table]:
    """A table as the stage wrote it; none if it has no rows."""
    return (
        [Table(title, list(rows[0]), [[shown(value) for value in row.values()] for row in rows], folded=folded)]
        if rows
        else []
    )


def result(evidence: Evidence, verdict: Gate) -> Section:
    scores = evidence.metrics["evaluate"]
    rows = [[what, estimate(scores, name)] for name, what in ESTIMATES.items() if name in scores]
    if (clean := evidence.figure("robustness", "clean_accuracy")) is not None:
        mean = evidence.figure("robustness", "mean_accuracy")
        rows.append(["mean accuracy under corruption", f"{shown(mean)} (without: {shown(clean)})"])
    if (passed := evidence.figure("audit", "passed")) is not None:
        rows.append(["Clever Hans audit", "passed" if passed else "not passed"])
    images = f" on {evidence.images('test'):,} test images" if evidence.images("test") else ""
    ends = interval(scores["accuracy_ci_low"], scores["accuracy_ci_high"])
    accuracy = f"Accuracy {percent(scores['accuracy'])} ({ends}){images}."
    return Section(
        "Result",
        [accuracy],
        tables=[Table("Figures on the test split, with 95 % intervals", ["figure", "value"], rows)],
    )


def gate_diagnosis(verdict: Gate, findings: Sequence[Finding]) -> Section:
    """What failed, who is responsible, what to try: the report's opening when the gate is missed."""
    named = (name for finding in findings if finding.parameter for name in finding.parameter.split(", "))
    parameters = dict.fromkeys(named)
    return Section(
        "Why the gate was missed",
        [verdict.sentence],
        [
            ("Classes responsible", verdict.classes),
            ("Clusters responsible", verdict.clusters or ["no clusters were looked for, or none found"]),
            ("Parameters to try, in the order of the findings", list(parameters)),
        ],
    )


def findings_section(findings: Sequence[Finding]) -> Section:
    columns = ["symptom", "diagnosis", "intervention", "parameter", "evidence"]
    rows = [[getattr(finding, column) or "none" for column in columns] for finding in findings]
    if not rows:
        return Section("Findings", ["No rule found anything to mend."])
    return Section(
        "Findings", tables=[Table("What was found, gravest first", columns, rows, ["parameter"], stacked=True)]
    )


def claims_section(evidence: Evidence) -> Iterator[Section]:
    if claims := answer_claims(evidence):
        rows = [[one.claim, one.verdict, one.evidence] for one in claims]
        yield Section("Claims, answered", tables=[Table("", ["claim", "verdict", "evidence"], rows, stacked=True)])


def swot(evidence: Evidence, findings: Sequence[Finding]) -> Iterator[Section]:
    """Strengths, weaknesses, opportunities and threats; one that no figure supports is left out."""
    kinds = {
        "Strengths": strengths(evidence),
        "Weaknesses": [finding.symptom for finding in findings if finding.kind == "weakness"],
        "Opportunities": [
            f"{finding.symptom} {finding.intervention}" for finding in findings if finding.kind == "opportunity"
        ],
        "Threats": [finding.symptom for finding in findings if finding.kind == "threat"],
    }
    if lists := [(title, items) for title, items in kinds.items() if items]:
        yield Section("Strengths, weaknesses, opportunities, threats", lists=lists)


def what_was_done(evidence: Evidence, provenance: Mapping[str, str]) -> Section:
    name = evidence.figure("backbone", "name")
    text = []
    if name:
        head = evidence.parameter("train", "head", "hidden")
        layers = f" with hidden layers of {', '.join(map(str, head))}" if head else ", linear"
        weights = f"weights {evidence.figure('backbone', 'weights')}"
        text.append(f"Network: {name}, {weights}, and a new head{layers if head is not None else ''}.")
    if evidence.images("train"):
        counts = ", ".join(
            f"{evidence.images(split):,} {what}"
            for split, what in (("train", "for training"), ("val", "for validation"), ("test", "for the test"))
        )
        size, how = evidence.parameter("resize", "size_px"), evidence.parameter("resize", "interpolation")
        text.append(f"Images: {counts}" + (f", enlarged to {size} × {size} pixels ({how})." if size else "."))
    epochs = [
        f"{evidence.figure(phase, 'epochs')} epochs of {what}" for phase, what in PHASES.items() if evidence.ran(phase)
    ]
    if epochs:
        text.append("Training: " + ", then ".join(epochs) + ".")
    digests = {
        "archive asked for (SHA-256)": evidence.parameter("download", "sha256"),
        "the images are CIFAR-10's own": evidence.figure("download", "official_pixels"),
        "pretrained weights (SHA-256)": evidence.figure("backbone", "sha256"),
        "the weights are the published ones": evidence.figure("backbone", "published"),
        **{
            f"which images: {split} (SHA-256)": evidence.figure("subsample", split, "positions_sha256")
            for split in ("train", "val", "test")
        },
        **provenance,
    }
    rows = [[what, shown(value)] for what, value in digests.items() if value is not None]
    parameters = [[name, str(value)] for name, value in leaves(evidence.parameters)]
    tables = [Table("Provenance", ["what", "value"], rows, ["value"])]
    if parameters:
        tables.append(Table("All parameters", ["parameter", "value"], parameters, ["parameter", "value"], folded=True))
    return Section("What was done", text, tables=tables)


def learning(evidence: Evidence) -> Iterator[Section]:
    phases = {phase: evidence.rows(phase) for phase in PHASES if evidence.ran(phase)}
    if not phases:
        return
    text = []
    for phase in phases:
        accuracy, best = evidence.figure(phase, "val", "accuracy"), evidence.figure(phase, "best_epoch")
        text.append(f"{PHASES[phase].capitalize()}: best in epoch {best}, validation accuracy {percent(accuracy)}.")
    if len(phases) == 2:
        before, after = (evidence.figure(phase, "val", "accuracy") for phase in PHASES)
        first = float(phases["fine_tune"][0]["val_accuracy"])
        gaps = distances(evidence)
        text.append(
            f"The jump: against the best of phase 1, the first epoch after the unfreezing stands at "
            f"{points(first - before)}, the best of phase 2 at {points(after - before)}. Over phase 2 training minus "
            f"validation accuracy went from {points(gaps[0])} to {points(gaps[-1])}."
        )
    text.append("Training figures are those of augmented images with label smoothing, so they start out worse.")
    named = {PHASES[phase].split(" (")[0]: rows for phase, rows in phases.items()}
    drawn = [
        Chart(
            f"{measure.capitalize()} over both phases" if len(phases) == 2 else measure.capitalize(),
            charts.learning_curves(named, measure),
        )
        for measure in ("accuracy", "loss")
    ]
    rows = [row for epochs in phases.values() for row in epochs]
    yield Section("Learning curves", text, tables=whole_table("Every epoch", rows), charts=drawn)


def classes_section(evidence: Evidence) -> Section:
    per_class = evidence.metrics["evaluate"]["per_class"]
    rows = [
        [name, *(estimate(values, key) for key in ("precision", "recall", "f1"))] for name, values in per_class.items()
    ]
    tables = [Table("Each class, with 95 % intervals", ["class", "precision", "recall", "F1"], rows)]
    drawn, pictures = [], []
    if evidence.rows("confusion"):
        names, counts = confusion_from(evidence)
        errors = [
            (int(counts[i, j]), names[i], names[j]) for i in range(len(names)) for j in range(len(names)) if i != j
        ]
        ranked = sorted((error for error in errors if error[0]), key=lambda error: -error[0])[:MOST_CONFUSIONS]
        total = sum(count for count, _, _ in errors)
        confusions = [[actual, said, str(count), percent(count / total)] for count, actual, said in ranked]
        if confusions:
            tables.append(
                Table("Most frequent errors", ["actual", "predicted", "images", "share of errors"], confusions)
            )
        if len(names) <= NUMBERED_CLASSES:
            drawn.append(
                Chart(
                    "Confusion matrix of the test split: images; colour: share of the actual class that went wrong so",
                    charts.confusion_matrix(counts, names),
                )
            )
    clusters = [
        [cluster_classes(row), row["errors"], percent(float(row["share_of_errors"]))]
        for row in evidence.rows("clusters")
    ]
    if clusters:
        tables.append(
            Table("Clusters of classes taken for each other", ["classes", "errors", "share of errors"], clusters)
        )
    tables += whole_table("Pairs of classes", evidence.rows("pairs"))
    pictures = [Picture("predictions", "Example answers of each class"), Picture("errors", "The most confident errors")]
    return Section("Classes and confusion", tables=tables, charts=drawn, pictures=pictures)


def groups_section(evidence: Evidence) -> Section:
    groups = evidence.figure("evaluate", "groups")
    title = "Rigid against organic"
    if not groups:
        return Section(
            title,
            ["Not compared: the evaluation has no figures for two kinds of classes (groups.rigid)."],
        )
    rows = [[what, percent(groups[f"{what}_accuracy"])] for what in ("rigid", "organic")]
    rows.append(
        ["rigid minus organic", f"{points(groups['gap'])} ({interval(groups['gap_ci_low'], groups['gap_ci_high'])})"]
    )
    return Section(title, tables=[Table("", ["classes", "accuracy"], rows)])


def calibration_section(evidence: Evidence) -> Iterator[Section]:
    figures = evidence.figure("evaluate", "calibration") or {}
    text, tables, drawn = [], [], []
    if figures:
        text.append(
            f"Confidence is off by {100 * figures['ece']:.1f} points on average (expected calibration error), "
            f"by {100 * figures['ece_scaled']:.1f} with a temperature of {figures['temperature']:.2f}, fitted on "
            "validation."
        )
    named: dict[str, list[tuple[float, float, int]]] = {}
    for row in evidence.rows("reliability"):
        named.setdefault({"raw": "as it is", "scaled": "with temperature"}.get(row["view"], row["view"]), []).append(
            (float(row["confidence"]), float(row["accuracy"]), int(row["images"]))
        )
    if named:
        drawn.append(
            Chart("Reliability: accuracy of answers of about the same confidence", charts.reliability_diagram(named))
        )
        tables += whole_table("Reliability", evidence.rows("reliability"))
    if curve := evidence.rows("risk_coverage"):
        drawn.append(
            Chart(
                "Risk and coverage: errors among the answers that are kept",
                charts.risk_coverage_curve([(float(row["coverage"]), float(row["risk"])) for row in curve]),
            )
        )
    if (kept := evidence.figure("evaluate", "risk_coverage", "accuracy_at_80")) is not None:
        text.append(f"Of the surest 80 % of answers {percent(kept)} are right.")
    if text or drawn:
        yield Section("Calibration", text, tables=tables, charts=drawn)


def robustness_section(evidence: Evidence) -> Iterator[Section]:
    figures = evidence.metrics.get("robustness")
    if not figures:
        return
    text = (
        f"Mean accuracy {percent(figures['mean_accuracy'])} over all corruptions and strengths, "
        f"{percent(figures['clean_accuracy'])} without: {points(-figures['mean_drop'])} on "
        f"{figures['images']:,} images."
    )
    strong = {name: values for name, values in figures.items() if isinstance(values, Mapping)}
    columns = list(dict.fromkeys(strength for values in strong.values() for strength in values))
    rows = [
        [name, *(percent(values[strength]) if strength in values else "" for strength in columns)]
        for name, values in strong.items()
    ]
    yield Section(
        "Robustness",
        [text],
        tables=[
            Table("Accuracy under corruption", ["corruption", *columns], rows),
            *whole_table("With intervals", evidence.rows("robustness")),
        ],
        pictures=[Picture("robustness", "Accuracy under each corruption at three strengths")],
    )


def explanations(evidence: Evidence) -> Section:
    return Section(
        "What the network looks at",
        ["Heat maps show where evidence for an answer lies. They illustrate; the audit measures."],
        pictures=[
            Picture("grad_cam", "Heat maps of the surest right and wrong answers of each class"),
            Picture("grad_cam_errors", "Heat maps of the most confident errors"),
            Picture("grad_cam_pairs", "The same image's map for its true and for its predicted class"),
        ],
    )


def audit_section(evidence: Evidence) -> Section:
    title, audit = "Clever Hans audit", evidence.metrics.get("audit")
    if not audit:
        return Section(
            title, ["No audit was run, so nothing is said of whether the object or its surroundings decide."]
        )
    text = [f"{audit['verdict'][0].upper()}{audit['verdict'][1:]}."] if audit.get("verdict") else []
    if "coverage" in audit:
        text.append(
            f"Measured on {audit.get('images', 0):,} images; {percent(audit['coverage'])} of the masks were usable."
        )
    tables = []
    checks = [
        [name.replace("_", " "), "passed" if ok else "not passed"] for name, ok in audit.get("checks", {}).items()
    ]
    if checks:
        tables.append(Table("Checks", ["check", "verdict"], checks))
    inside = [
        [what, *(estimate(audit[key], source) for source in ("cam", "centre", "random"))]
        for key, what in (
            ("energy_inside", "share of the map inside the object"),
            ("pointing", "highest point inside the object"),
        )
        if key in audit
    ]
    if inside:
        tables.append(
            Table(
                "Where the maps point, against a centred and a random map",
                ["measure", "heat map", "centre", "random"],
                inside,
            )
        )
    for key, what in (
        ("counterfactual", "Accuracy when background or object are replaced"),
        ("faithfulness", "Faithfulness: areas under the curves, and what heat maps gain over random maps"),
    ):
        figures = audit.get(key, {})
        names = [name for name in figures if not name.endswith(("_ci_low", "_ci_high"))]
        if names:
            rows = [[name.replace("_", " "), estimate(figures, name)] for name in names]
            tables.append(Table(what, ["what", "value"], rows))
    sanity = [[step, shown(values["rank_correlation"])] for step, values in audit.get("sanity", {}).items()]
    if sanity:
        tables.append(
            Table(
                "Sanity: rank correlation with the maps of the trained network as its weights are randomised",
                ["randomised", "rank correlation"],
                sanity,
            )
        )
    tables += whole_table("Each class", evidence.rows("audit_classes"))
    return Section(
        title, text, tables=tables, pictures=[Picture("audit", "The audit's masks, maps and counterfactual images")]
    )


def data_section(evidence: Evidence) -> Iterator[Section]:
    tables = []
    counts = evidence.metrics.get("subsample", {})
    splits = [split for split in ("train", "val", "test") if split in counts]
    if splits:
        classes = counts[splits[0]]["per_class"]
        rows = [[name, *(str(counts[split]["per_class"].get(name, 0)) for split in splits)] for name in classes]
        tables.append(Table("Images of each class", ["class", *splits], rows, folded=True))
    if interpolations := evidence.figure("explore", "interpolation"):
        keys = list(dict.fromkeys(key for values in interpolations.values() for key in values))
        rows = [
            [name, *(shown(values[key]) if key in values else "" for key in keys)]
            for name, values in interpolations.items()
        ]
        tables.append(
            Table("What each interpolation does", ["interpolation", *(key.replace("_", " ") for key in keys)], rows)
        )
    tables += whole_table("Brightness, contrast and colour of each class", evidence.rows("explore_classes"))
    tables += whole_table("Suspected label errors", evidence.rows("label_errors"))
    if pairs := evidence.figure("leakage", "pairs"):
        rows = [[name.replace("-", " and "), str(kinds["exact"]), str(kinds["near"])] for name, kinds in pairs.items()]
        tables.append(Table("Images that are there twice: pairs", ["splits", "exact", "near"], rows))
    tables += whole_table("The pairs", evidence.rows("leakage"))
    pictures = [
        Picture("explore_examples", "Examples of each class"),
        Picture("explore_means", "Mean image and colours of each class"),
        Picture("explore_interpolation", "The same images enlarged by each interpolation"),
        Picture("leakage", "Images that are there twice"),
        Picture("label_errors", "Test images whose label looks wrong"),
    ]
    text = []
    leakage = evidence.metrics.get("leakage", {})
    if "accuracy_without" in leakage:
        text.append(f"Leakage: {leakage_text(leakage)}.")
    figures = evidence.figure("evaluate", "label_errors") or {}
    if "suspected" in figures:
        without = figures.get("accuracy_without")
        text.append(
            f"{figures['suspected']} test images have a label that looks wrong"
            + (f"; without them accuracy is {percent(without)}." if without is not None else ".")
        )
    yield Section("The data", text, tables=tables, pictures=pictures)


def sections(evidence: Evidence, verdict: Gate, provenance: Mapping[str, str]) -> list[Section]:
    """All sections that have something to say. `provenance` are further lines of the table of that name."""
    findings = diagnose(evidence)
    return [
        *([] if verdict.met else [gate_diagnosis(verdict, findings)]),
        result(evidence, verdict),
        findings_section(findings),
        *claims_section(evidence),
        *swot(evidence, findings),
        what_was_done(evidence, provenance),
        *learning(evidence),
        classes_section(evidence),
        groups_section(evidence),
        *calibration_section(evidence),
        *robustness_section(evidence),
        explanations(evidence),
        audit_section(evidence),
        *data_section(evidence),
    ]
