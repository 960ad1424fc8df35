"""Opening nuScenes' tables with its devkit, so that what is wrong with a folder is said in one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmcr.data.nuscenes_names import CATEGORIES
from cmcr.errors import DataError
from cmcr.reading import check_regular, parse_json, reason_of, size_of

if TYPE_CHECKING:
    from nuscenes import NuScenes

TABLES = (
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "log",
    "map",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)

#: Tables that come with the separate label downloads; each has a folder of its name with one folder per version.
LABEL_TABLES = ("lidarseg", "panoptic")

_INCOMPLETE = "was the archive unpacked in full, into this folder?"


def open_tables(root: Path, version: str) -> NuScenes:
    """Load all tables of ``version`` below ``root``.

    Raises:
        DataError: the folder or a table is missing or damaged, a label file is missing or in no table, the categories
            are not those of the labels, or a token points nowhere.
    """
    # The devkit takes seconds to import and changes a global limit of Pillow; only those who make an index pay for it.
    from nuscenes import NuScenes

    tables = root / version
    _check_folder(root, version)
    # What the devkit would say less clearly is looked at beforehand.
    labelled = [name for name in LABEL_TABLES if _check_label_files(root, version, name)]
    if labelled:
        _check_categories(tables / "category.json", labelled[0])
    try:
        nusc = NuScenes(version=version, dataroot=str(root), verbose=False)
    except KeyError as error:
        raise missing_key(tables, error) from None
    except Exception as error:  # the devkit has no errors of its own; whatever it raises, the tables are the reason
        for name in TABLES:
            path = tables / f"{name}.json"
            for record in _read_table(path):
                if not isinstance(record.get("token"), str):
                    found = repr(record.get("token"))
                    raise DataError.at(path, expected="records whose token is a text", found=found) from None
        raise misfit(tables, error) from error
    for name in TABLES:
        records = getattr(nusc, name)
        if not isinstance(records, list):
            _read_table(tables / f"{name}.json")
        if len({record["token"] for record in records}) < len(records):
            raise DataError.at(
                tables / f"{name}.json",
                expected="a token of its own for each record",
                found=f"the same token in two of {len(records)}",
                fix=_INCOMPLETE,
            )
    return nusc


def misfit(tables: Path, error: Exception) -> DataError:
    """Explain what the devkit, or a walk through the tables, stumbled over: a value of another kind."""
    found = f"{type(error).__name__}: {error}"
    return DataError.at(tables, expected="tables that fit the files and each other", found=found, fix=_INCOMPLETE)


def missing_key(tables: Path, error: KeyError) -> DataError:
    """Explain a `KeyError` met on a walk through the tables in folder ``tables``: who refers to what is not there."""
    key = error.args[0] if error.args else None
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
        raise DataError.at(
            root, expected="a nuScenes folder", found="no such folder", fix="correct the data set's root"
        )
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


def _check_label_files(root: Path, version: str, name: str) -> bool:
    """Say whether label table ``name`` is here; if so, its files must be, and no others. (The devkit counts them.)"""
    table, folder = root / version / f"{name}.json", root / name / version
    if not table.exists():
        if folder.is_dir():
            raise DataError.at(
                table, expected=f"a table for the label files in {folder}", found="no such file", fix=_INCOMPLETE
            )
        return False
    named = {root / str(record.get("filename")) for record in _read_table(table)}
    missing = sorted(path for path in named if size_of(path) is None)
    if missing:
        raise DataError.at(
            missing[0],
            expected=f"each of the {len(named)} label files that {table.name} names",
            found=f"no such file (and {len(missing) - 1} more missing)",
            fix=_INCOMPLETE,
        )
    nameless = sorted(path for path in folder.glob("*") if path.suffix in (".bin", ".npz") and path not in named)
    if nameless:
        raise DataError.at(
            nameless[0],
            expected=f"a record of this label file in {table}",
            found=f"none (nor for {len(nameless) - 1} others)",
            fix=_INCOMPLETE,
        )
    return True


def _check_categories(table: Path, label_table: str) -> None:
    found = {str(record.get("index")): record.get("name") for record in _read_table(table)}
    for number, (name, _) in enumerate(CATEGORIES):
        if found.get(str(number)) != name:
            raise DataError.at(
                table,
                expected=f"the {len(CATEGORIES)} categories that come with nuScenes-{label_table}; {number} is {name}",
                found=f"{number} is {found.get(str(number))}",
                fix="unpack the label download after the tables, so that its category.json replaces the older one",
            )


def _records(tables: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in (*TABLES, *LABEL_TABLES):
        path = tables / f"{name}.json"
        if path.exists():
            for record in _read_table(path):
                yield name, record


def _read_table(path: Path) -> list[dict[str, Any]]:
    try:
        check_regular(path)
        records = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        found = f"damaged: {reason_of(error)}"
        raise DataError.at(path, expected="a table in JSON", found=found, fix=_INCOMPLETE) from None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DataError.at(path, expected="a list of records in JSON", found="something else", fix=_INCOMPLETE)
    return records
