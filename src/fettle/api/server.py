"""The server process: a socket, a key, uvicorn, and an orderly end."""

import errno
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from fettle.api.app import create_app
from fettle.api.auth import key_of_installation
from fettle.api.backend import Installation
from fettle.api.tracing import traced
from fettle.errors import Conflict, InvalidInput, Unavailable
from fettle.services.servers import Servers
from fettle.settings import Settings
from fettle.types.record import Record

log = logging.getLogger(__name__)
DRAIN_SECONDS = 30
_BACKLOG = 2048


class Address(Record):
    """Where a server listens, and the key to it if that was made just now."""

    host: str
    port: int
    is_encrypted: bool = False
    api_key: str | None = None

    @property
    def base_url(self) -> str:
        """What OpenAI's clients call `base_url`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_encrypted else 'http'}://{host}:{self.port}/v1"


def serve(
    platform: Installation,
    settings: Settings,
    *,
    preload: Sequence[str] = (),
    renew_key: bool = False,
    announce: Callable[[Address], None] = lambda address: print(address.base_url, flush=True),
) -> None:
    """Serve until SIGTERM or SIGINT; then what runs may end first, for at most DRAIN_SECONDS.

    Args:
        preload: models that are loaded at once.
        renew_key: make a new API key.
        announce: called once it can be asked.

    Raises:
        FettleError: it cannot listen, the key cannot be stored, or the certificate cannot be used.
    """
    tls = encryption(settings.tls_cert, settings.tls_key)
    for name in preload:
        platform.engines.find(name)
    key, new_key = key_of_installation(settings.home, settings.api_key, renew=renew_key)
    with listening(settings.host, settings.port) as connection:
        port = connection.getsockname()[1]
        address = Address(host=settings.host, port=port, is_encrypted=tls is not None, api_key=new_key)
        if tls is None and not connection_is_local(connection):
            log.warning(
                "whoever is between can read keys and answers: this is no loopback address, and there is no TLS"
            )
        app = create_app(platform, key, preload=preload)
        server = Server(app, lambda: announce(address), tls, on_ending=app.state.ending.set)
        with (
            traced(app, settings.otlp_url),
            _signals_are_enough(),
            Servers(settings.home).listed(os.getpid(), address.base_url),
        ):
            _collect_soon()
            server.run(sockets=[connection])
    if not server.started:
        raise Unavailable("the server could not start; its log says why")


def _collect_soon() -> None:
    """Have what requests leave looked through soon, and never again what was loaded: a server's memory stays level."""
    gc.freeze()
    gc.set_threshold(2_000)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        Conflict: the port is in use.
        InvalidInput: there is no such address, or no right to it.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # Those who are accepted inherit it. asyncio sets it only where the socket names its protocol; without it the
        # first token on a kept connection waits 40 ms for an acknowledgement.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "Another `fettle up`, perhaps. `--port 0` takes a free port."
            raise Conflict(f"port {port} of {host} is in use", hint=hint, param="port") from error
        # Not error.strerror: Python adds the address to it.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise InvalidInput(f"cannot listen on {host} port {port}: {reason}", param="host") from error


def connection_is_local(connection: socket.socket) -> bool:
    """Whether only this machine can reach it."""
    return ip_address(connection.getsockname()[0].partition("%")[0]).is_loopback


def encryption(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What serves https with a certificate and its private key; None when neither is given.

    Raises:
        InvalidInput: one of them is missing, cannot be read, or they do not belong together.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        lacking = "tls_cert" if cert is None else "tls_key"
        hint = "--tls-cert (FETTLE_TLS_CERT) and --tls-key (FETTLE_TLS_KEY) are given together, or neither is."
        raise InvalidInput(f"{lacking} is missing", hint=hint, param=lacking)
    for name, path in (("tls_cert", cert), ("tls_key", key)):
        _check_readable(name, path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        raise InvalidInput(
            f"{cert} and {key} cannot be used together: {error.reason or error}",
            hint="Both are PEM files: the certificate, then its chain; and its private key, without a passphrase.",
            param="tls_cert",
        ) from error
    return context


def _check_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise InvalidInput(f"{name} {path} cannot be read: {error.strerror}", param=name) from error


class Server(uvicorn.Server):
    """Uvicorn that says when it can be asked, and when it is about to end."""

    def __init__(
        self,
        app: ASGIApp,
        announce: Callable[[], None],
        tls: ssl.SSLContext | None = None,
        *,
        on_ending: Callable[[], None] = lambda: None,
    ) -> None:
        """A server for `app`, over https if there is a context.

        Args:
            app: what answers.
            announce: called once, after the start.
            tls: for https.
            on_ending: called before it waits for what still runs.
        """
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,
                ssl_context_factory=(lambda _config, _default: tls) if tls else None,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._announce, self._on_ending = announce, on_ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then end."""
        self._on_ending()
        await super().shutdown(sockets)


@contextmanager
def _signals_are_enough() -> Iterator[None]:
    """Uvicorn raises the signal that ended it once more; here it has done its work, and the exit code is 0."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
