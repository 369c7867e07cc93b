"""The figures and tables of the page beyond the results: how models learnt, where, what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from recbole_genrec.evaluator.diagnosis import DECILES
from recbole_genrec.report import charts
from recbole_genrec.report.charts import Series, Style
from recbole_genrec.report.codebooks import set_title
from recbole_genrec.report.tables import Cell, Table, seen_table


@dataclass
class Figure:
    """A chart with what is to be read beside it; `legend` holds (name, mark)."""

    title: str
    text: str
    svg: Markup
    legend: list[tuple[str, Markup]]


@dataclass
class Section:
    """A part of the page with figures and tables."""

    id: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    hint: str = ""


def learning_curves(comparison: Mapping[str, Any], styles: Mapping[str, Style]) -> Section:
    """Losses and validation metric of every run, epoch by epoch."""
    selection, loss, valid = comparison["selection_metric"], [], []
    valid_loss: list[Series] = []
    for model in comparison["models"]:
        name = model["name"]
        for curve in model["learning_curves"]:
            epochs = curve["epochs"]
            label = f"{name}, seed {curve['seed']}"
            losses = [(e["epoch"], e["train_loss"]) for e in epochs if e["train_loss"] is not None]
            scores = [(e["epoch"], e["valid"][selection]) for e in epochs if _has(e, selection)]
            best = next((n for n, (e, _) in enumerate(scores) if e == curve["best_epoch"]), None)
            loss += [Series(label, _relative(losses), styles[name])] if len(losses) > 1 else []
            losses = [(e["epoch"], e["valid"]["loss"]) for e in epochs if _has(e, "loss")]
            valid_loss += [Series(label, losses, styles[name])] if len(losses) > 1 else []
            valid += [Series(label, scores, styles[name], best)] if scores else []
    figures = []
    if valid:
        name = _metric_name(comparison)
        text = "One line per seed; the large mark is the best epoch, which was tested."
        svg = charts.line_chart(valid, "epoch", f"validation {name}")
        figures.append(Figure(f"Validation {name}", text, Markup(svg), _legend(styles)))
    if loss:
        text = "Relative to the first epoch, because losses of models differ in kind."
        svg = charts.line_chart(loss, "epoch", "training loss / that of the first epoch")
        figures.append(Figure("Training loss", text, Markup(svg), _legend(styles)))
    if valid_loss:
        text = "Mean per code of models that predict semantic IDs, per item of others."
        svg = charts.line_chart(valid_loss, "epoch", "validation loss")
        figures.append(Figure("Validation loss", text, Markup(svg), _legend(styles)))
    return Section("curves", "Learning curves", figures)


def _has(epoch: Mapping[str, Any], metric: str) -> bool:
    return bool(epoch["valid"]) and epoch["valid"].get(metric) is not None


def _relative(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    first = points[0][1] if points else 0.0
    return [(x, y / first) for x, y in points] if first else list(points)


def where_good(comparison: Mapping[str, Any], styles: Mapping[str, Style]) -> Section:
    """For which users, items and prefixes the models are good."""
    analyses = {m["name"]: m["analysis"] for m in comparison["models"] if m["analysis"]}
    metric = _rank_metric(comparison)
    if not analyses or metric is None:
        return Section("where", "Where they are good")
    figures = [
        *_head_and_tail(analyses, *metric, styles),
        *_by_history_length(analyses, *metric, styles),
        *_by_target(analyses, *metric, styles),
        *_by_prefix(analyses, *metric, styles),
    ]
    return Section("where", "Where they are good", figures)


def _head_and_tail(
    analyses: Mapping[str, Mapping[str, Any]], key: str, name: str, styles: Mapping[str, Style]
) -> list[Figure]:
    """The metric by the half of the target; `key` and `name` are those of the metric."""
    halves = {model: a["head_tail"] for model, a in analyses.items() if a["head_tail"]}
    if not halves:
        return []
    bars = [
        (model, [half["head"][key], half["tail"][key]], styles[model])
        for model, half in halves.items()
    ]
    text = "Targets ranked by their interactions in training; the upper half is the head."
    svg = charts.bar_chart(["head", "tail"], bars, "half of the targets", name)
    legend = _legend({model: styles[model] for model in halves})
    return [Figure("Head and tail", text, Markup(svg), legend)]


def _by_history_length(
    analyses: Mapping[str, Mapping[str, Any]], key: str, name: str, styles: Mapping[str, Style]
) -> list[Figure]:
    """The metric by the interactions of the user, if all models have the same groups of users."""
    lengths = {model: a["history_length"] for model, a in analyses.items() if a["history_length"]}
    if len({len(groups) for groups in lengths.values()}) != 1:
        return []
    names = [f"{g['from']:.0f}–{g['to']:.0f}" for g in next(iter(lengths.values()))]
    series = [
        Series(model, [(n, g[key]) for n, g in enumerate(groups)], styles[model])
        for model, groups in lengths.items()
    ]
    text = "Users in quarters by the number of their interactions in training."
    svg = charts.line_chart(series, "interactions of the user", name, names)
    legend = _legend({model: styles[model] for model in lengths})
    return [Figure("Short and long histories", text, Markup(svg), legend)]


def _by_prefix(
    analyses: Mapping[str, Mapping[str, Any]], key: str, name: str, styles: Mapping[str, Style]
) -> list[Figure]:
    """The metric where only the first codes must agree, a line for each set of semantic IDs."""
    prefixes = {
        set_title(model, set_name): (prefix, charts.variant(styles[model], number))
        for model, a in analyses.items()
        for number, (set_name, prefix) in enumerate(a["prefix"].items())
    }
    if not prefixes:
        return []
    longest = max(len(prefix) for prefix, _ in prefixes.values())
    series = [
        Series(title, [(n, v[key]) for n, v in enumerate(prefix.values())], style)
        for title, (prefix, style) in prefixes.items()
    ]
    text = "An item counts as a hit when its first codes are those of the target."
    names = [str(n) for n in range(1, longest + 1)]
    svg = charts.line_chart(series, "codes that must agree", name, names)
    legend = _legend({title: style for title, (_, style) in prefixes.items()})
    return [Figure("Relaxed hits by prefix", text, Markup(svg), legend)]


def _by_target(
    analyses: Mapping[str, Mapping[str, Any]], key: str, name: str, styles: Mapping[str, Style]
) -> list[Figure]:
    """The metric by popularity of the target, and for transitions seen in training and new ones."""
    figures = []
    deciles = {model: a["by_popularity"] for model, a in analyses.items() if a["by_popularity"]}
    if deciles:
        series = []
        for model, groups in deciles.items():
            points = [(float(n), g[key]) for n, g in enumerate(groups) if g[key] is not None]
            series.append(Series(model, points, styles[model]))
        text = "By the decile of the target; 1 holds the rarest tenth of the catalogue."
        numbers = [str(n) for n in range(1, DECILES + 1)]
        svg = charts.line_chart(series, "popularity decile of the target", name, numbers)
        legend = _legend({model: styles[model] for model in deciles})
        figures.append(Figure("Rare and popular targets", text, Markup(svg), legend))
    known = {model: a["by_transition"] for model, a in analyses.items() if a["by_transition"]}
    if known:
        bars = [
            (model, [groups[kind][key] or 0.0 for kind in ("seen", "new")], styles[model])
            for model, groups in known.items()
        ]
        users = [next(iter(known.values()))[kind]["users"] for kind in ("seen", "new")]
        text = (
            "Whether the target follows the last item of the history in training too: "
            f"{users[0]:,.0f} test cases, and {users[1]:,.0f} that are new."
        )
        svg = charts.bar_chart(["seen", "new"], bars, "transition to the target", name)
        legend = _legend({model: styles[model] for model in known})
        figures.append(Figure("Known transitions", text, Markup(svg), legend))
    return figures


def _rank_metric(comparison: Mapping[str, Any]) -> tuple[str, str] | None:
    """Key and name of the metric of the analyses: that of the selection, if they have it."""
    known = [m for m in comparison["metrics"] if m["key"].partition("@")[0] in ("ndcg", "recall")]
    chosen = [m for m in known if m["key"] == comparison["selection_metric"]] or known[-1:]
    return (chosen[0]["key"], chosen[0]["name"]) if chosen else None


def what_recommended(comparison: Mapping[str, Any], styles: Mapping[str, Style]) -> Section:
    """What the models recommend, right or wrong."""
    analyses = {m["name"]: m["analysis"] for m in comparison["models"] if m["analysis"]}
    section = Section("lists", "What they recommend")
    shares = {model: a["popularity"] for model, a in analyses.items() if a["popularity"]}
    if shares:
        truth = next(iter(shares.values()))["targets"]
        lines = {"targets (truth)": (truth, charts.TRUTH)} | {
            model: (share["recommended"], styles[model]) for model, share in shares.items()
        }
        series = [Series(n, list(enumerate(values)), style) for n, (values, style) in lines.items()]
        deciles = [str(number) for number in range(1, len(truth) + 1)]
        text = "Share of the items of each decile; 1 holds the rarest tenth of the catalogue."
        svg = charts.line_chart(series, "popularity decile of the item", "share", deciles)
        legend = _legend({n: style for n, (_, style) in lines.items()})
        section.figures.append(
            Figure("Popularity of what is recommended", text, Markup(svg), legend)
        )
    if analyses:
        figures = {model: a["beyond_accuracy"] for model, a in analyses.items()}
        rows = [
            [
                Cell(model, model),
                Cell(f"{f['coverage']:.1%}", f["coverage"]),
                Cell(f"{f['gini']:.3f}", f["gini"]),
                Cell(f"{f['novelty']:.2f}", f["novelty"]),
                Cell(f"{f['filled']:.1%}", f["filled"]),
            ]
            for model, f in figures.items()
        ]
        headings = ["Model", "Coverage", "Gini index", "Novelty, bits", "Slots filled"]
        section.tables.append(Table("Beyond accuracy", headings, rows))
    seen = seen_table(comparison)
    if seen is not None:
        section.tables.append(seen)
    if comparison["overlap"]:
        section.tables.append(_overlap_table(comparison["overlap"]))
    section.hint = (
        "Coverage: share of the catalogue in any list. Gini: 0 if all items are recommended alike, "
        "1 if always the same one. Novelty: mean of −log2 of an item's share of the training "
        "interactions. Overlap is that of the first seeds."
    )
    return section


def _overlap_table(overlap: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            Cell(f"{pair['first']} and {pair['second']}", f"{pair['first']} {pair['second']}"),
            *(
                Cell(f"{pair[key]:.1%}", pair[key])
                for key in ("shared", "hits_both", "hits_first", "hits_second")
            ),
        ]
        for pair in overlap
    ]
    headings = ["Pair", "Shared items", "Both hit", "Only first hits", "Only second hits"]
    return Table(f"Overlap of the top {overlap[0]['k']}", headings, rows)


def _metric_name(comparison: Mapping[str, Any]) -> str:
    key = comparison["selection_metric"]
    return next(metric["name"] for metric in comparison["metrics"] if metric["key"] == key)


def _legend(styles: Mapping[str, Style]) -> list[tuple[str, Markup]]:
    return [(name, Markup(charts.legend_mark(style))) for name, style in styles.items()]
