"""Errors that a user can act on.

Every message names the file (or the option), what was expected, what was found, and the way out. The command line
prints such an error as one message without a traceback; anything else is a defect of this project.
"""

from __future__ import annotations

from pathlib import Path

from cmcr.printable import indented


class CMCRError(Exception):
    """Base of all errors that come from input, configuration or weights rather than from a defect."""


class ConfigError(CMCRError):
    """A configuration key is missing, mistyped or has a value that cannot work."""


class DataError(CMCRError):
    """A data set's file or table is missing, damaged or contradicts another one."""

    @classmethod
    def at(cls, path: Path | str, *, expected: str, found: str, fix: str = "") -> DataError:
        """Build the message from its parts, always in the same order. What the parts quote cannot pass for a part."""
        lines = [indented(str(path)), f"  expected: {indented(expected)}", f"  found:    {indented(found)}"]
        if fix:
            lines.append(f"  way out:  {indented(fix)}")
        return cls("\n".join(lines))


class MissingError(CMCRError):
    """Data sets or weights that a run is to read are not there; the message names all of them."""


class WeightsError(CMCRError):
    """A weight file is missing, unsafe to read, or does not fit the network."""


class OutputError(CMCRError):
    """A file cannot be written: the disk is full, the file system is read-only, the user may not write there."""


class PluginError(CMCRError):
    """A method's plug-in file is broken or does not keep the contract."""


class ScoresError(CMCRError):
    """A scores file is damaged, was edited, or belongs to another version."""
