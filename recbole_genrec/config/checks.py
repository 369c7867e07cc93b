"""What can be known to be wrong with a configuration before any data are read."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from logging import getLogger
from math import inf, isfinite
from numbers import Real
from pathlib import Path
from typing import Any

from recbole.evaluator import metric_types
from recbole.utils import EvaluatorType, argument_list

from recbole_genrec.compat import RECBOLE_PROPERTIES
from recbole_genrec.config.old_keys import OLD_KEYS
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.errors import InputError, check_name, nearest

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

POSITIVE = (
    *("MAX_ITEM_LIST_LENGTH", "train_batch_size", "eval_batch_size", "beam_size"),
    *("gradient_accumulation_steps", "checkpoint_step", "append_size"),
    *("d_model", "d_ff", "num_heads", "d_kv", "num_layers", "num_decoder_layers"),
    *("text_embedding_dim", "text_batch_size", "tokenizer_code_dim", "tokenizer_batch_size"),
    *("tokenizer_kmeans_iterations", "tokenizer_kmeans_sample"),
    *("teacher_hidden_size", "teacher_train_batch_size"),
)
NOT_NEGATIVE = (
    *("epochs", "eval_step", "stopping_step", "learning_rate", "weight_decay", "worker"),
    *("metric_decimal_place", "loss_decimal_place"),
    *("tokenizer_epochs", "tokenizer_learning_rate", "tokenizer_weight_decay"),
    *("tokenizer_stopping_step", "tokenizer_commitment_weight"),
    *("teacher_learning_rate", "teacher_stopping_step"),
    *("finetune_learning_rate", "finetune_stopping_step"),
)
SHARES = (
    "warmup_ratio",
    "hidden_dropout_prob",
    "attn_dropout_prob",
    "dropout_prob",
)
CLIPPING = {"max_norm", "norm_type", "error_if_nonfinite", "foreach"}
GPU_IDS = re.compile(r"((-?\d+|(GPU|MIG)-[\w/-]+)(,|$))*")

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
    message = "; ".join(f"unknown key [{key}]{_instead_of(key, known)}" for key in unknown)
    if given.get("strict_config", True):
        raise InputError(f"{message} (strict_config: False lets unknown keys pass)")
    getLogger().warning(message)


def _instead_of(key: str, known: frozenset[str]) -> str:
    if key in OLD_KEYS:
        return f" of an older RecBole; today it is {OLD_KEYS[key]}"
    return nearest(key, known)


@cache
def known_keys(properties: Path) -> frozenset[str]:
    """The keys of all property files, RecBole's and ours, and of RecBole's argument lists."""
    files = [*RECBOLE_PROPERTIES.rglob("*.yaml"), *properties.rglob("*.yaml")]
    keys = {key for file in files if "url" not in file.stem for key in read_yaml(file)}
    lists = [value for name, value in vars(argument_list).items() if name.endswith("_arguments")]
    return frozenset(keys.union(RECBOLE_EXTRA_KEYS, *lists))


def check_metrics(settings: Mapping[str, Any]) -> None:
    """Metrics, list lengths and the selecting metric, whose faults RecBole meets after an epoch."""
    metrics, found = settings["metrics"], settings["topk"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    topk = found if isinstance(found, list) else [found]
    if not isinstance(metrics, (list, tuple)) or not metrics or set(map(type, metrics)) != {str}:
        raise InputError(f"metrics should be a name or a list of them, found [{metrics}]")
    for metric in metrics:
        if metric.lower() not in metric_types:
            raise InputError(f"there is no metric named [{metric}]{nearest(metric, metric_types)}")
    if not topk or not all(_is_count(k) for k in topk):
        raise InputError(f"topk should be a positive integer or a list of them, found [{found}]")
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
    if config["beam_size"] is not None and config["beam_size"] < longest:
        raise InputError(
            f"beam_size [{config['beam_size']}] should be at least max(topk) [{longest}]: "
            "items outside the beam cannot be ranked"
        )
    for key, one in (("codebook_sizes", "level"), ("tokenizer_hidden_sizes", "layer")):
        sizes = config[key]
        if sizes is not None and not (sizes and all(_is_count(size) for size in sizes)):
            raise InputError(
                f"{key} should be a list of positive integers, one per {one}, found [{sizes}]"
            )
    if not hasattr(config.model_class, "input_type"):  # RecBole derives it
        check_name("loss_type", config["loss_type"], ("BPR", "CE"))
    if config["log_wandb"] and find_spec("wandb") is None:
        raise InputError("log_wandb needs the package wandb, found none (pip install wandb)")
    check_name("learner", str(config["learner"]).lower(), LEARNERS)
    if config["lr_scheduler"] is not None:
        check_name("lr_scheduler", config["lr_scheduler"], LR_SCHEDULERS)
    _check_clipping(config["clip_grad_norm"])


def _check_clipping(given: Mapping[str, Any] | None) -> None:
    """`clip_grad_norm` holds arguments of torch.nn.utils.clip_grad_norm_, `max_norm` at least."""
    if given is None:
        return
    norm = given.get("max_norm")
    if not isinstance(norm, Real) or not 0 < norm < inf or not given.keys() <= CLIPPING:
        raise InputError(
            "clip_grad_norm should be a dict such as {max_norm: 1.0}, with max_norm above 0 and "
            f"perhaps norm_type, found [{given}]"
        )


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Sizes, rates and shares, of the right types already, whose values cannot work."""
    for keys, expected, works in (
        (POSITIVE, "an integer >= 1", lambda value: value >= 1),
        (NOT_NEGATIVE, ">= 0 and finite", lambda value: value >= 0 and isfinite(value)),
        (SHARES, "between 0 and 1", lambda value: 0 <= value <= 1),
        (("dropout_rate",), "at least 0 and below 1", lambda value: 0 <= value < 1),
        (("seed",), "an integer from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32),
    ):
        for key in keys:
            value = settings.get(key)
            if value is not None and not works(value):
                raise InputError(f"{key} should be {expected}, found [{value}]")
    gpu_id = settings["gpu_id"]
    text = ",".join(map(str, gpu_id)) if isinstance(gpu_id, (list, tuple)) else str(gpu_id)
    if gpu_id is not None and not GPU_IDS.fullmatch(text.replace(" ", "")):
        raise InputError(f"gpu_id should be the numbers of GPUs, such as 0,1, found [{gpu_id}]")


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
