"""`python -m recbole_genrec <command>`, where the command `recbole-genrec` is not on the path."""

from recbole_genrec.cli import main

if __name__ == "__main__":
    main()
