{{/* What values.schema.json can't say: values that don't go together. One sentence each, the value's name first. */}}
{{- define "parley.checks" -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" .Values.host) }}
{{- fail "host: must be the name that the carrier and people reach Parley by, e.g. calls.example.com" }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository: say where you pushed the image parley" }}
{{- end }}
{{- if and .Values.secret.existing .Values.secret.values }}
{{- fail "secret.existing, secret.values: give one of them" }}
{{- end }}
{{- if not .Values.secret.existing }}
{{- $needed := list "PARLEY_DATABASE_URL" "PARLEY_TWILIO_AUTH_TOKEN" "PARLEY_SESSION_SECRET" }}
{{- if eq .Values.engine.mode "pods" }}{{ $needed = append $needed "PARLEY_ENGINE_TOKEN" }}{{ end }}
{{- if .Values.metrics.podMonitor }}{{ $needed = append $needed "PARLEY_METRICS_TOKEN" }}{{ end }}
{{- range $needed }}
{{- if not (index $.Values.secret.values .) }}
{{- fail (printf "secret.values.%s: is missing; or name a Secret that has it, in secret.existing" .) }}
{{- end }}
{{- end }}
{{- if not (hasPrefix "postgresql+psycopg://" .Values.secret.values.PARLEY_DATABASE_URL) }}
{{- fail "secret.values.PARLEY_DATABASE_URL: must be postgresql+psycopg://…, since several pods share it" }}
{{- end }}
{{- end }}
{{- if eq .Values.engine.mode "pods" }}
{{- range list "PARLEY_ENGINE" "PARLEY_ENGINE_URL" }}
{{- if hasKey $.Values.settings . }}
{{- fail (printf "settings.%s: leave it out, since engine.mode is pods" .) }}
{{- end }}
{{- end }}
{{- if not .Values.engine.image.repository }}
{{- fail "engine.image.repository: say where you pushed the image parley-engine" }}
{{- end }}
{{- end }}
{{- if eq .Values.recordings.accessMode "ReadWriteOnce" }}
{{- if or (gt (int .Values.gateway.replicas) 1) .Values.gateway.autoscaling.enabled .Values.scorer.separate }}
{{- fail "recordings.accessMode: ReadWriteOnce is for one pod: gateway.replicas must be 1, autoscaling and scorer.separate off" }}
{{- end }}
{{- end }}
{{- if .Values.gateway.autoscaling.enabled }}
{{- with .Values.gateway }}
{{- if gt (int .replicas) (int .autoscaling.maxReplicas) }}
{{- fail "gateway.autoscaling.maxReplicas: must be at least gateway.replicas" }}
{{- end }}
{{- if not (or .autoscaling.cpu .autoscaling.calls) }}
{{- fail "gateway.autoscaling: cpu or calls must say when to add pods" }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.parentRefs: name the Gateway that the route belongs to" }}
{{- end }}
{{- end }}
