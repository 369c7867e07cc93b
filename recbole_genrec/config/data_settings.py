"""What can be known to be wrong with the settings of a data set before its files are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recbole.config import Config

from recbole_genrec.config.layers import model_files
from recbole_genrec.config.yaml_files import read_properties
from recbole_genrec.errors import InputError, refuse


def check_data_settings(config: Config) -> None:
    """The forms of settings that RecBole takes as they are, and would fail on or misread.

    Raises:
        InputError: naming the key, what was found and what was expected.
    """
    load_col = config["load_col"]
    if load_col is not None and not (isinstance(load_col, dict) and load_col.get("inter")):
        raise InputError(f"load_col should be a dict with columns of inter, found [{load_col}]")
    for key in ("load_col", "unload_col", "unused_col"):
        for source, columns in (config[key] or {}).items():
            if not isinstance(columns, (list, tuple)) and not (
                key == "load_col" and columns == "*"
            ):
                raise InputError(f"{key} {source} should be a list of columns, found [{columns}]")
    parts = config["benchmark_filename"]
    if parts is not None and not (isinstance(parts, (list, tuple)) and parts):
        refuse("benchmark_filename", "a list of the parts, such as [train, valid, test]", parts)
    if not config["field_separator"]:
        raise InputError("field_separator should be text such as a tab, found []")
    if config["rm_dup_inter"] not in (None, "first", "last"):
        raise InputError(f"rm_dup_inter should be first or last, found [{config['rm_dup_inter']}]")
    _check_threshold(config["threshold"])


def check_labels(config: Config, dataset: Any, model: Any) -> None:
    """Refuse a model or an evaluation that reads labels where there are none.

    Labels come with the data, by `threshold`, or with sampled negatives.

    Args:
        dataset: the training samples.

    Raises:
        InputError: naming the key and what would give labels.
    """
    label = config["LABEL_FIELD"]
    reads = {"LABEL", "LABEL_FIELD"} & vars(model).keys()
    labeled = "labeled" in config["eval_args"]["mode"].values()
    samples = config["train_neg_sample_args"]["distribution"] != "none"
    if label in dataset.inter_feat or not (labeled or (reads and not samples)):
        return
    reader = config["model"] if reads and not samples else "eval_args mode labeled"
    raise InputError(
        f"{reader} needs labels, and the data set [{config['dataset']}] has no column [{label}] "
        "(LABEL_FIELD): set threshold, such as {rating: 3}, load that column (load_col), or sample "
        "negatives (train_neg_sample_args)"
    )


def dataset_files(config: Config) -> list[Path]:
    """The files of the data set that a run may read and that are there, by its settings."""
    parts = config["benchmark_filename"]
    interactions = [f"{part}.inter" for part in parts] if parts else ["inter"]
    additional = config["additional_feat_suffix"] or []
    suffixes = [*interactions, "user", "item", "kg", "link", *additional]
    paths = [
        Path(config["data_path"]) / f"{config['dataset']}.{suffix}" for suffix in sorted(suffixes)
    ]
    return [path for path in paths if path.is_file()]


def replaced_history_length(config: Config) -> str | None:
    """What the log says where the length of histories of a data set replaces that of a model."""
    key = "MAX_ITEM_LIST_LENGTH"
    own = [read_properties(file).get(key) for file in model_files(config.model_class)]
    own = [length for length in own if length is not None][-1:]
    if not own or own == [config[key]] or key in config.external_config_dict:
        return None
    return (
        f"Histories hold {config[key]} items, as those of all models on {config['dataset']} do, in "
        f"place of the {own[0]} of {config['model']}: set {key} to change it"
    )


@contextmanager
def named_refusals() -> Iterator[None]:
    """What RecBole itself refuses comes out as an InputError, in RecBole's words."""
    try:
        yield
    except (NotImplementedError, ValueError) as error:
        if isinstance(error, InputError) or not _raised_by_recbole(error):
            raise
        raise InputError(f"RecBole refuses these data settings: {error}") from error


def _raised_by_recbole(error: Exception) -> bool:
    """Whether it is a check of RecBole's that fails, and no calculation of a library or of ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals["__name__"].startswith("recbole.")


def _check_threshold(threshold: dict[str, Any] | None) -> None:
    values = list((threshold or {}).values())
    numbers = all(isinstance(value, (int, float)) for value in values)
    if threshold is not None and (len(values) != 1 or not numbers):
        raise InputError(
            f"threshold should be one column with its least positive value, found [{threshold}]"
        )
