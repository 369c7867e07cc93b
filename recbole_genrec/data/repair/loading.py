"""How RecBole's Dataset reads its files, on current libraries and with clear errors."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset
from recbole.utils import FeatureSource, FeatureType, set_color
from recbole.utils.url import decide_download, download_url, extract_zip, rename_atomic_files

from recbole_genrec.data.repair.atomic_file import read_atomic_file, read_header
from recbole_genrec.errors import InputError

SEQUENCES = (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ)


class LoadedDataset(Dataset):
    """RecBole's Dataset whose files are read by `read_atomic_file`, and downloaded as a whole."""

    def _download(self) -> None:
        """Fetch the data set into a folder beside its place, which it takes only when complete."""
        url = self._get_download_url("url")
        self.logger.info(f"Prepare to download dataset [{self.dataset_name}] from [{url}].")
        try:
            self._download_into(Path(self.dataset_path), url)
        except (OSError, BadZipFile) as error:
            raise InputError(
                f"there is no folder {self.dataset_path}, and the download of [{url}] failed: "
                f"{error}"
            ) from error
        self.logger.info("Downloading done.")

    def _download_into(self, target: Path, url: str) -> None:
        if not decide_download(url):
            raise InputError(f"there is no folder {target}, and its download was declined")
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent) as temporary:
            folder = Path(temporary) / target.name
            archive = Path(download_url(url, str(folder)))
            extract_zip(str(archive), str(folder))
            archive.unlink()
            rename_atomic_files(str(folder), archive.stem, self.dataset_name)
            os.replace(folder, target)

    def _load_inter_feat(self, token, dataset_path) -> None:
        parts = self.benchmark_filename_list or []
        for name in [f"{token}.{part}.inter" for part in parts] or [f"{token}.inter"]:
            if not (Path(dataset_path) / name).is_file():
                raise InputError(f"there is no file {Path(dataset_path) / name}")
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
        for field, ftype in columns.items():
            if ftype in SEQUENCES:
                feat[field] = self._split_sequences(feat[field], field, ftype, filepath)
        return feat

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

    def _set_alias(self, alias_name, default_value) -> None:
        key = f"alias_of_{alias_name}"
        for field in self.config[key] or []:
            if field not in self.token_like_fields:
                raise InputError(
                    f"{key}: no token column [{field}] among those loaded, {self.token_like_fields}"
                )
        super()._set_alias(alias_name, default_value)

    def _split_sequences(self, cells: pd.Series, field, ftype, filepath) -> list[np.ndarray]:
        """Cells of words or numbers to arrays, at most `seq_len` long; missing cells are empty."""
        separator, dtype = self.config["seq_separator"], str
        longest = (self.config["seq_len"] or {}).get(field)
        if ftype == FeatureType.FLOAT_SEQ:
            dtype = np.float64
        try:
            sequences = [
                np.array([word for word in cell.split(separator) if word], dtype=dtype)[:longest]
                for cell in cells.fillna("")
            ]
        except ValueError as error:
            raise InputError(f"{filepath}: column [{field}] of type float_seq: {error}") from error
        self.field2seqlen[field] = max(map(len, sequences), default=0)
        return sequences
