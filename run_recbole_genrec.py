"""Train and evaluate a model as RecBole's run_recbole.py does: --model=M --dataset=D --key=value"""

from recbole_genrec.cli import run

if __name__ == "__main__":
    run()
