"""The model card: what an exported model is, how it is used, and how good it is on which data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.protocols import chosen_protocol
from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender
from recbole_genrec.runs.fingerprint import FILE_KEYS, decisive
from recbole_genrec.runs.record import RESULT, load_result, results_root

TEMPLATE = "card.md"


def model_card(trained: Mapping[str, Any], model: SemanticIDRecommender, folder: Path) -> str:
    """The text of the card.

    Args:
        trained: the checkpoint.
        model: the model in it.
        folder: the exported files.
    """
    settings = trained["config"]
    environment = Environment(
        loader=PackageLoader("recbole_genrec.export", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(
        version=trained["version"],
        settings=settings,
        protocol=chosen_protocol(settings["repeatable"]),
        epoch=trained["epoch"],
        num_items=model.n_items - 1,
        parameters=sum(weight.numel() for weight in model.parameters()),
        sizes={name: table.sizes for name, table in model.tables().items()},
        files={file.name for file in folder.iterdir()},
        data_files=trained["data_files"],
        valid=trained["valid_results"].get(trained["epoch"], {}),
        test=_test_result(trained),
        settings_text=_settings_text(settings),
    )


def _test_result(trained: Mapping[str, Any]) -> dict[str, float]:
    """The test of these weights, from the record of their run; empty where there is none."""
    settings, epoch = trained["config"], trained["epoch"]
    name = f"{settings['model']}-{settings['dataset']}-{settings['seed']}-*"
    expected = decisive(settings), epoch, trained["valid_results"].get(epoch)
    for record in sorted(results_root(settings).glob(f"{name}/{RESULT}")):
        try:
            run = load_result(record.parent)
        except InputError:  # nobody's
            continue
        found = decisive(run["config"]), run.get("best_epoch"), run.get("valid_result")
        if found == expected and run.get("test_result"):
            return run["test_result"]
    return {}


def _settings_text(settings: Mapping[str, Any]) -> str:
    """All settings that decide on the result, as YAML; files by their names alone."""
    shown = {
        key: Path(value).name if isinstance(value, str) and key.endswith(FILE_KEYS) else value
        for key, value in decisive(settings).items()
        if value is not None
    }
    return yaml.safe_dump(shown, default_flow_style=None, sort_keys=False, allow_unicode=True)
