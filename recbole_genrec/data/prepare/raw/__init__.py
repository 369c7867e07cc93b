"""Raw data as their publishers hand them out, one source per file."""

from recbole_genrec.data.prepare.raw.amazon import AMAZON_2014, AMAZON_2018, AMAZON_2023
from recbole_genrec.data.prepare.raw.movielens import ML_1M, ML_100K, ML_LATEST
from recbole_genrec.data.prepare.raw.yelp import YELP

SOURCES = {
    "amazon2014": AMAZON_2014,
    "amazon2018": AMAZON_2018,
    "amazon2023": AMAZON_2023,
    "yelp": YELP,
    "ml-100k": ML_100K,
    "ml-1m": ML_1M,
    "ml-latest": ML_LATEST,
}
