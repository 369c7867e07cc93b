"""What a comparison says, in a sentence or two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_genrec.report.tables import p_text, percent_text, spread_text

OVER_USERS = {
    "better": "over users the difference is significant (p {p})",
    "worse": "over users the difference is significant (p {p})",
    "no difference shown": "over users the difference is not significant (p {p})",
    "not tested": "over users it could not be tested",
}
OVER_SEEDS = {
    "better": "over seeds it is significant (p {p})",
    "worse": "over seeds it is significant (p {p})",
    "no difference shown": "over seeds it is not significant (p {p})",
    "too few seeds": "there are too few seeds to say whether training again would give the same",
}


PROTOCOL_TEXTS = {
    "unmasked": "that is with the items of the history in the ranking",
    "masked": "that is without the items of the history",
}


def conclusion(comparison: Mapping[str, Any]) -> str:
    """Which model is best in the metric of the selection, by how much, and how sure that is."""
    key = comparison["selection_metric"]
    metric = next(metric for metric in comparison["metrics"] if metric["key"] == key)
    models = comparison["models"]
    choose = min if metric["smaller_is_better"] else max
    best = choose(models, key=lambda model: model["test"][key]["mean"])
    if not comparison["paired"]:
        return "Nothing can be concluded: the runs were tested on different users or targets."
    found = f"{best['name']} is best in {metric['name']}, {spread_text(best['test'][key])}"
    beside = _beside(comparison, metric)
    if len(models) == 1:
        return f"{best['name']} alone: {metric['name']} {spread_text(best['test'][key])}.{beside}"
    rivals = {test["model"]: test for test in comparison["tests"] if test["metric"] == key}
    if best["name"] == comparison["reference"]:
        second = choose(
            (model for model in models if model is not best), key=lambda m: m["test"][key]["mean"]
        )
        test = rivals[second["name"]]
        gap = f"the next is {second['name']}, {percent_text(test['gain'])}"
    else:
        test = rivals[best["name"]]
        gap = f"{percent_text(test['gain'])} over {comparison['reference']}"
    users = OVER_USERS[test["users_verdict"]].format(p=p_text(test["permutation_holm"]))
    seeds = OVER_SEEDS[test["seeds_verdict"]].format(p=p_text(test["seeds_holm"]))
    return f"{found}; {gap}. {users[0].upper()}{users[1:]}; {seeds}.{beside}"


def _beside(comparison: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """Which model is best in the other protocol, of those that know it."""
    other, key = comparison["other"], metric["key"]
    if not other:
        return ""
    choose = min if metric["smaller_is_better"] else max
    figures = {name: model["test"][key] for name, model in other["models"].items()}
    best = choose(figures, key=lambda name: figures[name]["mean"])
    return f" {other['protocol'].capitalize()}, {best} is best: {spread_text(figures[best])}."


def circumstances(comparison: Mapping[str, Any]) -> list[str]:
    """What the figures are of: models, test cases, seeds, selection, reference, hardware."""
    models = comparison["models"]
    names = {metric["key"]: metric["name"] for metric in comparison["metrics"]}
    selections = sorted({names.get(m["valid_metric"], m["valid_metric"]) for m in models})
    cases = " or ".join(f"{number:,}" for number in comparison["test_cases"])
    seeds = sorted({seed for model in models for seed in model["seeds"]})
    return [
        f"{len(models)} model{'s' * (len(models) > 1)}",
        *([f"{cases} test cases"] if cases else []),
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}",
        f"epochs chosen by validation {' or '.join(selections)}",
        f"{comparison['protocol']}, " + PROTOCOL_TEXTS[comparison["protocol"]],
        f"reference {comparison['reference']}",
        *sorted({model["device"] for model in models}),
    ]
