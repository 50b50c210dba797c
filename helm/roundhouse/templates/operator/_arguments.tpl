{{/* The operator's command line. */}}
{{- define "roundhouse.operator.arguments" -}}
- run
- --namespace={{ .Release.Namespace }}
- --release={{ .Release.Name }}
- --watch-namespaces={{ include "roundhouse.watched" . }}
- --listen=0.0.0.0:9443
- --admin-listen=0.0.0.0:9090
- --secret-policy={{ .Values.secretPolicy }}
{{- if .Values.upstreams.allowPrivate }}
- --allow-private
{{- end }}
{{- if .Values.clientKeys.mint }}
- --mint-client-keys
{{- end }}
- --admin-routes={{ .Values.gateway.adminRoutes }}
{{- include "roundhouse.store.arguments" . }}
- --log-format={{ .Values.log.format }}
- {{ printf "--log-level=%s" .Values.log.level | quote }}
{{- end }}
