"""The filters of RecBole's Dataset, without the in-place changes that pandas gives up."""

import re
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import FeatureType, ModelType

from recbole_genrec.data.repair.loading import LoadedDataset
from recbole_genrec.errors import InputError

EVERY_NUMBER = [("[", 0.0, float("inf"), ")")]  # RecBole's default interval, parsed


FILTERS = (
    *("rm_dup_inter", "val_interval", "user_inter_num_interval", "item_inter_num_interval"),
    "filter_inter_by_user_or_item",
)


class FilteredDataset(LoadedDataset):
    """RecBole's Dataset whose filters mean what they mean in RecBole, in its order of rows."""

    inter_feat: Any
    file_size_list: list[int]

    def _data_processing(self) -> None:
        if self.benchmark_filename_list is not None:  # RecBole filters nothing then
            self._check_parts()
        super()._data_processing()

    def _check_parts(self) -> None:
        """Pre-split files are taken as they are: each row needs its user and its item."""
        for field in (self.uid_field, self.iid_field):
            missing = np.flatnonzero(self.inter_feat[field].isna())
            if len(missing):
                raise InputError(f"{self._place(missing[0])}: column [{field}] is empty")
        given = self.config.external_config_dict
        self._check_times()
        self._check_nothing_leaks()
        without_effect = [key for key in FILTERS if given.get(key)]
        if without_effect:
            self.logger.warning(
                f"Files that are split already (benchmark_filename) are not filtered: "
                f"{', '.join(without_effect)} has no effect"
            )

    def _check_nothing_leaks(self) -> None:
        """Refuse an interaction that stands in several parts.

        Where there are no times, it is a user's item, which a user may come back to in a sequence,
        or where items of the history stay in the ranking. Labeled rows may be equal.
        """
        timed = self.time_field in self.inter_feat
        comes_back = self.config["MODEL_TYPE"] == ModelType.SEQUENTIAL or self.config["repeatable"]
        labeled = "labeled" in self.config["eval_args"]["mode"].values()
        if labeled or (comes_back and not timed):
            return
        event = [self.uid_field, self.iid_field, *([self.time_field] if timed else [])]
        events = self.inter_feat[event].reset_index(drop=True)
        part = np.repeat(np.arange(len(self.file_size_list)), self.file_size_list)
        of_parts = events.assign(part=part).drop_duplicates()
        twice = of_parts.index[of_parts.duplicated(event)]
        if len(twice):
            same = (events == events.iloc[twice[0]]).all(axis=1)
            raise InputError(
                f"{self._place(twice[0])}: this interaction also stands in "
                f"{self._place(same.idxmax())}; the parts of a split have none in common"
            )

    def _place(self, row: int) -> str:
        """File and line of a row of the interactions, as long as none has been left out."""
        folder, name = Path(self.dataset_path), self.dataset_name
        if self.benchmark_filename_list is None:
            return f"{folder / name}.inter, line {row + 2}"
        ends = np.cumsum(self.file_size_list)
        part = int(np.searchsorted(ends, row, side="right"))
        line = row - (ends[part] - self.file_size_list[part]) + 2
        return f"{folder / name}.{self.benchmark_filename_list[part]}.inter, line {line}"

    def _filter_nan_user_or_item(self) -> None:
        for field, name in ((self.uid_field, "user"), (self.iid_field, "item")):
            for feat_name in (f"{name}_feat", "inter_feat"):
                feat = getattr(self, feat_name)
                if feat is None or field is None:
                    continue
                missing = feat[field].isna()
                if missing.any():
                    lines = (feat.index[missing] + 2).tolist()
                    self.logger.warning(
                        f"In {feat_name}, line {lines}, {field} do not exist, "
                        "so they will be removed."
                    )
                    setattr(self, feat_name, feat[~missing])
        self._check_times()

    def _check_times(self) -> None:
        """What has no time has no place in an order by time; elsewhere it gets the mean time."""
        in_time_order = self.config["eval_args"]["order"] == "TO"
        if self.time_field not in self.inter_feat:
            return
        file = Path(self.dataset_path) / f"{self.dataset_name}.inter"
        column = f"{file}: column [{self.time_field}] (TIME_FIELD)"
        if in_time_order and self.field2type[self.time_field] != FeatureType.FLOAT:
            kind = self.field2type[self.time_field].value
            raise InputError(f"{column} should be of type float to order by it, found {kind}")
        missing = self.inter_feat[self.time_field].isna()
        if missing.any():
            first = self._place(self.inter_feat.index[missing][0])
            found = f"{column} is missing in {missing.sum()} rows, first in {first}"
            if in_time_order:
                raise InputError(f"{found}: eval_args order TO needs the time of every row")
            self.logger.warning(f"{found}: they get the mean")

    def _remove_duplication(self) -> None:
        keep = self.config["rm_dup_inter"]
        if keep is None:
            return
        self._check_field("uid_field", "iid_field")
        if self.time_field in self.inter_feat:
            self.inter_feat = self.inter_feat.sort_values(self.time_field, kind="stable")
        else:
            self.logger.warning(
                f"No column [{self.time_field}] is loaded: rm_dup_inter [{keep}] goes by file order"
            )
        self.inter_feat = self.inter_feat.drop_duplicates(
            [self.uid_field, self.iid_field], keep=keep
        )

    def _filter_by_field_value(self) -> None:
        for field, interval in (self.config["val_interval"] or {}).items():
            key = f"val_interval {field}"
            if field not in self.field2type:
                raise InputError(f"val_interval: there is no column [{field}]")
            if self.field2type[field] in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
                raise InputError(f"{key}: a column of sequences cannot be filtered by value")
            floats = self.field2type[field] == FeatureType.FLOAT
            if not floats and not isinstance(interval, list):
                raise InputError(f"{key} should be a list of tokens, found [{interval}]")
            intervals = parse_intervals(key, interval) if floats else None
            for feat_name in self.feat_name_list:
                feat = getattr(self, feat_name)
                if field in feat:
                    values = feat[field]
                    kept = (
                        self._within_intervals(values, intervals)
                        if floats
                        else values.isin([str(token) for token in interval])
                    )
                    setattr(self, feat_name, feat[kept])

    def _filter_inter_by_user_or_item(self) -> None:
        if self.config["filter_inter_by_user_or_item"] is not True:
            return
        for field, feat in ((self.uid_field, self.user_feat), (self.iid_field, self.item_feat)):
            if feat is not None:
                self.inter_feat = self.inter_feat[self.inter_feat[field].isin(feat[field])]

    def _filter_by_inter_num(self) -> None:
        """Drop users and items with too few or too many interactions until none is left."""
        if self.uid_field is None or self.iid_field is None:
            return
        keys = {
            self.uid_field: "user_inter_num_interval",
            self.iid_field: "item_inter_num_interval",
        }
        allowed = {
            field: parse_intervals(key, self.config[key])
            for field, key in keys.items()
            if self.config[key] is not None
        }
        allowed = {field: found for field, found in allowed.items() if found != EVERY_NUMBER}
        banned: dict[str, list] = {field: [] for field in allowed}
        while True:
            kept = pd.Series(True, index=self.inter_feat.index)
            for field, intervals in allowed.items():
                counts = self.inter_feat[field].value_counts()
                illegal = counts.index[~self._within_intervals(counts.to_numpy(), intervals)]
                banned[field].extend(illegal)
                kept &= ~self.inter_feat[field].isin(illegal)
            if kept.all():
                break
            self.inter_feat = self.inter_feat[kept]
        for feat_name, field in (("user_feat", self.uid_field), ("item_feat", self.iid_field)):
            feat = getattr(self, feat_name)
            if feat is not None and field in allowed:
                counts = feat[field].map(self.inter_feat[field].value_counts()).fillna(0)
                kept = (counts >= allowed[field][0][1]) & ~feat[field].isin(banned[field])
                setattr(self, feat_name, feat[kept])

    def _reset_index(self) -> None:
        for feat_name in self.feat_name_list:
            feat = getattr(self, feat_name)
            if feat.empty:
                raise InputError(
                    f"data set [{self.dataset_name}]: nothing is left of {feat_name} after the "
                    "filters (user_inter_num_interval, item_inter_num_interval, val_interval)"
                )
            setattr(self, feat_name, feat.reset_index(drop=True))


def parse_intervals(key: str, text: Any) -> list[tuple[str, float, float, str]]:
    """RecBole's form of `"[1,5)"` or `"[1,2];(8,inf)"`: opening bracket, ends, closing bracket.

    Raises:
        InputError: naming `key` where RecBole would pass over what it cannot read.
    """
    intervals = []
    for part in str(text).split(";"):
        found = re.fullmatch(r"\s*([\[(])([^,]+),([^,]+)([\])])\s*", part)
        try:
            low, high = map(float, found.group(2, 3)) if found else (nan, nan)
        except ValueError:
            low, high = nan, nan
        if found is None or not low <= high:
            raise InputError(f'{key} should be an interval such as "[5,inf)", found [{text}]')
        intervals.append((found[1], low, high, found[4]))
    return intervals
