"""Every draw comes from one seeded generator that is handed down; a network's first weights alone from torch's own."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import JOB, run

from cmcr.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for package in ("cmcr", "baselines", "workflow") for path in (ROOT / package).rglob("*.py"))

#: What draws from torch's own generator unless another one is handed to it.
_DRAWS = {
    "rand",
    "randn",
    "randint",
    "randperm",
    "bernoulli",
    "multinomial",
    "normal",
    "poisson",
    "rand_like",
    "randn_like",
}
_DRAWS_IN_PLACE = {
    "uniform_",
    "normal_",
    "bernoulli_",
    "exponential_",
    "random_",
    "cauchy_",
    "geometric_",
    "log_normal_",
}
#: What of numpy.random is no generator shared by all.
_OF_ITS_OWN = {"default_rng", "Generator", "SeedSequence", "PCG64"}
#: Before the first step: a seed, and first weights, of the generator that `cmcr.compute.prepare` has seeded.
_ALLOWED = {"baselines/cmcr.py: torch.randint"}


def name_of(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def global_draws(text: str) -> list[str]:
    """Return the calls and imports in a source text that draw from a generator of the whole process."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import) and any(alias.name in ("random", "secrets") for alias in node.names):
            found.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and node.module in ("random", "secrets", "numpy.random"):
            found.append(ast.unparse(node))
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        module, _, function = name.rpartition(".")
        handed = any(keyword.arg == "generator" for keyword in node.keywords)
        if module in ("np.random", "numpy.random") and function not in _OF_ITS_OWN:
            found.append(name)
        if module == "torch" and function in _DRAWS and not handed:
            found.append(name)
        if function in _DRAWS_IN_PLACE and not handed and not module.endswith("init"):
            found.append(name)
        if function == "default_rng" and not node.args:
            found.append(f"{name} without a seed")
    return found


def test_no_code_draws_from_a_generator_of_the_whole_process() -> None:
    assert len(FILES) > 200
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {draw}" for path in FILES for draw in global_draws(path.read_text())
    }
    assert found == _ALLOWED


@pytest.mark.parametrize(
    ("text", "draws"),
    [
        ("import random", ["import random"]),
        ("np.random.rand(3); np.random.default_rng(0); np.random.default_rng()", 2),
        ("torch.rand(3); torch.rand(3, generator=g); x.uniform_(); nn.init.normal_(w)", ["torch.rand", "x.uniform_"]),
        ("rng.normal(size=3); torch.randint(3, (1,))", ["torch.randint"]),
    ],
)
def test_what_draws_from_a_generator_of_the_whole_process_is_found(text: str, draws: list[str] | int) -> None:
    found = global_draws(text)
    assert (len(found) if isinstance(draws, int) else found) == draws


def test_what_others_draw_before_a_job_does_not_matter(tmp_path: Path) -> None:
    job = JOB.model_copy(update={"recipe": Recipe(epochs=1, batch_size=2, lr=3e-3)})
    found = []
    for number in (1, 2):
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002 (the generator that is not to matter)
        torch.manual_seed(number)
        found.append(run(tmp_path / str(number), job))
        # And the job does not draw from them.
        assert random.random() == random.Random(number).random()
        assert np.random.rand() == np.random.RandomState(number).rand()  # noqa: NPY002
    assert found[0] == found[1]
