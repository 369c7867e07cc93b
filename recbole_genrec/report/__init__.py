"""What people read of a comparison: tables in five forms and a page in HTML."""

from recbole_genrec.report.write import publish, write_report

__all__ = ["publish", "write_report"]
