"""What is going on, on stderr: a spinner on a terminal, one line a stage elsewhere."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

UNNOTICED = 0.05  # seconds; shorter stages leave no line


class Progress:
    """Context that shows the stages of a command, those that the library logs included.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False):
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._status = self._console.status("")
        self._handler = _Stages(self)
        self._stage: str | None = None
        self._since = 0.0
        self._bar_shown = False

    def __enter__(self) -> "Progress":
        logger = logging.getLogger("efg_jax")
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self._handler)
        return self

    def __exit__(self, kind, *_) -> None:
        logger = logging.getLogger("efg_jax")
        logger.removeHandler(self._handler)
        logger.setLevel(self._level)
        if kind is None:
            self._finish()
        self._status.stop()

    def stage(self, text: str) -> None:
        """A new stage begins, and the last one is over; while a bar is shown, a line above it."""
        if self._bar_shown:
            return self.say(text)
        self._finish()
        self._stage, self._since = text, time.monotonic()
        if self._console.is_terminal:
            self.update(text)
            self._status.start()
        else:
            self._console.print(Text(text))

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator["Bar"]:
        """A stage of known length."""
        self._finish()
        self._status.stop()
        self._bar_shown = True
        try:
            with Bar(self._console, text, total) as bar:
                yield bar
        finally:
            self._bar_shown = False

    def update(self, text: str) -> None:
        """The stage has come further (terminals only)."""
        self._status.update(Text(text))

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self._console.print(Text(text, style=style))

    def wrote(self, *paths: object) -> None:
        """All is done; these files are there now."""
        self._finish()
        self._status.stop()
        if paths:
            self.say(f"wrote {', '.join(map(str, paths))}")

    def _finish(self) -> None:
        took = time.monotonic() - self._since
        if self._stage is not None and self._console.is_terminal and took > UNNOTICED:
            self._console.print(Text.assemble(("✓ ", "green"), self._stage, (f"  {took:.1f} s", "dim")))
        self._stage = None


class Bar:
    """Context of a stage of known length: a progress bar with the last words on a terminal, one line a step elsewhere.

    Args:
        console: where to.
        text: what is going on.
        total: number of steps.
    """

    def __init__(self, console: Console, text: str, total: int):
        columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = RichProgress(*columns, TextColumn("{task.fields[last]}"), console=console, transient=False)
        self._console, self._text, self._total, self._done = console, text, total, 0

    def __enter__(self) -> "Bar":
        if self._console.is_terminal:
            self._task = self._bar.add_task(self._text, total=self._total, last="")
            self._bar.start()
        else:
            self._console.print(Text(self._text))
        return self

    def __exit__(self, *_) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def advance(self, last: str) -> None:
        """One step further; these are its result."""
        self._done += 1
        if self._console.is_terminal:
            self._bar.update(self._task, advance=1, last=last)
        else:
            self._console.print(Text(f"[{self._done}/{self._total}] {last}"))


class _Stages(logging.Handler):
    """Log records as stages; warnings stay."""

    def __init__(self, progress: Progress):
        super().__init__(logging.INFO)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._progress.say(f"warning: {record.getMessage()}", style="yellow")
        else:
            self._progress.stage(record.getMessage())
