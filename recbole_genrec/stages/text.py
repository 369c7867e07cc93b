"""From the `.item` file, or from embeddings of the user's, to the embeddings "text"."""

from __future__ import annotations

from logging import getLogger

from recbole_genrec.items.embedding_file import EmbeddingFile
from recbole_genrec.items.embeddings import FileSource, TextSource, build_item_embeddings
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import TEXT
from recbole_genrec.items.text_encoder import TextEncoder, build_text_encoder
from recbole_genrec.items.texts import check_text_fields, find_text_fields, log_gaps, read_items
from recbole_genrec.stages.base import cache_root


class ReadItems:
    """Reads the texts and titles of all items; the first stage, since all others take minutes.

    Args:
        needs_texts: whether texts will be encoded; else titles are read where they are to be had.
    """

    def __init__(self, needs_texts: bool) -> None:
        self.needs_texts = needs_texts

    def check(self, config, dataset) -> None:
        if self.needs_texts:
            check_text_fields(config)

    def run(self, config, dataset, items: Items) -> None:
        _, fault = find_text_fields(config)
        if fault is not None:  # only where texts are not needed
            getLogger().info(f"Items go without titles: {fault}")
            return
        read = read_items(config, items.tokens)
        items.titles = read.titles
        if self.needs_texts:
            log_gaps(config, items.tokens, read)
            items.texts = read.texts


class TextEmbeddings:
    """The embeddings "text", of the texts that `ReadItems` has read."""

    encoder: TextEncoder

    def check(self, config, dataset) -> None:
        self.encoder = build_text_encoder(
            config["text_encoder"],
            config["text_embedding_dim"],
            config["device"],
            config["text_batch_size"],
        )

    def run(self, config, dataset, items: Items) -> None:
        source = TextSource(self.encoder, items.texts)
        items.embeddings[TEXT] = build_item_embeddings(
            config, items.tokens, source, cache_root(config)
        )


class GivenEmbeddings:
    """The embeddings "text", of `item_embedding_file` in place of texts."""

    file: EmbeddingFile

    def check(self, config, dataset) -> None:
        path, ids = config["item_embedding_file"], config["item_embedding_ids"]
        self.file = EmbeddingFile(path, ids, dataset.item_tokens[1:])

    def run(self, config, dataset, items: Items) -> None:
        source = FileSource(self.file)
        items.embeddings[TEXT] = build_item_embeddings(
            config, items.tokens, source, cache_root(config)
        )
