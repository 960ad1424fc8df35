"""Opening nuScenes' tables with its devkit, so that what is wrong with a folder is said in one clear error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmcr.errors import DataError

if TYPE_CHECKING:
    from nuscenes import NuScenes

TABLES = (
    "attribute calibrated_sensor category ego_pose instance log map sample sample_annotation sample_data scene sensor "
    "visibility"
).split()

#: Tables that come with the separate label downloads; each has a folder of its name with one folder per version.
LABEL_TABLES = ("lidarseg", "panoptic")

_INCOMPLETE = "was the archive unpacked in full, into this folder?"


def open_tables(root: Path, version: str) -> NuScenes:
    """Load all tables of ``version`` below ``root``.

    Raises:
        DataError: the folder or a table is missing or damaged, a label file is missing, or a token points nowhere.
    """
    # The devkit takes seconds to import and changes a global limit of Pillow; only those who make an index pay for it.
    from nuscenes import NuScenes

    tables = root / version
    _check_folder(root, version)
    for name in LABEL_TABLES:
        _check_label_files(root, version, name)
    try:
        return NuScenes(version=version, dataroot=str(root), verbose=False)
    except json.JSONDecodeError:
        raise _damaged_table(tables) from None
    except KeyError as error:
        raise missing_key(tables, error) from None
    except (AssertionError, OSError) as error:
        raise DataError.at(tables, expected="tables that fit the files", found=str(error), fix=_INCOMPLETE) from None


def missing_key(tables: Path, error: KeyError) -> DataError:
    """Explain a `KeyError` met on a walk through the tables in folder ``tables``: who refers to what is not there."""
    key = error.args[0]
    for name, record in _records(tables):
        for field, value in record.items():
            if field != "token" and (value == key or (isinstance(value, list) and key in value)):
                return DataError.at(
                    tables / f"{name}.json",
                    expected=f"{field} of record {record.get('token')} to be the token of a record",
                    found=f"{key}, which no record has",
                    fix=_INCOMPLETE,
                )
    return DataError.at(tables, expected=f"records with the key {key!r}", found="one without it", fix=_INCOMPLETE)


def _check_folder(root: Path, version: str) -> None:
    if not root.is_dir():
        raise DataError.at(root, expected="a nuScenes folder", found="no such folder", fix="correct the data set's root")
    tables = root / version
    if not tables.is_dir():
        present = sorted(path.parent.name for path in root.glob("*/scene.json"))
        raise DataError.at(
            tables,
            expected=f"the tables of {version}",
            found=f"no such folder; versions here: {', '.join(present) or 'none'}",
            fix="correct the data set's root or version",
        )
    missing = [f"{name}.json" for name in TABLES if not (tables / f"{name}.json").is_file()]
    if missing:
        raise DataError.at(
            tables / missing[0],
            expected=f"all {len(TABLES)} tables of {version}",
            found=f"no such file ({len(missing)} missing: {', '.join(missing)})",
            fix=_INCOMPLETE,
        )


def _check_label_files(root: Path, version: str, name: str) -> None:
    """Look for every file of label table ``name``; the devkit would only compare their number."""
    table, folder = root / version / f"{name}.json", root / name / version
    if not table.exists():
        if folder.is_dir():
            raise DataError.at(
                table, expected=f"a table for the label files in {folder}", found="no such file", fix=_INCOMPLETE
            )
        return
    try:
        records = json.loads(table.read_bytes())
    except ValueError:
        raise _damaged_table(table.parent) from None
    missing = [record["filename"] for record in records if not (root / record["filename"]).is_file()]
    if missing:
        raise DataError.at(
            root / missing[0],
            expected=f"each of the {len(records)} label files that {table.name} names",
            found=f"no such file (and {len(missing) - 1} more missing)",
            fix=_INCOMPLETE,
        )


def _records(tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in (*TABLES, *LABEL_TABLES):
        path = tables / f"{name}.json"
        if path.exists():
            for record in json.loads(path.read_bytes()):
                yield name, record


def _damaged_table(tables: Path) -> DataError:
    for path in sorted(tables.glob("*.json")):
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            return DataError.at(path, expected="a table in JSON", found=f"damaged: {error}", fix=_INCOMPLETE)
    return DataError.at(tables, expected="tables in JSON", found="a damaged one", fix=_INCOMPLETE)
