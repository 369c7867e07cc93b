"""How RecBole's Dataset reads its files, on current libraries and with clear errors."""

import glob
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset
from recbole.utils import FeatureSource, FeatureType, set_color

from recbole_genrec.atomic_file import (
    check_some_in_common,
    read_atomic_file,
    read_header,
)
from recbole_genrec.data.repair.download import download
from recbole_genrec.errors import InputError, first_few

SEQUENCES = (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ)


class LoadedDataset(Dataset):
    """RecBole's Dataset whose files are read by `read_atomic_file`, and downloaded as a whole."""

    _rest_fields: Any

    def _download(self) -> None:
        url = self._get_download_url("url")
        self.logger.info(f"Prepare to download dataset [{self.dataset_name}] from [{url}].")
        download(url, Path(self.dataset_path), self.dataset_name)
        self.logger.info("Downloading done.")

    def _load_data(self, token, dataset_path) -> None:
        super()._load_data(token, dataset_path)
        for feat, field, suffix in (
            (self.user_feat, self.uid_field, "user"),
            (self.item_feat, self.iid_field, "item"),
        ):
            if feat is not None:
                path = Path(dataset_path) / f"{token}.{suffix}"
                check_some_in_common(path, field, feat[field], self.inter_feat[field])

    def _load_inter_feat(self, token, dataset_path) -> None:
        parts = self.benchmark_filename_list or []
        for name in [f"{token}.{part}.inter" for part in parts] or [f"{token}.inter"]:
            file = Path(dataset_path) / name
            if not file.is_file():
                packed = next(file.parent.glob(f"{glob.escape(name)}.*"), None)
                found = f", only {packed.name} (unpack or rename it)" if packed else ""
                raise InputError(f"there is no file {file}{found}")
        super()._load_inter_feat(token, dataset_path)
        needed = {"USER_ID_FIELD": self.uid_field, "ITEM_ID_FIELD": self.iid_field}
        if self.config["eval_args"]["order"] == "TO" and self.benchmark_filename_list is None:
            needed["TIME_FIELD"] = self.time_field
        for key, field in needed.items():
            if field is not None and field not in self.inter_feat:
                raise InputError(
                    f"{Path(dataset_path) / token}.inter: no column [{field}] ({key}) among those "
                    f"loaded, {list(self.inter_feat.columns)}"
                )
        for key in ("USER_ID_FIELD", "ITEM_ID_FIELD"):
            field = needed[key]
            if field is not None and self.field2type[field] != FeatureType.TOKEN:
                raise InputError(
                    f"{Path(dataset_path) / token}.inter: column [{field}] ({key}) should be of "
                    f"type token, found {self.field2type[field].value}"
                )

    def _load_user_or_item_feat(self, token, dataset_path, source, field_name):
        path, field = Path(dataset_path) / f"{token}.{source.value}", getattr(self, field_name)
        feat = self._load_feat(str(path), source) if path.is_file() else None
        if feat is not None and field not in feat:
            key = "USER_ID_FIELD" if source == FeatureSource.USER else "ITEM_ID_FIELD"
            raise InputError(
                f"{path}: no column [{field}] ({key}) among those loaded, {list(feat.columns)}"
            )
        if field in self.field2source:
            self.field2source[field] = FeatureSource(f"{source.value}_id")
        return None if feat is None else feat.drop_duplicates(field)

    def _load_feat(self, filepath, source) -> pd.DataFrame | None:
        self.logger.debug(set_color(f"Loading feature from [{filepath}] ({source}).", "green"))
        load_col, unload_col = self._get_load_and_unload_col(source)
        if load_col == set():
            return None
        separator, encoding = self.config["field_separator"], self.config["encoding"]
        header = read_header(filepath, separator, encoding)
        self._check_load_col(filepath, source, header)
        columns = {
            field: ftype
            for field, ftype in header.items()
            if (load_col is None or field in load_col) and field not in (unload_col or ())
        }
        if not columns:
            self.logger.warning(f"No columns has been loaded from [{source}]")
            return None
        if source != "link":
            for field, ftype in columns.items():
                self.field2source[field] = source
                self.field2type[field] = ftype
                self.field2seqlen[field] = 1
                if "float" in ftype.value:
                    self.field2bucketnum[field] = 2
        feat = read_atomic_file(filepath, columns, separator, encoding)
        if feat.empty and self.benchmark_filename_list is None:
            raise InputError(f"{filepath} has a header and no rows")
        self._check_finite(feat, filepath, source)
        for field, ftype in columns.items():
            if ftype in SEQUENCES:
                feat[field] = self._split_sequences(feat[field], field, ftype, filepath)
        return feat

    def _check_finite(self, feat, filepath, source) -> None:
        """No interaction has an infinite time or rating; other features lack the number then."""
        for field in feat.select_dtypes(np.floating):
            infinite = np.isinf(feat[field])
            if infinite.any():
                found = (
                    f"{filepath}, line {feat.index[infinite][0] + 2}: column [{field}] is infinite"
                )
                if source == FeatureSource.INTERACTION:
                    raise InputError(f"{found}, expected a finite number")
                self.logger.warning(f"{found}, in {infinite.sum()} rows in all: taken as missing")
                feat.loc[infinite, field] = np.nan

    def _check_load_col(self, filepath, source, header) -> None:
        """What the user asks to load must be there; the lists in property files may name more."""
        given = self.config.external_config_dict.get("load_col")
        suffix = source.value if isinstance(source, FeatureSource) else source
        wanted = given.get(suffix) if isinstance(given, dict) else None
        for field in wanted if isinstance(wanted, list) else []:
            if field not in header:
                raise InputError(
                    f"{filepath}: no column [{field}] (load_col); its columns are {list(header)}"
                )

    def _build_feat_name_list(self) -> list[str]:
        names = super()._build_feat_name_list()
        for source in self.config["unused_col"] or {}:
            if getattr(self, f"{source}_feat", None) is None:
                raise InputError(f"unused_col: nothing is loaded of [{source}], only {names}")
        return names

    # ---- which columns share their ids

    def _init_alias(self) -> None:
        """As in RecBole; besides, a column and its histories (`brand`, `brand_list`) share ids."""
        super()._init_alias()
        rest = [*self._rest_fields, *self._additional_tokens()]
        for alias in self.alias.values():
            rest = [field for field in rest if field not in alias]
        for field in rest:
            histories = field + self.config["LIST_SUFFIX"]
            if histories in rest:
                self.alias[field] = np.array([field, histories])
        paired = {name for field in rest if field in self.alias for name in self.alias[field]}
        self._rest_fields = np.array([field for field in rest if field not in paired], dtype=object)

    def _set_alias(self, alias_name, default_value) -> None:
        key = f"alias_of_{alias_name}"
        tokens = [*self.token_like_fields, *self._additional_tokens()]
        for field in self.config[key] or []:
            if field not in tokens:
                raise InputError(f"{key}: no token column [{field}] among those loaded, {tokens}")
        histories = [
            f"{field}{self.config['LIST_SUFFIX']}" for field in filter(None, default_value)
        ]
        histories = [field for field in histories if field in tokens]
        super()._set_alias(alias_name, [*default_value, *histories])

    def _additional_tokens(self) -> list[str]:
        """The columns of tokens in the files of `additional_feat_suffix`."""
        suffixes = self.config["additional_feat_suffix"] or []
        return [
            field
            for field, ftype in self.field2type.items()
            if self.field2source.get(field) in suffixes
            and ftype in (FeatureType.TOKEN, FeatureType.TOKEN_SEQ)
        ]

    def _remap_ID_all(self) -> None:
        """Number all tokens; additional files add no user and no item to those that there are."""
        additional = self._additional_tokens()
        for field in filter(self._is_token, additional):
            self._check_additional(field)
        for name, own in (("user_id", self.uid_field), ("item_id", self.iid_field)):
            for field in self.alias[name]:
                if field in additional and self._is_token(field):
                    known = pd.concat([feat[own] for feat in self.field2feats(own)])
                    feat_name = f"{self.field2source[field]}_feat"
                    feat = getattr(self, feat_name)
                    setattr(self, feat_name, feat[feat[field].isin(known)].reset_index(drop=True))
        super()._remap_ID_all()

    def _check_additional(self, field: str) -> None:
        """Refuse an additional file that says something of no token of the columns it is alias of.

        Args:
            field: its column of tokens; if it has weights, what goes without is said.
        """
        weights = field in (self.config["preload_weight"] or {})
        others = next((list(alias) for alias in self.alias.values() if field in alias), [])
        others = [other for other in others if other != field and self._is_token(other)]
        if weights and not others:
            self.logger.warning(
                f"preload_weight [{field}]: its tokens are numbered by themselves, as it is no "
                "alias of another column (alias_of_item_id)"
            )
        if not others:
            return
        source = self.field2source[field]
        file = Path(self.dataset_path) / f"{self.dataset_name}.{source}"
        known = pd.concat([feat[other] for other in others for feat in self.field2feats(other)])
        tokens, found = pd.Series(known.dropna().unique()), getattr(self, f"{source}_feat")[field]
        check_some_in_common(file, field, found, tokens, f"[{', '.join(others)}]")
        without = tokens[~tokens.isin(found)].tolist()
        if weights and without:
            self.logger.warning(
                f"preload_weight [{field}]: {file} lacks {len(without)} of {len(tokens)} tokens of "
                f"[{', '.join(others)}], whose weights are 0: {first_few(without)}"
            )

    def _is_token(self, field: str) -> bool:
        return self.field2type.get(field) == FeatureType.TOKEN

    def _preload_weight_matrix(self) -> None:
        """As in RecBole, but in the precision of the weights, with which models multiply them."""
        super()._preload_weight_matrix()
        for field, weights in self._preloaded_weight.items():
            self._preloaded_weight[field] = weights.astype(np.float32)

    def _split_sequences(self, cells: pd.Series, field, ftype, filepath) -> list[np.ndarray]:
        """Cells of words or numbers to arrays, at most `seq_len` long; missing cells are empty."""
        separator = self.config["seq_separator"]
        longest = (self.config["seq_len"] or {}).get(field)
        dtype = np.float64 if ftype == FeatureType.FLOAT_SEQ else str
        try:
            sequences = [
                np.array([word for word in cell.split(separator) if word], dtype=dtype)[:longest]
                for cell in cells.fillna("")
            ]
        except ValueError as error:
            raise InputError(f"{filepath}: column [{field}] of type float_seq: {error}") from error
        self.field2seqlen[field] = max(map(len, sequences), default=0)
        return sequences
