"""Markdown has lines of at most 120 characters, as the code has; only the output of programs may be wider."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("*.md", "docs/**/*.md", "experiments/*/README.md", "efg_jax/datasets/data/*.md", "benchmarks/*.md")
PAGES = sorted(page for place in PLACES for page in ROOT.glob(place))
OUTPUT = re.compile(r"^```text\n.*?^```$", re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_fit(page):
    text = OUTPUT.sub(lambda block: "\n" * block[0].count("\n"), page.read_text(encoding="utf-8"))
    long = {number: line for number, line in enumerate(text.splitlines(), start=1) if len(line) > 120}
    assert not long
