"""How commands end: exit codes, and each failure said with what to do about it.

0    done
1    a check of `doctor` failed, or an unforeseen fault
2    the command line or the input is wrong
3    no server could be reached, or it did not answer in time
4    the server refused (not found, conflict, wrong state, overloaded, ...)
5    the server failed
6    an import finished, but some rows were refused
130  interrupted
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from errata.errors import (
    Cancelled,
    ClientError,
    ConsolidationRunning,
    DeadlineExceeded,
    EditConflict,
    EtagMismatch,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServerFailure,
    ServerUnavailable,
    Unauthenticated,
)
from errata.show import Screen, printable
from memory.errors import ErrataError, InvalidInput, StartupError
from memory.errors import NotFound as NothingThere

FAILED, INPUT, UNREACHABLE, REFUSED, SERVER_FAILED, PARTLY, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130


class UsageProblem(Exception):
    """The command line or a file named in it is wrong; says what was given and what to do."""


@contextmanager
def reported(screen: Screen) -> Iterator[None]:
    """Turns every expected failure inside into a message on stderr and the fitting exit code."""
    try:
        yield
    except ClientError as error:
        _report(screen, _message(error), hint=_hint(error), details=_details(error))
        raise typer.Exit(_exit_code(error)) from error
    except (UsageProblem, InvalidInput, NothingThere, StartupError, ValueError) as error:
        _report(screen, str(error))
        raise typer.Exit(INPUT) from error
    except ErrataError as error:
        _report(screen, str(error), details={"reason": error.reason})
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        screen.note("Interrupted.")
        raise typer.Exit(INTERRUPTED) from error


def _report(
    screen: Screen, message: str, *, hint: str = "", details: dict[str, object] | None = None
) -> None:
    """Writes an error to stderr: a sentence for people, one JSON object for programs."""
    if screen.json:
        error = {"message": message, **(details or {}), "hint": hint}
        kept = {key: value for key, value in error.items() if value}
        sys.stderr.write(json.dumps({"error": kept}, ensure_ascii=False) + "\n")
        return
    screen.note(f"Error: {printable(message)}", style="bold red")
    if hint:
        screen.note(hint, style="")


def _message(error: ClientError) -> str:
    """Returns the server's sentence, with the wrong fields that it does not name itself."""
    unsaid = [
        f"{item.field}: {item.description}"
        for item in error.violations
        if item.description not in error.message
    ]
    return "\n  ".join([error.message, *unsaid])


def _details(error: ClientError) -> dict[str, object]:
    return {
        "reason": error.reason,
        "code": error.code,
        "violations": [
            {"field": item.field, "description": item.description} for item in error.violations
        ],
        "conflicts": list(error.conflicts),
        "resource": error.resource,
        "retry_after_s": error.retry_after_s,
        "error_id": error.error_id,
    }


def _exit_code(error: ClientError) -> int:
    if isinstance(error, InvalidRequest):
        return INPUT
    if isinstance(error, ServerUnavailable | DeadlineExceeded):
        return UNREACHABLE
    if isinstance(error, Cancelled):
        return INTERRUPTED
    return SERVER_FAILED if isinstance(error, ServerFailure) else REFUSED


def _hint(error: ClientError) -> str:
    """Says what to do about an error; "" when its message says so already."""
    match error:
        case EditConflict():
            names = ", ".join(name.rpartition("/")[2] for name in error.conflicts)
            return (
                f"In the way: {names or 'an active edit'}. Give --on-conflict supersede to replace "
                "it or --on-conflict skip to keep it."
            )
        case ConsolidationRunning():
            name = error.resource.rpartition("/")[2] or "running"
            return (
                f"`errata operations wait {name}` follows it, `errata operations cancel {name}` "
                "stops it."
            )
        case NotFound() if error.reason == "EDITION_NOT_FOUND":
            return "`errata editions list` shows those of a namespace."
        case NotFound() if error.reason == "OPERATION_NOT_FOUND":
            return "`errata operations list` shows those that are remembered."
        case NotFound():
            return (
                "`errata status` lists the namespaces, `errata edit list --state all` every edit."
            )
        case EtagMismatch():
            return "Somebody changed it first: read it again with `errata edit show`, then retry."
        case Overloaded():
            return f"The server is busy; try again in {error.retry_after_s or 1:g} s."
        case ServerUnavailable() if not error.reason:
            return "Another server is named with --address HOST:PORT or ERRATA_ADDRESS."
        case Unauthenticated():
            return "The variable ERRATA_KEY holds the key that is sent."
        case DeadlineExceeded():
            return "Allow more time with --timeout SECONDS, or look at `errata status`."
        case ServerFailure():
            return f"Its log says more: look for {error.error_id or error.code}."
    return ""
