"""What commands show while they work: on a terminal a bar that moves, elsewhere lines."""

import io
import logging

import pytest
from rich.console import Console

from efg_jax.cli.progress import Bar, Progress

logger = logging.getLogger("efg_jax.somewhere")


@pytest.mark.parametrize(("told", "stages"), [("efg_jax", ["before", "within"]), ("efg_jax.elsewhere", ["before"])])
def test_beside_a_bar_warnings_stay_and_stages_are_those_of_one_logger(told, stages, capsys):
    with Progress() as progress:
        logger.info("before")
        with progress.bar("counting", 2, told) as bar:
            bar.advance("one")
            logger.info("within")
            logger.warning("odd")
            bar.advance("two")
        logger.info("after")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line in ("before", "within", "after")] == [*stages, "after"]
    assert [line for line in lines if line not in ("before", "within", "after")] == [
        "counting", "[1/2] one", "warning: odd", "[2/2] two",
    ]  # fmt: skip


@pytest.mark.parametrize("terminal", [True, False])
def test_what_was_there_already_moves_the_bar_without_a_line(terminal):
    stream = io.StringIO()
    with Bar(Console(file=stream, force_terminal=terminal, width=100), "fitting") as bar:
        bar.advance("found", 3, reused=True)
        bar.advance("made", 3)
    assert (bar.done, bar.total) == (2, 3)
    shown = stream.getvalue()
    assert ("2/3" in shown and "made" in shown) if terminal else shown == "fitting\n[2/3] made\n"
