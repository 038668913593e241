"""The tutorials run from top to bottom, as a reader would run them."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
# The kernel's own start-up code warns about its event loop and paths.
@pytest.mark.filterwarnings("default")
def test_notebook_runs(source, tmp_path):
    jupytext = pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    notebook = jupytext.read(source)
    client = nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # raises with the cell's traceback if one fails
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    jupytext.write(notebook, tmp_path / "executed.ipynb")


def test_there_are_notebooks():
    assert NOTEBOOKS
