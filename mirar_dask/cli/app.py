"""The command group, its exit codes, and how errors and signals end it.

A mistake of the user is answered by one sentence with the remedy; the traceback is shown with
``-v`` only, except where the mistake is ours.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from mirar_dask.errors import MirarDaskError, UsageError
from mirar_dask.exit_codes import DISK_TROUBLE, ExitCode, Terminated, exit_code_of

logger = logging.getLogger(__name__)

PROGRAM = "mirar-dask"
_VERBOSITY = "mirar_dask.verbosity"
_BEGAN = time.perf_counter() - time.process_time()
"""When this process began, but for what it waited for until now."""


ENDING = {
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}
"""Signals that end a run as Ctrl-C does, with the word for each."""


class App(click.Group):
    """A group of commands whose errors become one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Carry a command out; return its exit code."""
        try:
            return super().invoke(ctx)
        except MirarDaskError as error:
            return _answer(ctx, error, exit_code_of(error))
        except KeyboardInterrupt as error:
            _show_traceback(ctx, error)
            word = ENDING[error.args[0]] if isinstance(error, Terminated) else "interrupted"
            say(". ".join([word, *getattr(error, "__notes__", [])]))
            return exit_code_of(error)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OSError as error:
            if error.errno not in DISK_TROUBLE:
                return _unforeseen(error)
            where = f" ({error.filename})" if error.filename else ""
            trouble = UsageError(f"the run could not go on: {error.strerror}{where}")
            return _answer(ctx, trouble.with_traceback(error.__traceback__), ExitCode.FAILURES)
        except Exception as error:
            return _unforeseen(error)


def _unforeseen(error: Exception) -> ExitCode:
    traceback.print_exception(error)
    say(
        f"this should not have happened: {type(error).__name__}: {error}; please report it with "
        "the lines above"
    )
    return ExitCode.FAILURES


def _answer(ctx: click.Context, error: Exception, code: ExitCode) -> ExitCode:
    _show_traceback(ctx, error)
    say("; ".join([_one_line(error), *getattr(error, "__notes__", [])]))
    return code


def _show_traceback(ctx: click.Context, error: BaseException) -> None:
    if ctx.meta.get(_VERBOSITY, 0):
        traceback.print_exception(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def say(sentence: str) -> None:
    """Print one sentence to the error stream, with the program's name before it."""
    click.echo(f"{PROGRAM}: {sentence}", err=True)


def verbosity_option(command: Any) -> Any:
    """Add ``-v`` to a command."""

    def keep(ctx: click.Context, _: click.Parameter, value: int) -> int:
        # `meta` is shared by a context and its children: the group reads it after a failure.
        ctx.meta[_VERBOSITY] = value
        return value

    return click.option(
        "-v",
        "--verbose",
        "verbosity",
        count=True,
        callback=keep,
        help="Say more: once for log messages and tracebacks, twice for debug messages.",
    )(command)


HELP = """Reduce nights of astronomical images in parallel.

\b
mirar-dask demo                             see it work on a simulated night
mirar-dask run imager --raw DIR --out DIR   reduce a night of your own
"""


@click.group(cls=App, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mirar-dask", prog_name=PROGRAM)
def app() -> None:
    """Hold the commands."""


def main(arguments: Sequence[str] | None = None, *, since: float | None = None) -> int:
    """Carry out one command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; those of the process by default.
    since : float, optional
        When the process began, as `time.perf_counter` tells it; now by default.

    Returns
    -------
    int
        See `ExitCode`.
    """
    # What is ignored stays ignored: `nohup` is there to outlive the terminal.
    caught = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, _terminate)
    try:
        code = app.main(
            arguments,
            prog_name=PROGRAM,
            standalone_mode=False,
            obj=time.perf_counter() if since is None else since,
        )
        code = int(code or 0)
        if code >= ExitCode.HUNG_UP:
            _leave_threads_behind(code)
        return code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else PROGRAM
        message = error.format_message().rstrip(". ")
        click.echo(f"{where}: {message}. '{where} --help' shows what can be given.", err=True)
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (such as `head`) has gone; Python would complain at its exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURES
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def command() -> NoReturn:
    """Be the program `mirar-dask`: carry out the command line and end the process."""
    # Looking for garbage among all that astropy and Dask consist of costs a sixth of their
    # import, and finds nothing.
    gc.set_threshold(100_000, 20, 20)
    code = main(since=_BEGAN)
    # So would looking through it once more at Python's end.
    gc.freeze()
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(signal.Signals(number))


def _leave_threads_behind(code: int) -> None:
    """End the process now if threads are still in a task: Python would wait for them."""
    if not any("Dask-Default-Threads" in thread.name for thread in threading.enumerate()):
        return
    data_cache = sys.modules.get("mirar_dask.data.cache")
    if data_cache is not None:
        data_cache.cache.close()  # what would have been done at the end
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
