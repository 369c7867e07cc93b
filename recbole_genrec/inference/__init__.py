"""What trained models recommend, for histories that no data set holds."""

from recbole_genrec.inference.recommender import Recommender

__all__ = ["Recommender"]
