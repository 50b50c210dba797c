{{/* Where the store is, for gateways and operators: flags, volumes and mounts, of which there are none without one. */}}

{{- define "roundhouse.store.secret" -}}
{{- default (printf "%s-redis" .Release.Name) .Values.redis.existingSecret.name -}}
{{- end }}

{{/* Whether there is a password: "true" or nothing. */}}
{{- define "roundhouse.store.password" -}}
{{- if or (eq .Values.redis.mode "Embedded") (and (eq .Values.redis.mode "External") .Values.redis.existingSecret.name) -}}
true
{{- end -}}
{{- end }}

{{- define "roundhouse.store.arguments" -}}
{{- with .Values.redis -}}
{{- if eq .mode "Embedded" }}
- {{ printf "--redis-url=redis://%s-redis.%s.svc:6379" $.Release.Name $.Release.Namespace | quote }}
{{- else if eq .mode "External" }}
- {{ printf "--redis-url=%s%s" .url (ternary "?ca-file=/etc/roundhouse/redis-ca/ca.crt" "" (ne .caSecret.name "")) | quote }}
{{- end }}
{{- if ne .mode "None" }}
- {{ printf "--redis-prefix=%s" .prefix | quote }}
{{- end }}
{{- end }}
{{- if include "roundhouse.store.password" . }}
- --redis-password-file=/etc/roundhouse/redis/password
{{- end }}
{{- end }}

{{- define "roundhouse.store.mounts" -}}
{{- if include "roundhouse.store.password" . }}
- {name: redis, mountPath: /etc/roundhouse/redis, readOnly: true}
{{- end }}
{{- if .Values.redis.caSecret.name }}
- {name: redis-ca, mountPath: /etc/roundhouse/redis-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "roundhouse.store.volumes" -}}
{{- if include "roundhouse.store.password" . }}
- name: redis
  secret:
    secretName: {{ include "roundhouse.store.secret" . | quote }}
    defaultMode: 288 # 0440
    items: [{key: {{ .Values.redis.existingSecret.key | quote }}, path: password}]
{{- end }}
{{- with .Values.redis.caSecret }}
{{- if .name }}
- name: redis-ca
  secret:
    secretName: {{ .name | quote }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}
