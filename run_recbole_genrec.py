"""Train and evaluate a model as RecBole's run_recbole.py does: --model=M --dataset=D --key=value"""

import sys

from recbole_genrec.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
