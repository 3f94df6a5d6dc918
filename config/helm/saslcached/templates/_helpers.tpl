{{- define "saslcached.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "saslcached.selector" -}}
app.kubernetes.io/name: saslcached
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "saslcached.labels" -}}
{{ include "saslcached.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "saslcached.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* A value as TOML has it: strings, numbers, booleans and lists are written as in JSON. */}}
{{- define "saslcached.toml" -}}
{{- range $table, $rows := . }}
[{{ $table }}]
{{- range $key, $value := $rows }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- end -}}
