"""What RecBole's knowledge-aware models read beside interactions: triples and links to them."""

from pathlib import Path

import pandas as pd
from recbole.data.dataset import KnowledgeBasedDataset

from recbole_genrec.atomic_file import check_some_in_common
from recbole_genrec.errors import InputError


class LinkedItems(KnowledgeBasedDataset):
    """RecBole's, which refuses links that lead nowhere and says what goes without them.

    Only interactions with items that are linked to an entity of the triples are kept.
    """

    def _check_kg(self, kg: pd.DataFrame) -> None:
        for key in ("HEAD_ENTITY_ID_FIELD", "TAIL_ENTITY_ID_FIELD", "RELATION_ID_FIELD"):
            self._need_column(key, kg, "kg")

    def _check_link(self, link: pd.DataFrame) -> None:
        for key in ("ITEM_ID_FIELD", "ENTITY_ID_FIELD"):
            self._need_column(key, link, "link")
        items = self.inter_feat[self.iid_field]
        ends = [self.head_entity_field, self.tail_entity_field]
        entities = self.kg_feat[ends].to_numpy().ravel()
        for field, names, where in (
            (self.iid_field, items, "the interactions"),
            (self.entity_field, entities, "the triples"),
        ):
            check_some_in_common(self._file("link"), field, link[field], names, where)

    def _filter_link(self) -> None:
        before = len(self.inter_feat)
        super()._filter_link()
        lost = before - len(self.inter_feat)
        link = self._file("link")
        if lost == before:
            raise InputError(
                f"{link} links no item of the interactions to an entity of the triples"
            )
        if lost:
            self.logger.warning(
                f"{lost} of {before} interactions are left out: {link} links their items to no "
                "entity of the triples"
            )

    def _need_column(self, key: str, table: pd.DataFrame, suffix: str) -> None:
        field = self.config[key]
        if field not in table:
            raise InputError(
                f"{self._file(suffix)}: no column [{field}] ({key}) among those loaded, "
                f"{list(table.columns)}"
            )

    def _file(self, suffix: str) -> Path:
        return Path(self.dataset_path) / f"{self.dataset_name}.{suffix}"
