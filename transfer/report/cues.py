"""What the report says of colour, and of what turns errors right."""

from transfer.report.evidence import Evidence, Row

ANSWERS = {"confirmed": "yes", "refuted": "no", "undecided": "cannot tell"}
CHANGES = {"grey": "in grey", "low_pass": "without fine detail", "background": "background blurred"}


def known_by_colour(evidence: Evidence) -> dict[str, list[str]]:
    """Classes by the answer to whether they are known by their colour; empty if that was not asked."""
    found: dict[str, list[str]] = {}
    for verdict, answer in ANSWERS.items():
        if names := [row["class"] for row in evidence.rows("robustness/colour") if row["verdict"] == verdict]:
            found[answer] = names
    return found


def flip_table(evidence: Evidence) -> tuple[list[str], list[list[str]]]:
    """The commonest errors: how many each change turns right, and how many of the control it turns the same way."""

    def counts(row: Row, name: str) -> str:
        group = "with_object" if name == "background" else "tried"
        return f"{row[name]} of {row[group]}; {row[f'control_{name}']} of {row[f'control_{group}']}"

    def flipped_by(row: Row) -> str:
        return ", ".join(CHANGES[name] for name in row["flipped_by"].split(", ") if name) or "nothing"

    rows = [row for row in evidence.rows("robustness/flips") if "flipped_by" in row]
    cells = [[row["actual"], row["predicted"], row["errors"], *(counts(row, name) for name in CHANGES)] for row in rows]
    columns = ["actual", "predicted", "errors", *CHANGES.values(), "more than the control"]
    return columns, [[*own, flipped_by(row)] for own, row in zip(cells, rows, strict=True)]
