"""What is going on, on stderr: a spinner on a terminal, one line a stage elsewhere."""

import logging
import time

from rich.console import Console
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
        """A new stage begins, and the last one is over."""
        self._finish()
        self._stage, self._since = text, time.monotonic()
        if self._console.is_terminal:
            self.update(text)
            self._status.start()
        else:
            self._console.print(Text(text))

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
