"""Ctrl-C ends a command at once, with one line and nothing half done."""

import signal
import subprocess
import sys
import time

# A shell starts background jobs with interrupts ignored, and children inherit that: the test must not depend on how it
# was started.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from efg_jax.cli import main
main()
"""


def test_ctrl_c_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "train", "silica-efg", "--out", "m.npz"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    with process:
        try:
            for line in process.stderr:
                if line.startswith("training"):
                    break
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "efg-jax: interrupted"
    assert "Traceback" not in stderr
    assert not list(tmp_path.iterdir())


LOST = """
import time
from efg_jax.cli.interrupts import heed_interrupts
import signal

heard = []

def _xla_gc_callback():
    signal.raise_signal(signal.SIGINT)
    heard.append("not in the callback")

signal.signal(signal.SIGINT, signal.default_int_handler)
heed_interrupts()
try:
    _xla_gc_callback()
    time.sleep(60)
except KeyboardInterrupt:
    heard.append("after it")
print(*heard, sep=", ")
"""


def test_ctrl_c_within_the_garbage_collector_is_heard_after_it():
    """What is raised within JAX's callback of the collector, Python would print and forget."""
    run = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=50, check=True)
    assert run.stdout == "not in the callback, after it\n"
