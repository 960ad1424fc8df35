"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

#: Seconds between two lines of a log.
LINE_EVERY_S = 30.0


def progress(items: Iterable[Item], total: int, what: str, logger: logging.Logger) -> Iterator[Item]:
    """Yield ``items``, showing how far it is: ``what`` stands in front, as in ``scoring 120/6019``."""
    if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
        yield from tqdm(items, desc=what, total=total, leave=False)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_EVERY_S or (done == total and now - started >= LINE_EVERY_S):
            logger.info("%s %d/%d  %.0f s left", what, done, total, (now - started) / done * (total - done))
            last = now
