"""What is going on, on stderr: a spinner on a terminal, one line a stage elsewhere."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

UNNOTICED = 0.05  # seconds; shorter stages leave no line
TELL_EVERY = 60.0  # seconds between lines that stay
NAMED = 3  # files that a line names


def listed(files: Sequence[object]) -> str:
    """Names of files for a line: all of a few; of many the first, and how many more there are."""
    if len(files) <= NAMED:
        return ", ".join(map(str, files))
    return f"{files[0]} and {len(files) - 1} more files"


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
    def bar(self, text: str, total: int | None = None, told: str = "efg_jax") -> Iterator["Bar"]:
        """A stage of many steps.

        Args:
            text: what is going on.
            total: number of steps; None: `Bar.advance` says it.
            told: name of the logger whose stages are told meanwhile; warnings of the whole library always are.
        """
        self._finish()
        self._status.stop()
        self._bar_shown, self._handler.told = True, told
        try:
            with Bar(self._console, text, total) as bar:
                yield bar
        finally:
            self._bar_shown, self._handler.told = False, "efg_jax"

    def update(self, text: str) -> None:
        """The stage has come further (terminals only)."""
        self._status.update(Text(text))

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self._console.print(Text(text, style=style))

    def wrote(self, *paths: object) -> None:
        """All is done, and these files have been written; None stands for one that was not wanted."""
        self._finish()
        self._status.stop()
        if named := [str(path) for path in paths if path is not None]:
            self.say(f"wrote {', '.join(named)}")

    def _finish(self) -> None:
        took = time.monotonic() - self._since
        if self._stage is not None and self._console.is_terminal and took > UNNOTICED:
            self._console.print(Text.assemble(("✓ ", "green"), self._stage, (f"  {took:.1f} s", "dim")))
        self._stage = None


class Bar:
    """Context of a stage of many steps: a progress bar with the last result on a terminal, one line a step elsewhere.

    Args:
        console: where to.
        text: what is going on.
        total: number of steps; None: `advance` says it.

    Attributes:
        done, total: number of steps so far, and of all.
    """

    def __init__(self, console: Console, text: str, total: int | None = None):
        columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = RichProgress(*columns, TextColumn("{task.fields[last]}"), console=console, transient=False)
        self._console, self._text, self.total, self.done = console, text, total, 0

    def __enter__(self) -> "Bar":
        if self._console.is_terminal:
            self._task = self._bar.add_task(self._text, total=self.total, last="")
            self._bar.start()
        else:
            self._console.print(Text(self._text))
        return self

    def __exit__(self, *_) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def update(self, last: str) -> None:
        """The step under way has come further (terminals only)."""
        if self._console.is_terminal:
            self._bar.update(self._task, last=last)

    def advance(self, last: str, total: int | None = None, reused: bool = False, done: int | None = None) -> None:
        """One step further.

        Args:
            last: its result.
            total: number of steps, where it was not known at the start.
            reused: the result was there already, and makes no line.
            done: number of steps so far; None: one more than before.
        """
        self.done = self.done + 1 if done is None else done
        self.total = total or self.total
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self.done, total=self.total, last=last)
        elif not reused:
            self._console.print(Text(f"[{self.done}/{self.total}] {last}"))


class Counter:
    """Frames done: on the spot on a terminal, and once a minute as a line that stays.

    Attributes:
        done: their number.
    """

    def __init__(self, progress: Progress, what: str):
        self._progress, self._what, self.done, self._told = progress, what, 0, time.monotonic()

    def __call__(self, done: int) -> None:
        self.done = done
        self._progress.update(f"{self._what}: {done} frames done")
        if time.monotonic() - self._told > TELL_EVERY:
            self._progress.say(f"{done} frames done")
            self._told = time.monotonic()


class _Stages(logging.Handler):
    """Log records as stages; warnings stay.

    Attributes:
        told: name of the logger whose stages are shown; the others' are too many.
    """

    def __init__(self, progress: Progress):
        super().__init__(logging.INFO)
        self._progress, self.told = progress, "efg_jax"

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._progress.say(f"warning: {record.getMessage()}", style="yellow")
        elif record.name.startswith(self.told):
            self._progress.stage(record.getMessage())
