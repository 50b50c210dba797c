{{/* The gateway's command line. */}}
{{- define "roundhouse.gateway.arguments" -}}
- serve
- {{ printf "--discovery=https://%s-operator-discovery.%s.svc:9443" .Release.Name .Release.Namespace }}
- --discovery-ca-file=/etc/roundhouse/discovery/ca.crt
- --discovery-token-file=/etc/roundhouse/discovery/token
# A folder of the process's own in the volume, whose mode it can set.
- --cache-dir=/var/cache/roundhouse/snapshot
- --listen=0.0.0.0:8080
- --admin-listen=0.0.0.0:9090
- --admin-routes={{ .Values.gateway.adminRoutes }}
{{- if .Values.upstreams.allowPrivate }}
- --allow-private-upstreams
{{- end }}
- --max-in-flight={{ int .Values.gateway.maxInFlight }}
- --max-body-memory={{ .Values.gateway.maxBodyMemory }}
- --drain-min={{ int .Values.gateway.drain.minSeconds }}s
- --drain-max={{ int .Values.gateway.drain.maxSeconds }}s
{{- include "roundhouse.store.arguments" . }}
- --log-format={{ .Values.log.format }}
- {{ printf "--log-level=%s" .Values.log.level | quote }}
{{- end }}
