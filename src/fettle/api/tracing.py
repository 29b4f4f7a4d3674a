"""OpenTelemetry, when it is asked for: a span for each request, with its id and who asked, sent to a collector."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fettle.errors import InvalidInput
from fettle.types.access import actor

#: Asked every few seconds by machines; nobody looks for their spans.
_UNTRACED = "healthz,readyz,metrics"


@contextmanager
def traced(app: FastAPI, endpoint: str) -> Iterator[None]:
    """Have the requests to `app` traced inside the block; without an endpoint, nothing is.

    Args:
        app: not started yet.
        endpoint: URL of an OTLP collector over HTTP, e.g. http://127.0.0.1:4318; what waits is sent at the end.

    Raises:
        InvalidInput: the libraries are not installed, or it is no URL.
    """
    if not endpoint:
        yield
        return
    if not endpoint.startswith(("http://", "https://")):
        raise InvalidInput(
            f"{endpoint!r} is no URL of a collector", hint="E.g. http://127.0.0.1:4318", param="otlp_url"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        hint = "Install them: pip install 'fettle-ai[otel]'"
        raise InvalidInput("tracing needs OpenTelemetry's libraries", hint=hint, param="otlp_url") from error
    about = Resource.create({SERVICE_NAME: "fettle", SERVICE_VERSION: version("fettle-ai")})
    provider = TracerProvider(resource=about)
    app.add_middleware(_Described)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=provider,
        excluded_urls=_UNTRACED,
        exclude_spans=["receive", "send"],  # one for each piece of a stream would drown the rest
    )
    try:
        yield
    finally:
        provider.shutdown()


class _Described:
    """Adds to a request's span what is known when its answer begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry.trace import get_current_span

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                who = {"fettle.request_id": scope.get("request_id", ""), "fettle.key": actor().who}
                get_current_span().set_attributes(who)
            await send(message)

        await self._app(scope, receive, sending)
