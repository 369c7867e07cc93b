"""What can be known to be wrong with a configuration before any data are read."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from logging import getLogger
from math import inf
from pathlib import Path
from typing import Any

import torch
from recbole.evaluator import metric_types
from recbole.utils import EvaluatorType

from recbole_genrec.compat import RECBOLE_PROPERTIES, takes_loss_type
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.errors import InputError, check_name, nearest, refuse
from recbole_genrec.files import is_file_name
from recbole_genrec.model.hooks import class_hooks

LEARNERS = ("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam", "muon")
MUON_SINCE = "2.9"  # of torch

CLIPPING = {"max_norm", "norm_type", "error_if_nonfinite", "foreach"}
GPU_IDS = re.compile(r"((-?\d+|(GPU|MIG)-[\w/-]+)(,|$))*")


def check_metrics(settings: Mapping[str, Any]) -> None:
    """Metrics, list lengths and the selecting metric, whose faults RecBole meets after an epoch."""
    metrics, found = settings["metrics"], settings["topk"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    topk = found if isinstance(found, list) else [found]
    if not isinstance(metrics, (list, tuple)) or not metrics or set(map(type, metrics)) != {str}:
        refuse("metrics", "a name or a list of them", metrics)
    for metric in metrics:
        if metric.lower() not in metric_types:
            raise InputError(f"there is no metric named [{metric}]{nearest(metric, metric_types)}")
    if not topk or not all(_is_count(k) for k in topk):
        refuse("topk", "a positive integer or a list of them", found)
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


MOST_PROCESSES = 256  # of one machine

# Beyond these a run ends for want of memory or processes, at best, and may take others with it.
MOST = {
    **dict.fromkeys(("train_batch_size", "eval_batch_size"), 2**31 - 1),
    **dict.fromkeys(("d_model", "d_ff", "hidden_size", "inner_size", "embedding_size"), 2**16),
    **dict.fromkeys(("num_layers", "num_decoder_layers", "n_layers"), 2**10),
    **{
        "beam_size": 2**16,
        "worker": MOST_PROCESSES,
        "metric_decimal_place": 15,
        "loss_decimal_place": 15,
    },
}


def check_values(config: Any) -> None:
    """Lengths, sizes and names that would fail only after the data or the tokenizer stage."""
    for key, value in config.final_config_dict.items():
        held = isinstance(value, str) and "\0" in value
        if held and key not in ("dataset", "data_path"):  # see check_dataset
            raise InputError(f"{key} should be text without NUL characters, found {value!r}")
    for key in ("checkpoint_dir", "results_dir"):
        if config[key] == "":
            refuse(key, "the name of a folder, such as . for the current one", "")
    for key, most in MOST.items():
        if isinstance(config[key], int) and config[key] > most:
            raise InputError(f"{key} should be at most {most}, found [{config[key]}]")
    metrics = [metric.lower() for metric in config["metrics"]]
    modes = config["eval_args"]["mode"].values()
    gives_lists = not class_hooks(config.model_class).scores_all_items
    if gives_lists and "full" in modes and "gauc" in metrics:
        raise InputError(
            f"metrics: GAUC needs the rank of every item, and {config['model']} gives a list of "
            "the likeliest; leave it out, or evaluate with mode uni100"
        )
    longest = max(config["topk"])
    for key in ("beam_size", "valid_beam_size"):
        if config[key] is not None and config[key] < longest:
            expected = f"at least max(topk) [{longest}], as items outside the beam cannot be ranked"
            refuse(key, expected, config[key])
    if takes_loss_type(config.model_class):
        check_name("loss_type", config["loss_type"], ("BPR", "CE"))
    if config["log_wandb"] and find_spec("wandb") is None:
        raise InputError("log_wandb needs the package wandb, found none (pip install wandb)")
    learner = str(config["learner"]).lower()
    check_name("learner", learner, LEARNERS)
    if learner == "muon" and not hasattr(torch.optim, "Muon"):
        known = f"another one with torch {torch.__version__} (muon needs {MUON_SINCE} or later)"
        refuse("learner", known, learner)
    _check_clipping(config["clip_grad_norm"])


def _check_clipping(given: Mapping[str, Any] | None) -> None:
    """`clip_grad_norm` holds arguments of torch.nn.utils.clip_grad_norm_, `max_norm` at least."""
    if given is None:
        return
    norm = given.get("max_norm")
    if not isinstance(norm, (int, float)) or not 0 < norm < inf or not given.keys() <= CLIPPING:
        refuse(
            "clip_grad_norm",
            "a dict such as {max_norm: 1.0}, with max_norm above 0 and perhaps norm_type",
            given,
        )


def check_gpu_id(gpu_id: Any) -> None:
    """The numbers or names of GPUs, in text or a list."""
    text = ",".join(map(str, gpu_id)) if isinstance(gpu_id, (list, tuple)) else str(gpu_id)
    if gpu_id is not None and not GPU_IDS.fullmatch(text.replace(" ", "")):
        refuse("gpu_id", "the numbers of GPUs, such as 0,1", gpu_id)


def check_processes(settings: Mapping[str, Any]) -> None:
    """The places of the processes of this machine among those of all."""
    if settings["nproc"] > MOST_PROCESSES:
        refuse("nproc", f"at most {MOST_PROCESSES}", settings["nproc"])
    world_size = settings.get("world_size") or 0
    last = settings["offset"] + settings["nproc"]
    if last > max(world_size, settings["nproc"]):
        expected = f"at least offset + nproc [{last}], as it counts the processes of all machines"
        refuse("world_size", expected, settings["world_size"])


def check_dataset(config: Any) -> None:
    """The data set must lie in its folder or be one that RecBole can download."""
    if not is_file_name(config["dataset"]):
        raise InputError(
            f"dataset should be the name of a folder in data_path, found {config['dataset']!r}"
        )
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


def computes_in_bfloat16() -> bool:
    """Whether this processor can be asked to; warns where it would take hundreds of times as long.

    Before AVX-512 each product in bfloat16 is emulated: one of 2048 x 2048 took minutes.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    able = capability not in ("DEFAULT", "NO AVX", "AVX2")
    if not able:
        getLogger().warning(
            f"enable_amp: this processor ({capability}) has no fast bfloat16; the run stays in "
            "float32"
        )
    return able
