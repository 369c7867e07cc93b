"""The schema of all settings; the head of `properties/overall.yaml` says how it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from recbole.utils import argument_list

from recbole_genrec.compat import RECBOLE_PROPERTIES
from recbole_genrec.config.kinds import NAMES, Kind, parse_kinds
from recbole_genrec.config.layers import is_outside
from recbole_genrec.config.yaml_files import properties_dir, read_properties, read_yaml
from recbole_genrec.errors import InputError, check_name, nearest, refuse
from recbole_genrec.loss.registry import LOSSES
from recbole_genrec.tokenizer.registry import TOKENIZERS

COMMENT = re.compile(
    r"(?P<key>[A-Za-z_][\w-]*):(?P<value>.*?)\s#\s*"
    r"\((?P<kind>(?:[^()\[\]]|[\[(][^()\[\]]*[\])])+)\)\s*(?P<meaning>.*)"
)

# Ranges of RecBole's own settings, which its property files do not state.
RECBOLE_KINDS = {
    "MAX_ITEM_LIST_LENGTH": "int >= 1",
    "train_batch_size": "int >= 1",
    "eval_batch_size": "int >= 1",
    "epochs": "int >= 0",
    "eval_step": "int >= 0",
    "stopping_step": "int >= 0",
    "worker": "int >= 0",
    "metric_decimal_place": "int >= 0",
    "loss_decimal_place": "int >= 0",
    "learning_rate": "float >= 0",
    "weight_decay": "float >= 0",
    "hidden_dropout_prob": "float in [0, 1)",
    "attn_dropout_prob": "float in [0, 1)",
    "dropout_prob": "float in [0, 1]",
    "seed": "int in [0, 4294967295]",
}

# RecBole's keys that take more than it documents, or that have a check of their own.
OPEN_KEYS = frozenset(
    {
        "model",
        "gpu_id",
        "metrics",
        "topk",
        "load_col",
        "user_inter_num_interval",
        "item_inter_num_interval",
        "eval_args",
        "train_neg_sample_args",
        "w_max",
        "context_norm",
        "post_remove_context",
    }
)

# RecBole's keys that may be None although no property file says so, as may the names of fields.
OPTIONAL_KEYS = frozenset({"state"})

# Keys that RecBole reads but that none of its property files mentions.
RECBOLE_EXTRA_KEYS = frozenset(
    {
        "model",
        "dataset",
        "config_files",
        "verbose",
        "encoding",
        "tail_ratio",
        "token_num_threshold",
        "local_rank",
        "choice",
        "cin",
        "contrast",
        "eta",
        "feature_num",
        "has_residual",
        "norm",
        "sim",
        "use_filter",
        "xgb_early_stopping_rounds",
    }
)

# What RecBole's comments call the types.
RECBOLE_TYPES = {"string": "str", "NoneType": "None"}


class Setting(NamedTuple):
    """A key as a property file documents it."""

    kinds: tuple[Kind, ...]
    """Empty where there is no comment."""
    default: Any
    meaning: str = ""


@cache
def known_keys() -> frozenset[str]:
    """The keys of all property files, RecBole's and ours, and of RecBole's argument lists."""
    lists = [value for name, value in vars(argument_list).items() if name.endswith("_arguments")]
    return frozenset({*_recboles(), *_ours(properties_dir())}.union(RECBOLE_EXTRA_KEYS, *lists))


class Schema:
    """What the settings of a run may be.

    The kinds of a key are those of RecBole's table above; else those of the files of the run, of
    which an outside model may have some; else those of all other files, RecBole's included.

    Args:
        files: the property files of the run, see `layers.run_files`.
        dataset: name of the data set, whose files `<model>-<dataset>.yaml` declare no keys.

    Raises:
        InputError: for what an outside property file gets wrong.
    """

    def __init__(self, files: Sequence[Path], dataset: str) -> None:
        self._used = {key for file in files if not is_outside(file) for key in read_yaml(file)}
        outside = [file for file in files if is_outside(file)]
        self._declared: dict[str, Setting] = {}
        self._of_sets: dict[str, str] = {}  # with the settings of the main set
        for file in outside:
            if not file.stem.endswith(f"-{dataset}"):
                documented = read_settings(file).items()
                self._declared |= {key: setting for key, setting in documented if setting.kinds}
        for file in outside:
            self._check_file(file)

    def add_sets(self, names: Iterable[str]) -> None:
        """Let further sets of semantic IDs have settings of their own, such as `<set>_tokenizer`.

        What they may be is what the settings of the main set may be. Embeddings are no set's own.
        """
        files = (properties_dir() / "tokenizer").glob("*.yaml")
        keys = {"sid_file", *(key for file in files for key in read_yaml(file))}
        keys -= read_properties(properties_dir() / "collaborative.yaml").keys()
        self._of_sets |= {f"{name}_{key}": key for name in filter(None, names) for key in keys}

    def known(self) -> frozenset[str]:
        """All keys that can be given."""
        return known_keys() | self._declared.keys() | self._of_sets.keys()

    def kinds(self, key: str) -> tuple[Kind, ...]:
        """What a key may be; empty for anything."""
        key = self._of_sets.get(key, key)
        if key in OPEN_KEYS:
            return ()
        ours = _ours(properties_dir()).get(key, ())
        settings = [*ours, *_recboles().get(key, ())]
        if key in RECBOLE_KINDS:
            stated = parse_kinds(RECBOLE_KINDS[key])
        elif key in self._declared and key not in self._used:
            settings = [self._declared[key]]
            stated = settings[0].kinds
        else:
            stated = max((setting.kinds for setting in ours), key=_exactness, default=())
        if not _exactness(stated):
            stated = _sorted(kind for setting in settings for kind in setting.kinds)
        kinds = dict.fromkeys(stated)
        nothing = Kind("None")
        if kinds and (_is_optional(key) or any(setting.default is None for setting in settings)):
            kinds.pop(nothing, None)
            kinds[nothing] = None
        return tuple(kinds) if kinds.keys() - {nothing} else ()

    def check(self, settings: Mapping[str, Any], place: str = "") -> None:
        """Refuse values that settings cannot have; `place` says where they stand.

        Raises:
            InputError: naming the key, what was found and what was expected.
        """
        for key, value in settings.items():
            name, kinds = f"{place}{key}", self.kinds(key)
            if kinds and not any(kind.allows(value) for kind in kinds):
                choices = [choice for kind in kinds for choice in kind.choices]
                refuse(name, " or ".join(map(str, kinds)), value, choices)
            if self._of_sets.get(key, key) == "tokenizer":
                check_name(name, value, TOKENIZERS)
            if key == "loss" and str(value).lower() not in LOSSES:
                check_name(name, value, LOSSES)

    def _check_file(self, file: Path) -> None:
        for key in read_yaml(file):
            if key not in self.known():
                raise InputError(
                    f"{file}: unknown key [{key}]{nearest(key, self.known())} (a key of the "
                    f"model's own is declared in the file of the model: `{key}: value  # (type) "
                    "meaning`)"
                )
        self.check(read_yaml(file), f"{file}: ")


def read_settings(file: Path) -> dict[str, Setting]:
    """The settings of a property file in our form.

    Raises:
        InputError: for a comment with a type in another form.
    """
    lines = map(COMMENT.match, file.read_text(encoding="utf-8").splitlines())
    comments = {line["key"]: line for line in lines if line}
    settings = {}
    for key, default in read_yaml(file).items():
        comment = comments.get(key)
        try:
            kinds = parse_kinds(comment["kind"]) if comment else ()
        except ValueError as error:
            raise InputError(f"{file}: {key}: {error}") from error
        settings[key] = Setting(kinds, default, comment["meaning"] if comment else "")
    return settings


@cache
def _ours(properties: Path) -> dict[str, list[Setting]]:
    """Every mention of each key in our property files."""
    found: dict[str, list[Setting]] = {}
    for file in sorted(properties.rglob("*.yaml")):
        for key, setting in read_settings(file).items():
            found.setdefault(key, []).append(setting)
    return found


@cache
def _recboles() -> dict[str, list[Setting]]:
    """Every mention of each key in RecBole's property files, by its comment and its default."""
    found: dict[str, list[Setting]] = {}
    for file in sorted(RECBOLE_PROPERTIES.rglob("*.yaml")):
        if "url" in file.stem:
            continue
        lines = map(COMMENT.match, file.read_text(encoding="utf-8").splitlines())
        comments = {line["key"]: re.sub(r" of \w+", "", line["kind"]) for line in lines if line}
        for key, default in read_yaml(file).items():
            words = [RECBOLE_TYPES.get(w, w) for w in re.findall(r"\w+", comments.get(key, ""))]
            names = {word for word in words if word in NAMES} | {_type_name(default)}
            if key not in comments and type(default) is int:
                names.add("float")  # such as an exponent that happens to be 1
            found.setdefault(key, []).append(Setting(_sorted(map(Kind, names)), default))
    return found


def _type_name(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _sorted(kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    return tuple(sorted(kinds, key=lambda kind: [*NAMES].index(kind.name)))


def _exactness(kinds: tuple[Kind, ...]) -> int:
    """How much a comment says: 2 with a range, 1 with the type of elements, else 0."""
    return 2 * any(kind.range for kind in kinds) or any(kind.many for kind in kinds)


def _is_optional(key: str) -> bool:
    return key in OPTIONAL_KEYS or key.endswith("_FIELD")
