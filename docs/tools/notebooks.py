"""Run each notebook and write it as docs/tutorials/NAME.md with its figures beside it (`make notebooks`).

    python docs/tools/notebooks.py [NAME ...]

The pages are committed, so that building the site runs nothing.
"""

import base64
import html
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbclient
from nbformat import NotebookNode
from palette import small

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "notebooks"
PAGES = ROOT / "docs" / "tutorials"
WIDEST = 160  # characters of a line of output
EMBEDDED = re.compile(r'src="data:image/png;base64,([^"]+)"')
PREFORMATTED = re.compile(r"<pre[^>]*>(.*?)</pre>", flags=re.DOTALL)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def build(name: str) -> None:
    """Run one notebook and write its page and its figures."""
    notebook = jupytext.read(SOURCES / f"{name}.py")
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(
            notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    for old in PAGES.glob(f"{name}-*.png"):
        old.unlink()
    PAGES.mkdir(exist_ok=True)
    figures: list[bytes] = []
    parts = [part for cell in notebook.cells for part in _parts(cell, name, figures)]
    for number, figure in enumerate(figures, start=1):
        (PAGES / f"{name}-{number}.png").write_bytes(figure)
    title, *rest = parts
    note = f"*This page is the notebook `notebooks/{name}.py` with its output.*"
    heading, _, text = title.partition("\n")
    (PAGES / f"{name}.md").write_text("\n\n".join([heading, note, text.strip(), *rest]) + "\n", encoding="utf-8")


def source_of(cell: NotebookNode) -> str:
    """A cell as it stands on the page, without its outputs."""
    return cell.source.strip() if cell.cell_type == "markdown" else f"```python\n{cell.source.strip()}\n```"


def _parts(cell: NotebookNode, name: str, figures: list[bytes]) -> Iterator[str]:
    yield source_of(cell)
    for output in cell.get("outputs", []):
        pictures, text = _content(output)
        for picture in pictures:
            figures.append(small(picture))
            yield f"![figure {len(figures)} of the notebook]({name}-{len(figures)}.png)"
        if text.strip():
            yield f"```text\n{_cut(text)}\n```"


def _content(output: NotebookNode) -> tuple[list[bytes], str]:
    """Pictures and text of one output; what a cell says on stderr is left out."""
    if output.output_type == "stream":
        return [], output.text if output.name == "stdout" else ""
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:
        return [], ""  # lives in a notebook only
    if "image/png" in data:
        return [base64.b64decode(data["image/png"])], ""
    markup = data.get("text/html", "")
    if embedded := EMBEDDED.findall(markup):
        return [base64.b64decode(picture) for picture in embedded], ""
    if table := PREFORMATTED.search(markup):
        return [], html.unescape(re.sub(r"<[^>]+>", "", table[1]))
    return [], data.get("text/plain", "")


def _cut(text: str) -> str:
    lines = [line.rstrip() for line in ANSI.sub("", text).strip("\n").splitlines()]
    return "\n".join(line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…" for line in lines)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or sorted(path.stem for path in SOURCES.glob("*.py")):
        build(chosen)
