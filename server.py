"""Starts a server: reads the settings, builds the parts, serves, drains on SIGTERM. No decisions.

    python server.py --model pocket/base --data-dir errata-data --listen 127.0.0.1:50051

Exit codes: 0 after a drain, 1 when a second signal cut the drain short, 2 when it must not start
(the reason is on stderr).
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import structlog

from memory.errors import StartupError
from runtime.config import CONFIG_FILE_VARIABLE, Settings, read_settings

if TYPE_CHECKING:  # Loads torch; imported for real once the address is known to be good.
    from runtime.build import Runtime
    from runtime.services.server import ErrataServer

EXIT_DRAINED = 0
EXIT_CUT_SHORT = 1
EXIT_REFUSED = 2
LOGGERS = ("errata", "memory", "runtime", "classifiers")


def serve(settings: Settings, *, on_ready: Callable[[int], None] | None = None) -> int:
    """Serves until SIGTERM or SIGINT and returns the exit code; `on_ready` gets the port.

    Configures logging for the process. Never raises StartupError: it says why on stderr.
    """
    configure_logging(settings.server.log_format, settings.server.log_level)
    try:
        check_listening(settings)
        from runtime.build import build_runtime  # noqa: PLC0415  # Loads torch: not before now.

        runtime = build_runtime(settings)
    except StartupError as error:
        sys.stderr.write(f"errata: {error}\n")
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_CUT_SHORT
    try:
        return asyncio.run(_serve(runtime, settings, on_ready))
    except StartupError as error:
        sys.stderr.write(f"errata: {error}\n")
        return EXIT_REFUSED
    finally:
        runtime.close()


async def _serve(
    runtime: Runtime, settings: Settings, on_ready: Callable[[int], None] | None
) -> int:
    from runtime.services.server import ErrataServer, Listening  # noqa: PLC0415

    section = settings.server
    host, _, port = section.listen.rpartition(":")
    server = ErrataServer(
        runtime,
        Listening(
            host=host,
            port=int(port),
            certificate=section.tls_cert,
            key=section.tls_key,
            access=section.keys,
            reflection=section.reflection,
            threads=section.workers,
            version=errata_version(),
        ),
        consolidator=runtime.consolidator,
    )
    if runtime.consolidator is not None:
        runtime.consolidator.start()
    signals = _Signals()
    await server.start()
    snapshot = runtime.memory.snapshot()
    structlog.get_logger("errata.server").info(
        "ready",
        address=f"{host}:{server.port}",
        model=runtime.engine.info.model,
        device=runtime.engine.info.device,
        edits=sum(snapshot.count(name) for name in snapshot.namespaces),
        sequence=snapshot.sequence,
        data_dir=str(settings.memory.directory),
        pid=os.getpid(),
    )
    if on_ready is not None:
        on_ready(server.port)
    await signals.first.wait()
    return await _drain(server, signals, section.drain_s)


async def _drain(server: ErrataServer, signals: _Signals, drain_s: float) -> int:
    """Ends the server; a second signal ends what still runs at once."""
    log = structlog.get_logger("errata.server")
    log.info("draining", calls=server.running_calls, drain_s=drain_s)
    draining = asyncio.ensure_future(server.stop(drain_s))
    cutting = asyncio.ensure_future(signals.second.wait())
    await asyncio.wait({draining, cutting}, return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        server.hurry()
        log.warning("cut short", calls=server.running_calls)
        await draining
        return EXIT_CUT_SHORT
    cutting.cancel()
    draining.result()
    log.info("stopped")
    return EXIT_DRAINED


class _Signals:
    """The first and the second SIGTERM or SIGINT as events of the running loop."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._came)

    def _came(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


def check_listening(settings: Settings) -> None:
    """Raises StartupError for an address that is unsafe or taken, before anything is loaded."""
    section = settings.server
    host, _, port = section.listen.rpartition(":")
    if (section.tls_cert is None) != (section.tls_key is None):
        raise StartupError("server.tls_cert and server.tls_key go together: give both or neither.")
    if not section.insecure and not is_loopback(host):
        missing = [
            name
            for name, given in (
                ("TLS (server.tls_cert, server.tls_key)", section.tls_cert),
                ("keys (server.keys; `errata key NAME` makes one)", section.keys),
            )
            if given is None
        ]
        if missing:
            raise StartupError(
                f"Refusing to listen on {host}: anybody who reaches it could change what the model "
                f"says. Listen on 127.0.0.1, give {' and '.join(missing)}, or say "
                "--insecure-bind if the network is yours alone."
            )
    for file in (section.tls_cert, section.tls_key):
        if file is not None and not os.access(file, os.R_OK):
            raise StartupError(f"The TLS file {file} cannot be read; is the path right?")
    if section.keys is not None:
        from runtime.services.access import read_keys  # noqa: PLC0415  # Not for every command.

        read_keys(section.keys)
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bare, int(port)))
        except OSError as error:
            raise StartupError(
                f"Cannot listen on {section.listen}: {error.strerror}. Stop the other server, or "
                "choose another port with --listen (0 takes a free one)."
            ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def configure_logging(log_format: str, level: str) -> None:
    """Sends the logs of structlog and of the standard library to stderr in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta
    ]
    if log_format == "json":
        last.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer])
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def errata_version() -> str:
    """Returns the installed version; "source" when run without being installed."""
    try:
        return version("errata")
    except PackageNotFoundError:
        return "source"


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags and serves; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="server.py",
        description="Serves a frozen language model with a memory of corrections.",
        epilog="Every setting can also be given as ERRATA_SECTION__FIELD or in a TOML file.",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--listen", "--address", metavar="HOST:PORT", help="default 127.0.0.1:50051"
    )
    parser.add_argument("--model", metavar="NAME_OR_PATH", help="hub name or folder of a model")
    parser.add_argument(
        "--counterfactual",
        metavar="NAME_OR_PATH",
        help="model of the counterfactual path: a hub name, a folder, or base",
    )
    parser.add_argument("--path", help="in_context, counterfactual or auto; see docs/paths.md")
    parser.add_argument("--data-dir", metavar="DIR", help="where the edit log lives")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--keys", metavar="FILE", help="keys that callers must have one of")
    parser.add_argument("--log-format", choices=("console", "json"))
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    parser.add_argument(
        "--insecure-bind",
        action="store_true",
        default=None,
        help="allows a HOST other than loopback without TLS or keys",
    )
    given = parser.parse_args(arguments)
    if given.config:
        os.environ[CONFIG_FILE_VARIABLE] = given.config
    try:
        settings = read_settings(
            {
                "server": {
                    "listen": given.listen,
                    "insecure": given.insecure_bind,
                    "keys": given.keys,
                    "log_format": given.log_format,
                    "log_level": given.log_level,
                },
                "model": {"name": given.model, "device": given.device},
                "memory": {"directory": given.data_dir},
                "counterfactual": {"model": given.counterfactual},
                "routing": {"default_path": given.path},
            }
        )
    except StartupError as error:
        sys.stderr.write(f"errata: {error}\n")
        return EXIT_REFUSED
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
