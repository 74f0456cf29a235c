"""Where traces go: PARLEY_OTLP_ENDPOINT, by OTLP over HTTP, in a thread beside the calls."""

import contextlib
from collections.abc import Iterator

from agent.settings import Settings, SettingsError
from agent.tracing.spans import trace_of_call

_LAST_SPANS_S = 3


@contextlib.contextmanager
def exporting(settings: Settings, service: str) -> Iterator[None]:
    """For the length of the block send this process's spans to the endpoint that is set; once a process.

    OpenTelemetry's own variables, such as OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and
    OTEL_EXPORTER_OTLP_HEADERS, say the rest; OTEL_SERVICE_NAME replaces ``service``. What can't be sent is dropped.

    Raises:
        SettingsError: the packages for it are not installed.
    """
    if not settings.otlp_endpoint:
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ImportError as error:
        raise SettingsError(f"PARLEY_OTLP_ENDPOINT: traces need the extra 'otel' ({error}).") from None

    class CallIds(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return trace_of_call() or super().generate_trace_id()

    named = Resource.create({"service.name": service}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named, id_generator=CallIds(), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{settings.otlp_endpoint}/v1/traces", timeout=_LAST_SPANS_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
