"""What other stages measured, read from the files of an `--evidence` option."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer.report.evidence import Evidence, read_table
from transfer.runtime.errors import DataError


def read_evidence(paths: Sequence[Path], parameters: dict[str, Any]) -> Evidence:
    """Sort metrics (.json) and tables (.tsv) by their files' stems; pictures are left for later."""
    metrics: dict[str, Any] = {}
    tables: dict[str, list[dict[str, str]]] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8") if path.suffix in (".json", ".tsv") else ""
            if path.suffix == ".json":
                metrics[path.stem] = json.loads(text)
            elif path.suffix == ".tsv":
                tables[path.stem] = read_table(text)
            elif path.suffix != ".png":
                raise DataError(f"{path}: neither .json nor .tsv nor .png; take it off --evidence")
        except ValueError as error:
            raise DataError(f"{path}: not readable ({error}); run the stage that writes it again") from None
    if "evaluate" not in metrics:
        raise DataError("no evaluate.json among --evidence; without its verdict there is nothing to tell")
    return Evidence(metrics, tables, parameters)
