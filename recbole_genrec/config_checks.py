"""What can be known to be wrong with a configuration before any data are read."""

from collections.abc import Mapping
from functools import cache
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole.evaluator import metric_types
from recbole.utils import EvaluatorType, argument_list

from recbole_genrec.errors import InputError
from recbole_genrec.registry import nearest
from recbole_genrec.yaml_files import RECBOLE_PROPERTIES, read_yaml

LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam")

# Those of transformers.get_scheduler that need nothing but the numbers of steps.
LR_SCHEDULERS = (
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_with_restarts",
    "inverse_sqrt",
    "linear",
    "polynomial",
)

# Keys that RecBole reads but that none of its property files mentions.
RECBOLE_EXTRA_KEYS = {
    *(
        "model",
        "dataset",
        "config_files",
        "verbose",
        "encoding",
        "tail_ratio",
        "token_num_threshold",
    ),
    "local_rank",
    *(
        "choice",
        "cin",
        "contrast",
        "eta",
        "feature_num",
        "has_residual",
        "norm",
        "sim",
        "use_filter",
    ),
    "xgb_early_stopping_rounds",
}


def check_keys(given: Mapping[str, Any], properties: Path) -> None:
    """Refuse keys that nobody reads; with `strict_config: False` warn of them."""
    known = known_keys(properties)
    unknown = [key for key in given if key not in known]
    if not unknown:
        return
    message = "; ".join(f"unknown key [{key}]{nearest(key, known)}" for key in unknown)
    if given.get("strict_config", True):
        raise InputError(f"{message} (strict_config: False lets unknown keys pass)")
    getLogger().warning(message)


@cache
def known_keys(properties: Path) -> frozenset[str]:
    """The keys of all property files, RecBole's and ours, and of RecBole's argument lists."""
    files = [*RECBOLE_PROPERTIES.rglob("*.yaml"), *properties.rglob("*.yaml")]
    keys = {key for file in files if "url" not in file.stem for key in read_yaml(file)}
    lists = [value for name, value in vars(argument_list).items() if name.endswith("_arguments")]
    return frozenset(keys.union(RECBOLE_EXTRA_KEYS, *lists))


def check_metrics(settings: Mapping[str, Any]) -> None:
    """Metrics, list lengths and the selecting metric, whose faults RecBole meets after an epoch."""
    metrics, topk = settings["metrics"], settings["topk"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    topk = topk if isinstance(topk, list) else [topk]
    for metric in metrics:
        if str(metric).lower() not in metric_types:
            raise InputError(f"there is no metric named [{metric}]{nearest(metric, metric_types)}")
    if not topk or not all(_is_count(k) for k in topk):
        raise InputError(f"topk should be a positive integer or a list of them, found [{topk}]")
    if len({metric_types[metric.lower()] for metric in metrics}) > 1:
        raise InputError(f"metrics: ranking and value metrics cannot be mixed, found {metrics}")
    computed = []
    for metric in metrics:
        whole = metric_types[metric.lower()] == EvaluatorType.VALUE or metric.lower() == "gauc"
        computed += [metric] if whole else [f"{metric}@{k}" for k in topk]
    if settings["valid_metric"].lower() not in [name.lower() for name in computed]:
        raise InputError(
            f"valid_metric [{settings['valid_metric']}] should be one of those computed: "
            f"{', '.join(computed)} (metrics, topk)"
        )


def check_values(config: Any) -> None:
    """Lengths, sizes and names that would fail only after the data or the tokenizer stage."""
    metrics = [metric.lower() for metric in config["metrics"]]
    modes = config["eval_args"]["mode"].values()
    if hasattr(config.model_class, "recommend") and "full" in modes and "gauc" in metrics:
        raise InputError(
            f"metrics: GAUC needs the rank of every item, and {config['model']} gives a list of "
            "the likeliest; leave it out, or evaluate with mode uni100"
        )
    longest = max(config["topk"])
    for key in ("MAX_ITEM_LIST_LENGTH", "beam_size"):
        if config[key] is not None and not _is_count(config[key]):
            raise InputError(f"{key} should be an integer >= 1, found [{config[key]}]")
    if config["beam_size"] is not None and config["beam_size"] < longest:
        raise InputError(
            f"beam_size [{config['beam_size']}] should be at least max(topk) [{longest}]: "
            "items outside the beam cannot be ranked"
        )
    sizes = config["codebook_sizes"]
    if sizes is not None and not (
        isinstance(sizes, list) and sizes and all(_is_count(size) for size in sizes)
    ):
        raise InputError(
            f"codebook_sizes should be a list of positive integers, one per level, found [{sizes}]"
        )
    steps = config["gradient_accumulation_steps"]
    if steps is not None and not _is_count(steps):
        raise InputError(f"gradient_accumulation_steps should be an integer >= 1, found [{steps}]")
    _check_name("learner", str(config["learner"]).lower(), LEARNERS)
    if config["lr_scheduler"] is not None:
        _check_name("lr_scheduler", config["lr_scheduler"], LR_SCHEDULERS)
    warmup = config["warmup_ratio"] or 0.0
    if isinstance(warmup, bool) or not isinstance(warmup, (int, float)) or not 0 <= warmup <= 1:
        raise InputError(f"warmup_ratio should be between 0 and 1, found [{warmup}]")


def check_processes(settings: Mapping[str, Any]) -> None:
    """The number of processes, and the places of those of this machine among them."""
    for key, least in (("nproc", 1), ("offset", 0)):
        value = settings[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{key} should be an integer >= {least}, found [{value}]")
    world_size = settings.get("world_size") or 0
    if not isinstance(world_size, int):
        raise InputError(f"world_size should be an integer, found [{world_size}]")
    last = settings["offset"] + settings["nproc"]
    if last > max(world_size, settings["nproc"]):
        raise InputError(
            f"world_size [{settings['world_size']}], the processes of all machines, should be at "
            f"least offset + nproc [{last}]"
        )


def check_dataset(config: Any) -> None:
    """The data set must lie in its folder or be one that RecBole can download."""
    folder = Path(config["data_path"])
    if folder.is_dir():
        return
    downloads = downloadable_datasets()
    if config["dataset"] not in downloads:
        present = {path.name for path in folder.parent.glob("*") if path.is_dir()}
        raise InputError(
            f"no data set [{config['dataset']}]: there is no folder {folder} and RecBole has no "
            f"download of this name{nearest(config['dataset'], downloads | present)}"
        )


@cache
def downloadable_datasets() -> frozenset[str]:
    """Names of the data sets that RecBole downloads."""
    return frozenset(read_yaml(RECBOLE_PROPERTIES / "dataset" / "url.yaml"))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_name(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"{key} [{value}] should be one of {', '.join(known)}{nearest(str(value), known)}"
        )
