"""One run from configuration to test result: data, tokenizer stage, model, training, evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole_genrec import compat  # noqa: F401  (first, as it says how to get RecBole)

# isort: split
import torch
from recbole.data.dataset import Dataset
from recbole.utils import get_environment, init_seed, set_color
from recbole.utils.case_study import full_sort_scores, full_sort_topk

from recbole_genrec.config import Config
from recbole_genrec.config.data_settings import check_labels, replaced_history_length
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.data.loaders import check_split, data_preparation
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.files import check_writable
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.parallel.distributed import check_alike, joined, launched, rank, rank_0_first
from recbole_genrec.parallel.launch import run_on_processes, total_processes
from recbole_genrec.plain import moved
from recbole_genrec.registry import Registration, build_model, needed_packages, portable
from recbole_genrec.runs.checkpoint import (
    check_finite,
    check_same_data,
    load_checkpoint,
    load_weights,
)
from recbole_genrec.runs.log import start_log
from recbole_genrec.runs.recorder import RunRecorder, recorded_run
from recbole_genrec.runs.saved_config import saved_config
from recbole_genrec.stages.plan import run_stages
from recbole_genrec.trainer.checkpointer import AUTO, check_resumable, training_alone
from recbole_genrec.trainer.registry import get_trainer

__all__ = ["full_sort_scores", "full_sort_topk", "load_data_and_model", "run_recbole_genrec"]


def run_recbole_genrec(
    model: str | type | Registration | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Train `model` on `dataset` and test the epoch that was best in validation.

    The counterpart of `recbole.quick_start.run_recbole`, for RecBole's models and for ours. Unlike
    it, this function never reads the command line.

    With `nproc` above 1 it starts as many processes, which begin by importing the calling script:
    that should call this function under `if __name__ == "__main__"`.

    Args:
        model: name of a model of this package or of RecBole, or a class.
        dataset: name of the data set; its atomic files lie in `<data_path>/<dataset>`.
        config_file_list: YAML files, later ones override earlier ones.
        config_dict: settings that override all files.
        saved: keep the best model as a checkpoint and test that one rather than the last.

    Returns:
        RecBole's result: `best_valid_score`, `valid_score_bigger`, `best_valid_result`,
        `test_result`, which is empty where the split leaves nothing to test on; and `test_results`,
        that of both protocols (see `evaluator.protocols`).

    Raises:
        InputError: for a setting or a file that cannot work, before training starts; and when
            training comes to NaN.
        RunError: when the disk is full or there is not enough memory.
    """
    config = Config(model, dataset, config_file_list, config_dict)
    if _takes_several_processes(config) and not launched():
        arguments = portable(config.model_class), dataset, config_file_list, config_dict, saved
        return run_on_processes(config, run_recbole_genrec, *arguments)
    _check_files(config)
    init_seed(config["seed"], config["reproducibility"])
    with joined(config["device"]):
        start_log(config)
        getLogger().info(config)
        replaced = replaced_history_length(config)
        if replaced is not None:
            getLogger().info(replaced)
        with recorded_run(config) as run, needed_packages(config["model"]):
            return _train_and_test(config, run, saved)


def _takes_several_processes(config: Config) -> bool:
    """Whether the run has several processes; warns where only the model stands against it.

    Raises:
        InputError: when they are there already, and the model stands against it.
    """
    if not launched() and total_processes(config) == 1:
        return False
    if get_trainer(config["MODEL_TYPE"], config["model"]).shares_batches:
        return True
    message = f"nproc: {config['model']} has its own way of training, by one process"
    if launched() or total_processes(config) > config["nproc"]:
        raise InputError(message)
    getLogger().warning(message)
    return False


def _check_files(config: Config) -> None:
    """Find out before long work whether its result can be kept, and what it goes on from is there.

    Raises:
        InputError: naming the setting and the file.
    """
    check_writable("checkpoint_dir", config["checkpoint_dir"])
    check_writable("results_dir", config["results_dir"])
    for name in ("log", "log_tensorboard"):
        folder = Path.cwd() / name
        check_writable(f"the folder for {name}", folder if folder.exists() else Path.cwd())
    resume = config["resume"]
    if resume in (None, AUTO):
        return
    if not Path(resume).is_file():
        raise InputError(f"resume should be auto or a checkpoint, found no file [{resume}]")
    check_resumable(resume, config)


