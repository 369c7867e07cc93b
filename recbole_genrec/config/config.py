"""RecBole's configuration with our properties, model names and checks."""

import os
from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config as RecBoleConfig
from recbole.utils import ModelType

from recbole_genrec.config.checks import (
    check_dataset,
    check_gpu_id,
    check_metrics,
    check_processes,
    check_values,
    computes_in_bfloat16,
)
from recbole_genrec.config.eval_args import check_eval_args
from recbole_genrec.config.layers import registered_keys, run_files
from recbole_genrec.config.old_keys import OLD_KEYS
from recbole_genrec.config.schema import Schema
from recbole_genrec.config.settings import given_value, merge, plain_value, with_files
from recbole_genrec.config.yaml_files import YamlLoader
from recbole_genrec.errors import InputError, nearest, refuse
from recbole_genrec.items.needs import COLLABORATIVE, Embeddings, Tokens, main_set, with_embeddings
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.parallel.distributed import launched
from recbole_genrec.registry import Registration, get_model

LONGEST_NAME = 100  # of a data set: file systems end at 255 bytes, with all that is added


class Config(RecBoleConfig):
    """Settings of a run, from RecBole's and our defaults, the user's files and a dictionary.

    Later ones win: RecBole's defaults, `properties/overall.yaml`, `items.yaml`,
    `collaborative.yaml` (where such embeddings are read), `tokenizer/common.yaml` and
    `tokenizer/<tokenizer>.yaml` (where items get semantic IDs),
    `loss/<loss>.yaml`, `model/<M>.yaml` for the model and the classes that it inherits from,
    `dataset/<dataset>.yaml`, `model/<M>-<dataset>.yaml`, `config_file_list`, `config_dict`. The
    files of a model of another package lie beside its module (see `register_model`).

    Unlike RecBole's, it does not read the command line, never evaluates a value as code and leaves
    `config_dict` as it was.

    Args:
        model: model name (`TIGER-TokenWeighted` and `TIGERTokenWeighted` are the same) or class.
        dataset: name of the data set, the folder `<data_path>/<dataset>`.
        config_file_list: YAML files, or a single one; `properties/recipe/etegrec.yaml` and the like
            are files of this package where no other has that name.
        config_dict: settings; values that are text are read by `parse_value`.

    Raises:
        InputError: for a model, data set, file, key or value that cannot work.
    """

    parameters: dict[str, list[str]]
    internal_config_dict: dict[str, Any]

    def __init__(
        self,
        model: str | type | Registration | None = None,
        dataset: str | None = None,
        config_file_list: str | Path | Sequence[str] | None = None,
        config_dict: Mapping[str, Any] | None = None,
    ):
        try:
            super().__init__(model, dataset, config_file_list, config_dict)
        except (ValueError, NotImplementedError) as error:  # RecBole's own checks
            raise InputError(str(error)) from error
        self.as_dict()  # refuses what no checkpoint could hold
        check_values(self)
        check_dataset(self)

    def as_dict(self) -> dict[str, Any]:
        """All settings as plain values, so that they can be stored in a checkpoint or as JSON.

        Raises:
            InputError: naming the key whose value has no plain form.
        """
        return {key: plain_value(key, value) for key, value in self.final_config_dict.items()}

    # ---- reading: the hooks of RecBole's constructor, in the order in which it calls them

    def compatibility_settings(self) -> None:
        """Nothing: `recbole_genrec.compat` has set what RecBole needs."""

    def _init_parameters_category(self) -> None:
        super()._init_parameters_category()
        # RecBole extends these lists, which are module constants
        self.parameters = {name: list(keys) for name, keys in self.parameters.items()}

    def _build_yaml_loader(self) -> type:
        return YamlLoader

    def _load_config_files(self, file_list: str | Path | Sequence[str] | None) -> dict[str, Any]:
        files = [file_list] if isinstance(file_list, (str, Path)) else file_list or []
        return with_files({}, files)

    def _load_variable_config_dict(self, config_dict: Mapping[str, Any] | None) -> dict[str, Any]:
        return {key: given_value(key, value) for key, value in (config_dict or {}).items()}

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}

    def _merge_external_config_dict(self) -> None:
        self.external_config_dict = merge(dict(self.file_config_dict), self.variable_config_dict)

    def _get_model_and_dataset(self, model: str | type | Registration | None, dataset: str | None):
        given = self.external_config_dict
        model, dataset = model or given.get("model"), dataset or given.get("dataset")
        if model is None or dataset is None:
            raise InputError(f"no [{'dataset' if model else 'model'}] is given")
        if len(str(dataset)) > LONGEST_NAME:
            found = f"{len(str(dataset))} letters"
            refuse("dataset", f"a name of at most {LONGEST_NAME} letters", found)
        model_class = get_model(model)
        return model_class.__name__, model_class, str(dataset)

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        super()._load_internal_config_dict(model, model_class, dataset)
        given = self.external_config_dict
        files = run_files(model_class, dataset, given)
        self._schema = Schema(files, dataset)
        self._schema.check(given)
        draft = _Draft(with_files(self.internal_config_dict, files) | given)
        hooks = class_hooks(model_class)
        self._generates = hooks.needs_semantic_ids
        needs = hooks.needs(draft)
        self._schema.add_sets(need.name for need in needs if isinstance(need, Tokens))
        self._schema.check(given)
        tokens = self._generates or "tokenizer" in given
        made = with_embeddings(needs or [main_set(draft)] * tokens, draft)
        files = run_files(
            model_class, dataset, given, bool(made), Embeddings(COLLABORATIVE) in made, tokens
        )
        self.internal_config_dict = with_files(self.internal_config_dict, files)
        self._check_keys()

    def _check_keys(self) -> None:
        """Refuse keys that nobody reads; with `strict_config: False` warn of them."""
        given = self.external_config_dict
        unknown = [key for key in given if key not in self.known_keys]
        others = registered_keys() if unknown else set()  # in a comparison, all models get them
        unknown = [key for key in unknown if key not in others]
        if not unknown:
            return
        known = self.known_keys | others
        message = "; ".join(f"unknown key [{key}]{_instead_of(key, known)}" for key in unknown)
        if given.get("strict_config", True):
            raise InputError(f"{message} (strict_config: False lets unknown keys pass)")
        getLogger().warning(message)

    @property
    def known_keys(self) -> frozenset[str]:
        """All settings that can be given to this model."""
        return self._schema.known()

    def _get_final_config_dict(self) -> dict[str, Any]:
        return merge(dict(self.internal_config_dict), self.external_config_dict)

    def _set_default_parameters(self) -> None:
        settings, given = self.final_config_dict, self.external_config_dict
        sequential = settings["MODEL_TYPE"] == ModelType.SEQUENTIAL
        cross_entropy = sequential and settings.get("loss_type") == "CE"
        if (cross_entropy or self._generates) and "train_neg_sample_args" not in given:
            settings["train_neg_sample_args"] = None  # likelihoods have no use for negatives
        if "load_col" not in given and isinstance(settings["load_col"], dict):
            self._load_needed_columns(settings)
        if isinstance(settings["topk"], tuple):
            settings["topk"] = list(settings["topk"])
        if "valid_metric" not in given and settings["metrics"] == ["AUC", "LogLoss"]:
            settings["valid_metric"] = "AUC"  # models of clicks, which rank no items
        negatives = settings["train_neg_sample_args"]
        if self._generates and not (negatives is None or negatives.get("distribution") == "none"):
            expected = f"None for {self.model}, which learns from its targets alone"
            refuse("train_neg_sample_args", expected, negatives)
        if negatives is not None and negatives.get("distribution") != "none":
            number = negatives.get("sample_num", 1)
            if not isinstance(number, int) or number < 1:
                refuse("sample_num of train_neg_sample_args", "an integer of at least 1", number)
        check_gpu_id(settings["gpu_id"])
        check_metrics(settings)
        check_processes(settings)
        check_eval_args(settings)
        repeatable = settings["repeatable"]
        settings["repeatable"] = repeatable or sequential  # all that RecBole allows them
        super()._set_default_parameters()
        settings["repeatable"] = repeatable

    @staticmethod
    def _load_needed_columns(settings: dict[str, Any]) -> None:
        """Load the columns of `.inter` that the run cannot do without, also if named otherwise."""
        needed = [settings["USER_ID_FIELD"], settings["ITEM_ID_FIELD"]]
        if settings["eval_args"].get("order") == "TO":
            needed.append(settings["TIME_FIELD"])
        columns = settings["load_col"].get("inter")
        if isinstance(columns, list):
            missing = [field for field in needed if field and field not in columns]
            settings["load_col"] = {**settings["load_col"], "inter": columns + missing}

    def _init_device(self) -> None:
        settings = self.final_config_dict
        settings.pop("local_rank", None)  # with which RecBole would start NCCL
        nproc = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if launched() else settings["nproc"]
        gpu_id = settings["gpu_id"]
        if not settings["use_gpu"]:
            gpu_id = ""
        elif isinstance(gpu_id, (list, tuple)):
            gpu_id = ",".join(map(str, gpu_id))
        elif nproc > 1 and "gpu_id" not in self.external_config_dict:
            gpu_id = ",".join(map(str, range(nproc)))
        settings["gpu_id"] = gpu_id
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        super()._init_device()
        if settings["device"].type == "cpu":  # the variable is not ours to change
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            if visible is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = visible
        elif nproc > 1 and torch.cuda.device_count() < nproc:
            raise InputError(
                f"{nproc} processes of a machine need as many GPUs, and gpu_id [{gpu_id}] "
                f"names {torch.cuda.device_count()} of those that are there"
            )
        if settings["enable_amp"] and settings["device"].type == "cpu":
            settings["enable_amp"] = computes_in_bfloat16()
        if launched():
            self._take_place()

    def _take_place(self) -> None:
        """Of the processes of a run each has a GPU of its own, and rank 0 speaks for all."""
        settings, local_rank = self.final_config_dict, int(os.environ["LOCAL_RANK"])
        if settings["device"].type == "cuda":
            settings["device"] = torch.device("cuda", local_rank)
            torch.cuda.set_device(local_rank)
        if int(os.environ["RANK"]) > 0:
            settings.update(state="error", show_progress=False, log_wandb=False)


def _instead_of(key: str, known: frozenset[str]) -> str:
    if key in OLD_KEYS:
        return f" of an older RecBole; today it is {OLD_KEYS[key]}"
    return nearest(key, known)


class _Draft(dict):
    """Settings before they are complete; as in a configuration, one that is missing is None."""

    def __missing__(self, key: str) -> None:
        return None
