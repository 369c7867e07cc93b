"""The tables and figures of the papers by one command each.

experiments  what each is made of, as data
run          finishes its runs, compares them, has it drawn
tables       tables beyond that of the metrics
figures      figures of finished runs
surveys      what needs a data set and its semantic IDs alone
"""

from recbole_genrec.reproduce.experiments import EXPERIMENTS
from recbole_genrec.reproduce.run import reproduce

__all__ = ["EXPERIMENTS", "reproduce"]
