"""Item embeddings in, unique semantic IDs out."""

from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.registry import create_tokenizer
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

__all__ = ["ItemTokenizer", "SemanticIDs", "create_tokenizer", "resolve_collisions"]
