"""Which runs the tables and figures of the papers are made of, and who draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recbole_genrec.reproduce import figures, surveys, tables
from recbole_genrec.reproduce.results import Results


class Row(NamedTuple):
    """One model of a table or figure.

    Attributes:
        name: as the paper calls it.
        recipe: name of its file in properties/recipe.
        settings: what tells it from other rows of the recipe.
        sized_as: models whose files for the data set, if there are any, override the recipe.
    """

    name: str
    recipe: str
    settings: Mapping[str, Any] | None = None
    sized_as: tuple[str, ...] = ()


class Experiment(NamedTuple):
    """A table or figure of trained models.

    Attributes:
        title: what it shows.
        rows: its models; the first is what the others are measured against.
        draw: writes what goes beyond the comparison of the metrics.
    """

    title: str
    rows: tuple[Row, ...]
    draw: Callable[[Results], None] | None = None


class Survey(NamedTuple):
    """A table or figure of a data set and its semantic IDs, without any training of a recommender.

    Attributes:
        title: what it shows.
        recipe: name of the file in properties/recipe that decides the semantic IDs.
        draw: writes it, from the configuration into a folder, and returns what to print.
    """

    title: str
    recipe: str
    draw: Callable[[Any, Path], str]


TW = "token_weighting_"
TIGER = Row("TIGER", f"{TW}tiger")
FRONT_GREATER = Row("TIGER + FrontGreater", f"{TW}front_greater")
OURS = Row("TIGER + Ours", f"{TW}ours")
CURRICULUM_RATES = ("1e-5", "2e-5", "3e-5", "4e-5", "5e-5")
UNIFORMITY_WEIGHTS = ("0", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1")
UNIGREC = Row("UniGRec", "unigrec_m6")
UNIGREC_M0 = Row("M0", "unigrec_m0", sized_as=("TIGER", "UniGRec"))

EXPERIMENTS: dict[str, Experiment | Survey] = {
    "token_weighting_table_1": Survey(
        "Items that each further token rules out", f"{TW}tiger", surveys.filtered
    ),
    "token_weighting_table_2": Survey("The data set", f"{TW}tiger", surveys.statistics),
    "token_weighting_table_3": Experiment(
        "All models",
        (
            TIGER,
            Row("GRU4Rec", f"{TW}gru4rec"),
            Row("SASRec", f"{TW}sasrec"),
            *(
                Row(f"TIGER + {name}", f"{TW}{name.lower()}")
                for name in ("Rank", "Pos", "CFT", "IGD")
            ),
            OURS,
        ),
    ),
    "token_weighting_table_4": Experiment(
        "Ablation",
        (
            TIGER,
            FRONT_GREATER,
            Row("TIGER + Frequency", f"{TW}frequency"),
            Row("TIGER + Multi-Target", f"{TW}multi_target"),
            Row("TIGER + Curriculum", f"{TW}ours"),
        ),
    ),
    "token_weighting_table_5": Experiment(
        "Semantic IDs of product quantization",
        (Row("TIGER, PQ", f"{TW}tiger_pq"), Row("TIGER + Ours, PQ", f"{TW}ours_pq")),
    ),
    "token_weighting_table_6": Experiment(
        "Relaxed hits: the first tokens of the target",
        (TIGER, FRONT_GREATER, OURS),
        tables.relaxed_hits,
    ),
    "token_weighting_table_7": Experiment(
        "Recommendations side by side", (TIGER, OURS), tables.side_by_side
    ),
    "token_weighting_figure_1": Survey("Purity gain per token", f"{TW}tiger", surveys.purity),
    "token_weighting_figure_2": Experiment(
        "Popularity of what is recommended", (TIGER,), figures.popularity
    ),
    "token_weighting_figure_3": Experiment(
        "Head and tail",
        (TIGER, Row("Frequency only", f"{TW}frequency_only"), OURS),
        figures.head_and_tail,
    ),
    "token_weighting_figure_4": Experiment(
        "Rate c of the curriculum",
        tuple(
            Row(f"c = {rate}", f"{TW}ours", {"curriculum_rate": float(rate)})
            for rate in CURRICULUM_RATES
        ),
        figures.curriculum_rates,
    ),
    "token_weighting_figure_5": Experiment(
        "Weights of the objectives over the steps", (OURS,), figures.objective_weights
    ),
    "unigrec_table_1": Survey("The data set", "unigrec_m6", surveys.statistics),
    "unigrec_table_2": Experiment(
        "All models",
        (
            UNIGREC,
            *(
                Row(name, f"unigrec_{name.lower()}")
                for name in (
                    *("Caser", "GRU4Rec", "SASRec", "BERT4Rec", "HGN"),
                    *("TIGER", "LETTER", "EAGER", "OneRec"),
                )
            ),
            Row("ETEG-Rec", "unigrec_etegrec"),
            Row("DiscRec-T", "unigrec_discrec"),
        ),
    ),
    "unigrec_table_3": Experiment(
        "Ablation",
        (UNIGREC_M0, *(Row(f"M{number}", f"unigrec_m{number}") for number in range(1, 7))),
    ),
    "unigrec_figure_3": Experiment(
        "Collisions under schedules of the temperature",
        (
            Row("Annealed", "unigrec_temperature_annealed"),
            Row("Fixed-High", "unigrec_temperature_high"),
            Row("Fixed-Low", "unigrec_temperature_low"),
        ),
        figures.collisions,
    ),
    "unigrec_figure_4": Experiment(
        "Weight of the codeword uniformity",
        tuple(Row(weight, f"unigrec_uniformity_{weight}") for weight in UNIFORMITY_WEIGHTS),
        figures.uniformity,
    ),
    "unigrec_figure_5": Experiment(
        "Codebooks", (UNIGREC, UNIGREC_M0._replace(name="TIGER")), figures.codebooks
    ),
    "unigrec_figure_6": Experiment(
        "Identifiers before and after joint training", (UNIGREC,), figures.identifiers
    ),
}