def _train_and_test(config: Config, run: RunRecorder, saved: bool) -> dict[str, Any]:
    logger = getLogger()
    with rank_0_first():
        train_data, valid_data, test_data = prepare_data(config)
    init_seed(config["seed"], config["reproducibility"])
    model = build_model(config, train_data.dataset)
    check_labels(config, train_data.dataset, model)
    check_alike(model)
    if rank() > 0:  # other dropout than on rank 0
        init_seed(config["seed"] + rank(), config["reproducibility"])
    logger.info(model)
    run.record_preparation(model, train_data)

    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    if config["resume"] is not None:
        trainer.resume(config["resume"])
    with training_alone(trainer.saved_model_file) if rank() == 0 else nullcontext():
        best_valid_score, best_valid_result = _fit(trainer, train_data, valid_data, saved)
        run.record_fit(trainer)
        test_result = _test(trainer, test_data, saved)
    run.record_test(trainer, train_data, test_data, test_result)

    logger.info(f"The running environment is as follows:\n{get_environment(config).draw()}")
    logger.info(f"{set_color('best valid ', 'yellow')}: {best_valid_result}")
    results = trainer.results if test_result else {}
    for protocol, result in results.items():
        logger.info(f"{set_color('test result', 'yellow')} ({protocol}): {result}")
    return {
        "best_valid_score": best_valid_score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": best_valid_result,
        "test_result": test_result,
        "test_results": results,
    }


def _fit(trainer, train_data, valid_data, saved: bool) -> tuple:
    """`trainer.fit`, which says how to go on where it is stopped."""
    progress = trainer.config["show_progress"]
    try:
        return trainer.fit(train_data, valid_data, saved=saved, show_progress=progress)
    except (KeyboardInterrupt, InputError, RunError):
        last = trainer.last_model_file
        if last is not None and Path(last).is_file():
            getLogger().warning(f"Training was stopped. To go on, add --resume={last}")
        raise


def _test(trainer, test_data, saved: bool) -> dict[str, float]:
    if not test_data:
        split = trainer.config["eval_args"]["split"]
        getLogger().warning(f"There is no test: eval_args split {split} leaves no samples for it.")
        return {}
    return trainer.evaluate(
        test_data, load_best_model=saved, show_progress=trainer.config["show_progress"]
    )


def prepare_data(config: Config) -> tuple:
    """Load the data set, give it semantic IDs where the model asks for them, and split it.

    Returns:
        RecBole's data loaders for training, validation and test.
    """
    return _split(config, _load(config))


def _load(config: Config) -> Dataset:
    """The data set, with what the stages have made for its items."""
    hooks = class_hooks(config.model_class)
    hooks.check_config(config)
    dataset = create_dataset(config)
    getLogger().info(dataset)
    needs = hooks.needs(config)
    if needs:
        check_split(config, dataset)
        dataset.items = run_stages(config, dataset, needs)
    return dataset


def _split(config: Config, dataset: Dataset) -> tuple:
    loaders = data_preparation(config, dataset)
    if class_hooks(config.model_class).needs(config):
        dataset.items.add_purity(loaders[0].dataset.item_counter)
    return loaders


def load_data_and_model(model_file: str | Path, device: str | torch.device | None = None) -> tuple:
    """Load a trained model, of this package or of RecBole, with the data that it was trained on.

    The counterpart of `recbole.quick_start.load_data_and_model`. With its results
    `recbole.utils.case_study` gives the scores or the best items of some users.

    >>> config, model, dataset, train, valid, test = load_data_and_model(
    ...     "saved/SASRec.pth"
    ... )  # doctest: +SKIP
    >>> users = dataset.token2id("user_id", ["196", "186"])  # doctest: +SKIP
    >>> scores, items = full_sort_topk(users, model, test, k=10)  # doctest: +SKIP

    Args:
        model_file: what training has saved.
        device: where the model goes; that of the settings of here if not given.

    Returns:
        config, model, data set, and its loaders for training, validation and test, as in RecBole.

    Raises:
        InputError: for a file that is no sound checkpoint, or data that have changed since.
    """
    checkpoint = load_checkpoint(model_file)
    check_finite(checkpoint, model_file)
    config = saved_config(checkpoint["config"])
    if device is not None:
        config["device"] = torch.device(device)
    check_same_data(checkpoint, config, model_file)
    init_seed(config["seed"], config["reproducibility"])
    dataset = _load(config)
    loaders = _split(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = build_model(config, loaders[0].dataset)
    load_weights(model, moved(checkpoint, config["device"]), model_file)
    return config, model.eval(), dataset, *loaders
