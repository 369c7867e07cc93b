"""Items that nothing was trained on: python -m benchmarks.cold_items --dataset=amazon-beauty

A share of the items is taken out of the data set, with all of their interactions and texts: models,
their softmax, text encoder and tokenizer are trained on the rest. Then these items are added to the
models as `recommend --new_items` adds them, and the last item of each user of the whole data set is
to be found after all items before it. Models that cannot take new items skip them in histories.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from benchmarks import workload
from recbole_genrec import Recommender
from recbole_genrec.config import Config
from recbole_genrec.config.layers import model_files
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.inference.scoring import ScoringModel
from recbole_genrec.items.embedding_file import EmbeddingFile
from recbole_genrec.items.texts import read_items
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.checkpoint_items import LAST

TOP_K = 10
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "SemanticSASRec": ("SemanticSASRec", {}),
    "codes alone": ("SemanticSASRec", {"neighbor_steps": 0, "item_vectors": ["own", "codes"]}),
    "projected text": ("SemanticSASRec", {"neighbor_steps": 0, "item_vectors": ["own", "text"]}),
    "SASRecOnePass": ("SASRecOnePass", {}),
    "TIGER": ("TIGER", {}),
}
SMALL = {"TIGER": "properties/recipe/beauty_tiger.yaml"}  # sizes for a CPU


class ColdSplit(NamedTuple):
    """Test cases in raw item tokens, and the items that training must not know.

    Attributes:
        histories: of each case, oldest item first.
        targets: the item that comes next.
        cold: the items held out.
    """

    histories: list[list[str]]
    targets: list[str]
    cold: list[str]


def split(config: Config, share: float) -> ColdSplit:
    """Leave the last item of each user for the test, and hold a random share of the items out."""
    test = create_dataset(config).build()[2]
    tokens = np.asarray(test.item_tokens)
    cases = test.histories()
    bounds = zip(cases.start.tolist(), cases.end.tolist(), strict=True)
    histories = [tokens[cases.items[start:end]].tolist() for start, end in bounds]
    targets = tokens[test.inter_feat[test.iid_field]].tolist()
    cold = random.Random(config["seed"]).sample(sorted(tokens[1:]), round(share * len(tokens[1:])))
    return ColdSplit(histories, targets, cold)


def known_name(dataset: str) -> str:
    """What the rest of a data set is called: RecBole reads its bundled files for "ml-100k"."""
    return f"{dataset}-known"


class Catalogue:
    """Texts of items, or their given embeddings, by raw token."""

    def __init__(self, config: Config) -> None:
        self.config, self.file = config, config["item_embedding_file"]

    def texts(self, tokens: list[str]) -> list[str] | None:
        return None if self.file else read_items(self.config, ["[PAD]", *tokens]).texts[1:]

    def embeddings(self, tokens: list[str]) -> np.ndarray | None:
        if not self.file:
            return None
        file = EmbeddingFile(self.file, self.config["item_embedding_ids"], tokens)
        return file.rows(0, len(tokens))


def write_known(found: ColdSplit, config: Config, folder: Path) -> dict[str, Any]:
    """Write the data set without the items held out and the last items of all users.

    Returns:
        the settings of a run on it, which validates by the last item that is left of a user.
    """
    name, cold = known_name(config["dataset"]), set(found.cold)
    rows = [
        (user, item, time)
        for user, history in enumerate(found.histories)
        for time, item in enumerate(history)
        if item not in cold
    ]
    fields = [config[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD")]
    kinds = ("token", "token", "float")
    header = [f"{field}:{kind}" for field, kind in zip(fields, kinds, strict=True)]
    _write(folder / name / f"{name}.inter", header, rows)
    known = sorted({row[1] for row in rows})
    texts = Catalogue(config).texts(known)
    if texts is not None:
        header = [f"{config['ITEM_ID_FIELD']}:token", "text:token_seq"]
        _write(folder / name / f"{name}.item", header, zip(known, texts, strict=True))
    return {
        "data_path": str(folder),
        "results_dir": str(folder / "results"),
        "load_col": {"inter": fields},
        "eval_args": {"split": {"LS": "valid_only"}},
        **({} if texts is None else {"item_text_fields": ["text"]}),
    }


def _write(file: Path, header: Sequence[str], rows: Iterable[tuple]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def train(model: str, config: Config, files: list[str], settings: dict[str, Any]) -> Recommender:
    """Train on what `write_known` has written; `settings` name a `checkpoint_dir` of their own."""
    run_recbole_genrec(model, known_name(config["dataset"]), files, settings)
    saved = Path(settings["checkpoint_dir"]).glob("*.pth")
    return Recommender.from_checkpoint(next(file for file in saved if LAST not in file.stem))


def recalls(found: ColdSplit, recommender: Recommender, catalogue: Catalogue) -> list[float]:
    """Recall@10 of all cases; of those whose target is cold among all items, and among cold ones.

    A model that takes no new items never finds them.
    """
    takes_new = not isinstance(recommender.model, ScoringModel)
    if takes_new:
        texts, embeddings = catalogue.texts(found.cold), catalogue.embeddings(found.cold)
        recommender.add_items(found.cold, texts, embeddings)
    cold = set(found.cold)
    hits = _hits(recommender, found.histories, found.targets)
    cases = [n for n, target in enumerate(found.targets) if target in cold]
    histories = [found.histories[n] for n in cases]
    targets = [found.targets[n] for n in cases]
    alone = _hits(recommender, histories, targets, found.cold) if takes_new else [False]
    return [float(np.mean(each)) for each in (hits, [hits[n] for n in cases], alone)]


def _hits(
    recommender: Recommender,
    histories: list[list[str]],
    targets: list[str],
    allowed: list[str] | None = None,
) -> list[bool]:
    lists = recommender.recommend(histories, TOP_K, False, allowed, unknown_items="skip")
    return [
        target in [answer["item"] for answer in answers]
        for target, answers in zip(targets, lists, strict=True)
    ]


def files_for(model: str, config: Config) -> list[str]:
    """The files that size a model for a data set, which has another name in training."""
    name, path = config["dataset"], {"data_path": str(Path(config["data_path"]).parent)}
    model_class = Config(model, name, config_dict=path).model_class
    return [str(file) for file in model_files(model_class, f"-{name}") if file.exists()]


def measure(
    dataset: str,
    files: list[str],
    settings: dict[str, Any],
    share: float,
    rows: Sequence[str],
    folder: Path,
) -> list[list[str]]:
    """A line of the table for each of the `ROWS`; runs in `folder` that were stopped go on."""
    config = Config("SASRec", dataset, files, settings)
    found = split(config, share)
    known = {**settings, **write_known(found, config, folder), "resume": "auto"}
    lines = []
    for row in rows:
        model, own = ROWS[row]
        own = {**known, **own, "checkpoint_dir": str(folder / row.replace(" ", "-"))}
        sized = [*([SMALL[model]] if model in SMALL else []), *files_for(model, config), *files]
        figures = recalls(found, train(model, config, sized, own), Catalogue(config))
        lines.append([row, *(f"{figure:.4f}" for figure in figures)])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="name, as of a run")
    parser.add_argument("--config_files", default="", help="YAML files, separated by spaces")
    parser.add_argument("--set", action="append", default=[], help="a setting, key=value in YAML")
    parser.add_argument("--share", type=float, default=0.05, help="of the items, held out")
    parser.add_argument("--rows", default=",".join(ROWS), help="with commas")
    parser.add_argument("--folder", type=Path, default="cold-items", help="for data and runs")
    options = parser.parse_args()
    pairs = (given.partition("=")[::2] for given in options.set)
    settings = {key: yaml.safe_load(value) for key, value in pairs}
    files = [str(Path(file).resolve()) for file in options.config_files.split()]
    rows, folder = options.rows.split(","), options.folder.resolve()
    if unknown := set(rows) - ROWS.keys():
        parser.error(f"--rows should be some of {list(ROWS)}, found {sorted(unknown)}")
    lines = measure(options.dataset, files, settings, options.share, rows, folder)
    print(workload.table(["model", "R@10", "R@10 of cold targets", "among cold items"], lines))


if __name__ == "__main__":
    main()
