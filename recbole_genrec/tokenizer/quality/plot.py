"""A quality report as one picture (needs matplotlib)."""

import math
import os

from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing
from recbole_genrec.tokenizer.quality.format import known_columns


def plot_report(report: dict, path: str | os.PathLike) -> None:
    """Writes a PNG with one panel per known figure of the levels; `path` should end in .png."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plotting needs matplotlib: pip install matplotlib") from error
    levels = report["levels"]
    numbers = list(range(1, len(levels) + 1))
    panels = [(key, heading) for key, heading, _ in known_columns(report)[2:]]  # codes used: one
    figure = Figure(figsize=(11, 3 * math.ceil((len(panels) + 1) / 3)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(math.ceil((len(panels) + 1) / 3), 3, squeeze=False).flatten()
    usage, others = grid[0], grid[1 : len(panels) + 1]
    usage.bar(numbers, [level["codes"] for level in levels], color="lightgrey", label="codes")
    usage.bar(numbers, [level["used"] for level in levels], color="tab:blue", label="used")
    usage.set(title="Codes used", xlabel="level", xticks=numbers)
    usage.legend(loc="lower right")
    for axes, (key, heading) in zip(others, panels, strict=True):
        axes.bar(numbers, [level[key] or 0.0 for level in levels], color="tab:blue")
        axes.set(title=heading.capitalize(), xlabel="level", xticks=numbers)
        if key == "cosine":
            axes.axhline(report["random_cosine"], color="grey", linestyle="--", label="any two")
            axes.legend(loc="lower right")
    for axes in grid[len(panels) + 1 :]:
        axes.set_axis_off()
    figure.suptitle(
        f"{report['num_items']:,} items, {report['distinct_ids']:,} distinct IDs "
        "before collision handling"
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
