"""What the requests of a phone call took, as OpenTelemetry's spans; all of one call, in all processes, are one trace.

A span holds no words, names or numbers of callers. Without PARLEY_OTLP_ENDPOINT nothing is kept.
"""
