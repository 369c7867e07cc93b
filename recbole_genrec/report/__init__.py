"""What people read of a comparison: tables in five forms and a page in HTML."""

from recbole_genrec.report.write import terminal_report, write_report

__all__ = ["terminal_report", "write_report"]
