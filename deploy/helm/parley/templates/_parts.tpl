{{/* The parts that several objects have in common. Those that need a component take a dict: root, component. */}}

{{- define "parley.name" -}}
{{- if contains "parley" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ .Release.Name | trunc 33 | trimSuffix "-" }}-parley{{ end }}
{{- end }}

{{- define "parley.engines" -}}
{{ include "parley.name" . }}-engines
{{- end }}

{{- define "parley.selector" -}}
app.kubernetes.io/name: parley
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "parley.labels" -}}
{{ include "parley.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "parley.secret" -}}
{{ .Values.secret.existing | default (include "parley.name" .) }}
{{- end }}

{{- define "parley.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "parley.recordings" -}}
{{ .Values.recordings.existingClaim | default (printf "%s-recordings" (include "parley.name" .)) }}
{{- end }}

{{/* 30 s more than calls have to finish: preStop's 5, and what a stop takes beside (docs/operations.md) */}}
{{- define "parley.grace" -}}
{{ add (ceil .) 30 }}
{{- end }}

{{/* A variable that must be a key of the Secret: the pod waits and says so where it is not */}}
{{- define "parley.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ include "parley.secret" .root }}, key: {{ .name }}{{ if .optional }}, optional: true{{ end }}}
{{- end }}

{{/* Settings as variables: a map of names and values */}}
{{- define "parley.variables" -}}
{{- $lines := list }}
{{- range $name, $value := . }}
{{- $lines = append $lines (printf "- name: %s\n  value: %s" $name ($value | toString | quote)) }}
{{- end }}
{{- join "\n" $lines }}
{{- end }}

{{/* What the gateways and the scorer know: the settings, what follows from other values, and the Secret */}}
{{- define "parley.environment" -}}
{{- $given := dict "PARLEY_PUBLIC_URL" (printf "https://%s" .Values.host) "PARLEY_SCORE_CALLS" (not .Values.scorer.separate) }}
{{- if eq .Values.engine.mode "pods" }}
{{- $_ := set $given "PARLEY_ENGINE" "remote" }}
{{- $_ := set $given "PARLEY_ENGINE_URL" (printf "ws://%s:8998" (include "parley.engines" .)) }}
{{- end }}
{{- include "parley.variables" (merge $given .Values.settings) }}
{{- range list "PARLEY_DATABASE_URL" "PARLEY_TWILIO_AUTH_TOKEN" "PARLEY_SESSION_SECRET" }}
{{ include "parley.secretVariable" (dict "root" $ "name" .) }}
{{- end }}
{{- if eq .Values.engine.mode "pods" }}
{{ include "parley.secretVariable" (dict "root" . "name" "PARLEY_ENGINE_TOKEN") }}
{{- end }}
{{- end }}

{{/* What all pods have: nobody's rights, no key of the cluster, no variables that look like settings */}}
{{- define "parley.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "parley.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a pod of the image `parley` writes: recordings for all, the rest for itself */}}
{{- define "parley.mounts" -}}
- {name: data, mountPath: /var/lib/parley}
- {name: recordings, mountPath: /var/lib/parley/recordings}
- {name: tmp, mountPath: /tmp}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "parley.volumes" -}}
- {name: data, emptyDir: {}}
- name: recordings
  persistentVolumeClaim: {claimName: {{ include "parley.recordings" . }}}
- {name: tmp, emptyDir: {}}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where pods run: as the values say … */}}
{{- define "parley.nodes" -}}
{{- with .place.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* … and apart from each other where that can be */}}
{{- define "parley.places" -}}
{{- include "parley.nodes" . }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "parley.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
