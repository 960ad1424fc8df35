from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmcr.cli import COMMANDS, call, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: cmcr {command}" in capsys.readouterr().out


def test_what_the_user_can_mend_is_one_message_without_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["subset", "--index", str(tmp_path / "no.jsonl"), "--percent", "10", "--rule", "scan", "--output", "x"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"cmcr subset: {tmp_path / 'no.jsonl'}")
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "free space on that disk"),
        (errno.EROFS, "mount that file system"),
        (errno.EACCES, "get the right"),
    ],
)
def test_what_the_system_refuses_is_one_message_and_what_is_a_defect_has_its_trace(
    capsys: pytest.CaptureFixture[str], number: int, reason: str
) -> None:
    def refused(_: argparse.Namespace) -> None:
        raise OSError(number, os.strerror(number), "/results/a.csv")

    assert call("tables", refused, argparse.Namespace()) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"cmcr tables: /results/a.csv\n  expected: to be allowed to write it\n  found:    {os.strerror(number)}"
    )
    assert reason in error

    def defect(_: argparse.Namespace) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "/gone")

    with pytest.raises(FileNotFoundError):
        call("tables", defect, argparse.Namespace())


def test_products_of_matrices_do_not_depend_on_the_number_of_cores() -> None:
    code = (
        "from cmcr.cli import main; main(['methods']); import numpy; from threadpoolctl import threadpool_info\n"
        "print([pool['num_threads'] for pool in threadpool_info() if pool['internal_api'] == 'openblas'])"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = done.stdout.splitlines()[-1]
    assert set(found.strip("[]").split(", ")) == {"1"}


def test_show_says_how_to_make_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path)]) == 1
    assert "no tables here" in capsys.readouterr().err
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "segmentation.md").write_text("a table")
    (tmp_path / "tables" / "segmentation_per_class.md").write_text("a longer one")
    (tmp_path / "tables" / "diagnostics.md").write_text("what lies behind it")
    assert main(["show", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "a table" in printed
    assert "a longer one" not in printed
    assert printed.index("a table") < printed.index("what lies behind it")
    assert str(tmp_path / "tables") in printed


def test_methods_lists_the_broken_beside_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("class A(B):\n    pass\n")
    assert main(["methods", "--plugin-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "ppkt" in printed
    assert f"{tmp_path / 'broken.py'}:1" in printed
