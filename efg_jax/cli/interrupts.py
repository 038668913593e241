"""Ctrl-C that is not lost."""

import signal
import threading
from types import FrameType

AGAIN = 0.02  # s


def heed_interrupts() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` in a moment, where raising it at once would be in vain.

    JAX has a callback in Python's garbage collector. What is raised in it Python prints and forgets, an interrupt too,
    and the work goes on.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual and hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_name == "_xla_gc_callback":
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            return
        frame = frame.f_back
    raise KeyboardInterrupt
