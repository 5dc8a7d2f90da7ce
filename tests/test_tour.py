"""The notebook of the docs: its cells run in order, and it is stored without outputs."""

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unipose.processing.pose_viewer import PoseView


TOUR = Path(__file__).parents[1] / "docs" / "tour.ipynb"
CELLS = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell; returns what a notebook would show: the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(TOUR), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(TOUR), "eval"), names) if last else None


@pytest.mark.slow
def test_cells_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [run_cell(source, names) for source in CODE]
    views = [value for value in shown if isinstance(value, PoseView)]
    assert len(views) == 4
    assert any(isinstance(value, Image.Image) for value in shown)
    assert {path.name for path in tmp_path.iterdir()} == {"kneeling.html", "kneeling.smplx.npz", "raising.glb"}
    # The edit of the tour is one.
    assert np.abs(names["raised"] - names["kneeling"]).max() > 0.3


def test_the_notebook_has_no_outputs() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)
