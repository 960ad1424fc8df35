"""Records of runs as JSON files that carry a checksum of their own content.

So a number changed by hand is noticed before it reaches a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cmcr.errors import ScoresError
from cmcr.files import sha256_of_json, write_json
from cmcr.reading import parse_json, read_text, reason_of

SCHEMA_VERSION: Final[Literal[1]] = 1

#: Ids stand in file names and in wildcards of rules.
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
#: One line of free text.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]


class Record(BaseModel):
    """Closed and immutable: an unknown field or a value of another type is an error, and so is NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnyRecord = TypeVar("AnyRecord", bound=Record)


def write_record(path: Path | str, record: Record) -> None:
    """Write ``record`` with the checksum of its content, atomically."""
    content = record.model_dump(mode="json")
    write_json(path, {**content, "checksum": sha256_of_json(content)})


def read_record(path: Path | str, kind: type[AnyRecord], what: str) -> AnyRecord:
    """Read and check a file written by `write_record`.

    Args:
        path: the file.
        kind: the record it should hold; it has a field ``schema_version``.
        what: its name in messages.

    Raises:
        ScoresError: the file is missing, no JSON, of another schema version, has a field too few or too many or of
            the wrong kind, or its content does not fit its checksum.
    """
    path = Path(path)
    content = _read_object(path, what)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ScoresError(
            f"{path}\n  expected: schema_version {SCHEMA_VERSION}\n  found:    {version!r}\n"
            "  way out:  read it with the version of this project that wrote it, or run the job again"
        )
    checksum = content.pop("checksum", None)
    try:
        record, expected = kind.model_validate(content), sha256_of_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the record"
        raise ScoresError(
            f"{path}: {field}: {first['msg']} ({error.error_count()} problem(s) in all)\n"
            "  way out:  delete the file and run the job again"
        ) from error
    if checksum != expected:
        raise ScoresError(
            f"{path}: the content does not fit the file's own checksum, so it was edited after the run\n"
            f"  expected: {expected}\n  found:    {checksum}\n"
            "  way out:  delete the file and run the job again"
        )
    return record


def _read_object(path: Path, what: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ScoresError(f"{path}: {constant} is not a score; a missing number is null with a reason")

    try:
        content = parse_json(read_text(path), refuse)
    except FileNotFoundError as error:
        raise ScoresError(f"{path}: no such {what} file\n  way out:  run the job that makes it") from error
    except OSError as error:
        raise ScoresError(f"{path}\n  expected: a {what} file\n  found:    {reason_of(error)}") from error
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        raise ScoresError(
            f"{path}: not a JSON file: {error}\n  way out:  delete the file and run the job again"
        ) from error
    if not isinstance(content, dict):
        raise ScoresError(f"{path}\n  expected: a JSON object\n  found:    {type(content).__name__}")
    return content
