"""What the tables and figures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_genrec.files import replacing
from recbole_genrec.report.tables import Table, render, to_csv
from recbole_genrec.runs.record import write_json


@dataclass(frozen=True)
class Results:
    """The finished runs of an experiment.

    Attributes:
        name: of the table or figure.
        comparison: of the runs, see `compare.compare`; its models have the names of the rows.
        checkpoints: row -> the best checkpoint of each seed.
        folder: where to write.
    """

    name: str
    comparison: dict[str, Any]
    checkpoints: dict[str, list[Path]]
    folder: Path

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The models of the comparison by name."""
        return {model["name"]: model for model in self.comparison["models"]}

    @property
    def picture(self) -> Path:
        """Where a figure goes."""
        return self.folder / f"{self.name}.png"

    def show(self, table: Table) -> None:
        """Print a table and keep it."""
        print(f"\n{keep_table(table, self.folder / self.name)}")

    def keep(self, numbers: Any) -> None:
        """Keep the numbers behind a figure."""
        write_json(self.folder / f"{self.name}.json", numbers)


def keep_table(table: Table, path: Path) -> str:
    """Write a table as Markdown and CSV beside one another; returns it for the terminal."""
    for suffix, text in ((".md", render(table, "markdown") + "\n"), (".csv", to_csv(table))):
        with replacing(path.with_name(path.name + suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return render(table, "text")
