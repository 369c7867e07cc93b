"""The account of rows that were left out: how many, why, and where the first of them stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from recbole_genrec.errors import InputError

EXAMPLES = 5
MALFORMED = "malformed line"
UNREADABLE_TIME = "missing or unreadable time"
UNREADABLE_RATING = "unreadable rating"
UNREADABLE = (MALFORMED, UNREADABLE_TIME, UNREADABLE_RATING)


@dataclass
class Drops:
    """Rows read from one file, and those left out by reason.

    Attributes:
        path: the raw file.
        unit: "line", or "row" where the file has no lines.
        rows: rows read so far, malformed ones included.
        counts: reason -> number of rows left out.
        examples: reason -> line numbers of the first few.
    """

    path: Path
    unit: str = "line"
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[int]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Number of rows so far that are not left out."""
        return self.rows - sum(self.counts.values())

    def add(self, reason: str, lines: Iterable[int]) -> None:
        """Count rows as left out for `reason`."""
        lines = list(lines)
        if lines:
            examples = self.examples.setdefault(reason, [])
            examples.extend(islice(map(int, lines), EXAMPLES - len(examples)))
            self.counts[reason] = self.counts.get(reason, 0) + len(lines)

    def check_readable(self, most: float) -> None:
        """Refuse a file of whose rows more than the share `most` cannot be read."""
        unreadable = sum(self.counts.get(reason, 0) for reason in UNREADABLE)
        if unreadable > most * self.rows:
            reasons = [self.describe(reason) for reason in UNREADABLE if reason in self.counts]
            if max(UNREADABLE, key=lambda reason: self.counts.get(reason, 0)) == UNREADABLE_TIME:
                reasons.append(
                    "times are numbers or dates such as 2024-03-01 17:30:00, of one kind in a "
                    "file; --time_format names other forms"
                )
            raise InputError(
                f"{self.path}: {unreadable:,} of the first {self.rows:,} {self.unit}s cannot be "
                f"read, more than the {most:.0%} of --max_unreadable: {'; '.join(reasons)}"
            )

    def __str__(self) -> str:
        text = f"{self.path}: kept {self.kept:,} of {self.rows:,} {self.unit}s"
        for reason in sorted(self.counts, key=lambda reason: (-self.counts[reason], reason)):
            text += f"\n  left out {self.describe(reason)}"
        return text

    def describe(self, reason: str) -> str:
        """E.g. `3 x malformed line (lines 7, 12, 40)`."""
        count, lines = self.counts[reason], self.examples[reason]
        more = ", ..." if count > len(lines) else ""
        plural = "s" if count > 1 else ""
        return f"{count:,} x {reason} ({self.unit}{plural} {', '.join(map(str, lines))}{more})"
