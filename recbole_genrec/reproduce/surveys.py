"""What a data set and its semantic IDs say before any recommender is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.quick_start import prepare_data
from recbole_genrec.report.figures import save_figure, subplots
from recbole_genrec.report.tables import Cell, Table
from recbole_genrec.reproduce.results import keep_table
from recbole_genrec.runs.record import write_json
from recbole_genrec.tokenizer.quality.report import token_purity_gains


def statistics(config: Any, folder: Path) -> str:
    """Tables 2 (token weighting) and 1 (UniGRec): sizes of the data set after filtering."""
    dataset = create_dataset(config)
    users, items = dataset.user_num - 1, dataset.item_num - 1
    count = dataset.inter_num
    rows = [
        Cell(config["dataset"], config["dataset"]),
        *(Cell(f"{number:,}", number) for number in (users, items, count)),
        Cell(f"{1 - count / (users * items):.2%}", 1 - count / (users * items)),
        Cell(f"{count / users:.2f}", count / users),
    ]
    headings = ["Dataset", "#User", "#Item", "#Interaction", "Sparsity", "AvgLen"]
    return keep_table(Table("Statistics", headings, [rows]), folder / "statistics")


def filtered(config: Any, folder: Path) -> str:
    """Table 1 (token weighting): share of the remaining items that each token rules out."""
    report = prepare_data(config)[0].dataset.items.reports[""]
    shares = [level["filtered"] for level in report["levels"]]
    cells = [Cell(config["dataset"], config["dataset"])]
    cells += [Cell(f"{share:.2%}", share) for share in shares]
    headings = ["Dataset", *(f"Layer-{level}" for level in range(1, len(shares) + 1))]
    return keep_table(Table("Items filtered out", headings, [cells]), folder / "filtered")


def purity(config: Any, folder: Path) -> str:
    """Figure 1 (token weighting): how much purer each token makes a prefix, on average."""
    train = prepare_data(config)[0].dataset
    codes = train.items.ids[""].codes[1:]
    counter = train.item_counter
    counts = torch.tensor([counter.get(item, 0) for item in range(1, len(codes) + 1)])
    levels = token_purity_gains(codes, counts)
    gains = torch.cat(levels).sort(descending=True).values
    figure, [[left, right]] = subplots(1, 2)
    left.plot(gains.tolist())
    left.set(
        xlabel="tokens, by gain",
        ylabel="average purity gain",
        ylim=(min(0.0, float(gains.min())), None),
    )
    right.boxplot([level.tolist() for level in levels])
    right.set(xlabel="level", ylabel="average purity gain")
    save_figure(figure, folder / "purity.png")
    write_json(folder / "purity.json", {"levels": [level.tolist() for level in levels]})
    half = (gains > gains.max() / 2).double().mean()
    return (
        f"{len(gains)} tokens have a mean purity gain of {gains.mean():.4f}; {half:.1%} of them "
        "have over half of the largest"
    )
