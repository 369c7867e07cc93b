"""RecBole's Dataset, working on numpy 2 and pandas 3, in true time order, with clear errors.

The methods that are overridden here have the meaning and the results that they have in RecBole on
the libraries that it was written for.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType

from recbole_genrec.data.repair.columns import discretize, flat, like, pad, rows
from recbole_genrec.data.repair.filtering import FilteredDataset
from recbole_genrec.data.repair.loading import SEQUENCES
from recbole_genrec.data.saved import save_dataset
from recbole_genrec.errors import InputError


class RepairedDataset(FilteredDataset):
    """The data set of general models."""

    # ---- ids, missing values and numbers

    def _remap(self, remap_list) -> None:
        """Number the tokens of one or more columns from 1 on in order of appearance; missing: 0."""
        if len(remap_list) == 0:
            return
        tokens, split_point = self._concat_remaped_tokens(remap_list)
        ids, found = pd.factorize(np.asarray(tokens, dtype=object))
        id_token = np.array(["[PAD]", *found], dtype=object)
        token_id = {token: index for index, token in enumerate(id_token)}
        parts = np.split(ids + 1, split_point)
        for (feat, field, ftype), new_ids in zip(remap_list, parts, strict=True):
            self.field2id_token.setdefault(field, id_token)
            self.field2token_id.setdefault(field, token_id)
            feat[field] = like(feat[field], new_ids) if ftype in SEQUENCES else new_ids

    def _fill_nan(self) -> None:
        for feat_name in self.feat_name_list:
            feat = getattr(self, feat_name)
            for field in feat:
                ftype = self.field2type[field]
                if ftype == FeatureType.TOKEN:
                    feat[field] = feat[field].fillna(0).astype(np.int64)
                elif ftype == FeatureType.FLOAT:
                    feat[field] = feat[field].fillna(feat[field].mean()).fillna(0.0)
                else:
                    dtype = np.int64 if ftype == FeatureType.TOKEN_SEQ else np.float64
                    empty = np.array([], dtype=dtype)
                    feat[field] = [empty if isinstance(x, float) else x for x in feat[field]]

    def _set_label_by_threshold(self) -> None:
        for field in self.config["threshold"] or {}:
            if field not in self.inter_feat:
                raise InputError(f"threshold: no column [{field}] of inter is loaded (load_col)")
        super()._set_label_by_threshold()

    def _normalize(self) -> None:
        """Scale the chosen float fields to [0, 1]; a constant field becomes 1."""
        fields = self.config["normalize_field"]
        if fields is not None and self.config["normalize_all"] is True:
            raise InputError("normalize_field and normalize_all cannot be set at the same time")
        if not fields:
            fields = self.float_like_fields if self.config["normalize_all"] else []
        for field in fields:
            if self._is_float_field(field, "normalize_field"):
                for feat in self.field2feats(field):
                    values = flat(feat[field])
                    low, high = values.min(), values.max()
                    scaled = (values - low) / (high - low) if high > low else np.ones_like(values)
                    feat[field] = like(feat[field], scaled)

    def _discretization(self) -> None:
        """Turn each numerical field into pairs (value, bucket) as RecBole's embeddings expect."""
        settings = self.config["discretization"] or {}
        for field in settings:
            if field not in self.config["numerical_features"]:
                raise InputError(f"discretization: [{field}] is not in numerical_features")
        for field in self.config["numerical_features"]:
            if field not in self.field2type:
                raise InputError(f"numerical_features: no column [{field}] is loaded (load_col)")
            for feat in self.field2feats(field):
                values = flat(feat[field])
                if field in settings:
                    buckets = discretize(values, settings[field])
                    self.field2bucketnum[field] = int(buckets.max() + 1)
                    pair = np.ones_like(buckets), buckets
                else:
                    pair = values, np.ones_like(values)
                if self.field2type[field] == FeatureType.FLOAT:
                    feat[field] = np.stack(pair, axis=-1).tolist()
                else:
                    columns = [like(feat[field], part) for part in pair]
                    feat[field] = list(zip(*columns, strict=True))

    def _is_float_field(self, field: str, key: str) -> bool:
        if field not in self.field2type:
            raise InputError(f"{key}: there is no column [{field}]")
        floats = self.field2type[field] in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)
        if not floats:
            self.logger.warning(f"{field} is no float field: {key} leaves it as it is.")
        return floats

    def _del_col(self, feat, field) -> None:
        del feat[field]
        self._forget(field)

    def _forget(self, field) -> None:
        for properties in (
            self.field2id_token,
            self.field2token_id,
            self.field2seqlen,
            self.field2source,
            self.field2type,
        ):
            properties.pop(field, None)

    # ---- tensors

    def _change_feat_format(self) -> None:
        """Sort by time, then turn the features into tensors, in which time has 24 bits only."""
        in_time_order = self.config["eval_args"]["order"] == "TO"
        if in_time_order and self.benchmark_filename_list is None:
            self.inter_feat = self.inter_feat.sort_values(self.time_field, kind="stable")
        super()._change_feat_format()

    def _dataframe_to_interaction(self, data: pd.DataFrame) -> Interaction:
        columns = {}
        for field in data:
            ftype, width = self.field2type[field], self.field2seqlen[field]
            numerical = field in self.config["numerical_features"]
            dtype = torch.float32 if "float" in ftype.value else torch.int64
            if ftype in SEQUENCES:
                parts = zip(*data[field], strict=True) if numerical else [data[field]]
                padded = [pad(list(part), width, dtype) for part in parts]
                columns[field] = torch.stack(padded, dim=-1) if numerical else padded[0]
            else:
                values = data[field].tolist() if numerical else data[field].to_numpy()
                columns[field] = torch.tensor(values, dtype=dtype)
        return Interaction(columns)

    def join(self, df: Interaction) -> Interaction:
        """Add the features of its users and items to a batch."""
        for field, feat in ((self.uid_field, self.user_feat), (self.iid_field, self.item_feat)):
            if feat is not None and field in df:
                df.update(rows(feat, df[field]))
        return df

    def sort(self, by, ascending=True) -> None:
        """Order the interactions by one field or several, the first one deciding first."""
        fields = [by] if isinstance(by, str) else by
        directions = [ascending] * len(fields) if isinstance(ascending, bool) else ascending
        for field, rising in reversed(list(zip(fields, directions, strict=True))):
            key = self.inter_feat[field]
            order = torch.argsort(key if key.dim() == 1 else key[..., 0], stable=True)
            self.inter_feat._reindex(order if rising else order.flip(0))

    def build(self) -> list:
        """The parts for training, validation and test.

        Raises:
            InputError: if there are not three, or none of the samples is for training.
        """
        parts = super().build()
        if len(parts) != 3:
            raise InputError(
                f"data set [{self.dataset_name}]: expected three parts, for training, validation "
                f"and test, found {len(parts)} (eval_args {self.config['eval_args']}, "
                f"benchmark_filename {self.benchmark_filename_list})"
            )
        if len(parts[0]) == 0:
            raise InputError(
                f"data set [{self.dataset_name}]: no training sample is left after filtering and "
                f"splitting (eval_args {self.config['eval_args']})"
            )
        for name, part in zip(("validation", "test"), parts[1:], strict=True):
            if len(part) == 0:
                self.logger.warning(f"There are no {name} samples.")
        return parts

    def leave_one_out(self, group_by, leave_one_mode) -> list:
        """Split off the last samples of each group; groups stand in order of their first sample."""
        parts = {"valid_and_test": (1, 0), "valid_only": (0, None), "test_only": (None, 0)}
        if group_by is None or leave_one_mode not in parts:
            raise InputError(
                f"eval_args: LS should be one of {', '.join(parts)}, found [{leave_one_mode}]"
            )
        group = self.inter_feat[group_by].numpy()
        _, first, place, sizes = np.unique(
            group, return_index=True, return_inverse=True, return_counts=True
        )
        order = np.argsort(first[place], kind="stable")
        size = sizes[place][order]
        starts = np.r_[True, np.diff(group[order]) != 0]
        number = np.arange(len(order))
        from_end = size - 1 - (number - np.maximum.accumulate(np.where(starts, number, 0)))
        wanted = sum(part is not None for part in parts[leave_one_mode])
        left_out = from_end < np.minimum(wanted, size - 1)  # one sample always stays for training
        indices = [order[~left_out]]
        indices += [order[left_out & (from_end == part)] for part in parts[leave_one_mode]]
        self._drop_unused_col()
        return [self.copy(rows(self.inter_feat, index)) for index in indices]

    def save(self) -> None:
        """Write the filtered data set into `checkpoint_dir`."""
        name = f"{self.config['dataset']}-{type(self).__name__}.pth"
        file = Path(self.config["checkpoint_dir"]) / name
        save_dataset(self, file)
        self.logger.info(f"Saved the data set; to use it again, add --dataset_save_path={file}")
