"""Text from elsewhere on a terminal and in logs: it can neither steer the one nor forge a line of the other."""

from __future__ import annotations

import logging


def printable(text: str) -> str:
    """Return ``text`` with every character that is not printed as its escape, all but spaces and line ends.

    That takes the power from control sequences of terminals, from characters that turn the direction of writing, and
    from lone surrogates, which no stream can write.
    """
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def indented(text: str) -> str:
    """Return `printable` text whose later lines are set in, so that none of them looks like a line of ours."""
    return printable(text).replace("\n", "\n            ")


class PlainFormatter(logging.Formatter):
    """Lines of a log as they are, whatever names the data have: one record cannot look like two."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Put time and message together; a trace that follows is not touched."""
        record.message = indented(record.message)
        return super().formatMessage(record)
