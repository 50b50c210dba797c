{{/* Labels that select the pods of a part: (list . "gateway"). */}}
{{- define "roundhouse.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: roundhouse
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of every object of a part: (list . "gateway"). */}}
{{- define "roundhouse.labels" -}}
{{- $root := index . 0 -}}
{{ include "roundhouse.selector" . }}
app.kubernetes.io/part-of: roundhouse
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The namespaces that are watched, with commas. */}}
{{- define "roundhouse.watched" -}}
{{- join "," (default (list .Release.Namespace) .Values.watchNamespaces | sortAlpha) -}}
{{- end }}

{{/* What an object outside the release's namespace is called: two releases of one name must not meet. */}}
{{- define "roundhouse.outside" -}}
roundhouse:{{ .Release.Namespace }}:{{ .Release.Name }}
{{- end }}

{{/* An image: (list . .Values.gateway.image). */}}
{{- define "roundhouse.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $root.Chart.AppVersion $image.tag }}
{{- end -}}
{{- end }}
