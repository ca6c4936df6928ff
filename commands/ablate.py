"""Try each idea of a file on its own against one plain run: `python -m commands.ablate experiments/ablation.yaml`.

Every idea is a DVC experiment, NAME-IDEA; one that is there already is not run again, so that a stopped ablation
goes on. What is judged is the validation split, image by image. Options after the file go to every experiment.
"""

import argparse
from pathlib import Path
from typing import Any

from pydantic import Field
from scipy.stats import false_discovery_control

from commands.compare import compare_runs
from commands.entry_point import exit_with
from commands.overrides import Search, flat, read_search
from commands.trials import Trial, add_options, run_trials, shared_parameters
from transfer.comparison.paired import SIGNIFICANT, Comparison
from transfer.runtime.parameters import read_mapping
from transfer.runtime.wording import number, percent


class Ablation(Search):
    """`ideas` are nested overrides by name, each laid over `base`."""

    ideas: dict[str, dict[str, Any]] = Field(min_length=1)


def verdict(comparison: Comparison, adjusted: float) -> str:
    """What an idea does, by its p-value among all ideas."""
    if adjusted >= SIGNIFICANT:
        return "no difference shown"
    return "helps" if comparison.accuracy.difference > 0 else "hurts"


def table(plain: str, compared: dict[str, Comparison], failed: dict[str, str]) -> str:
    """Ideas as Markdown, the largest gain first; p-values are adjusted for the number of ideas."""
    lines = [
        "| idea | validation accuracy | change in points | 95 % interval | p, adjusted | here |",
        "|---|---|---|---|---|---|",
    ]
    if compared:
        first = next(iter(compared.values()))
        lines.append(f"| *{plain}* | {percent(first.accuracy.before)} | | | | |")
        adjusted = false_discovery_control([each.p_value for each in compared.values()])
        rows = zip(compared.items(), adjusted, strict=True)
        for (idea, found), p_value in sorted(rows, key=lambda row: -row[0][1].accuracy.difference):
            change = found.accuracy
            ends = (change.difference, change.ci_low, change.ci_high)
            points, low, high = (number(100 * value, 1, "+") for value in ends)
            shown_p = "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
            lines.append(
                f"| {idea} | {percent(change.after)} | {points} | {low} to {high} | {shown_p} "
                f"| {verdict(found, float(p_value))} |"
            )
    lines += [f"| {idea} | failed: {line} | | | | |" for idea, line in failed.items()]
    return "\n".join(lines)


def slug(idea: str) -> str:
    """An idea's name as part of an experiment's, which is a git reference."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in idea.lower()).split())


def main(root: Path, path: Path, jobs: int, more: tuple[str, ...]) -> int:
    """Run what is not there yet and print the table; 1 if an experiment failed."""
    search = read_search(Ablation, path)
    names = {idea: f"{search.name}-{slug(idea)}" for idea in search.ideas}
    parameters = read_mapping(root / "params.yaml")
    plain = Trial(f"{search.name}-plain", search.values(parameters), (*more, search.stage))
    changed = {name: flat(parameters, search.ideas[idea]) for idea, name in names.items()}
    trials = [plain, *(Trial(name, plain.values | values, plain.more) for name, values in changed.items())]
    failed = run_trials(root, trials, jobs)
    if plain.name in failed:
        return 1
    compared = {idea: compare_runs(root, plain.name, name, "val") for idea, name in names.items() if name not in failed}
    print(f"\n{table('plain', compared, {idea: failed[name] for idea, name in names.items() if name in failed})}")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.ablate", description=__doc__)
    parser.add_argument("file", type=Path, help="YAML file of the search, such as experiments/ablation.yaml")
    add_options(parser)
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.file, arguments.jobs, shared_parameters(arguments)))
