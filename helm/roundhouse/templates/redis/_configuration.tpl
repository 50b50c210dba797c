{{/* The files of the embedded server. */}}
{{- define "roundhouse.redis.configuration" -}}
redis.conf: |
  port 6379
  dir /data
  maxmemory {{ .Values.redis.embedded.maxMemory }}
  # Every other policy may drop a key that is in use.
  maxmemory-policy noeviction
  save ""
  {{- if .Values.redis.embedded.persistence.enabled }}
  appendonly yes
  appendfsync everysec
  {{- end }}
  # The user, whom the start makes from the password's hash.
  include /run/redis/password.conf
start.sh: |
  set -eu
  umask 077
  # A hash needs no quoting, whatever the password. All commands but those of administrators.
  hash=$(printf %s "$(cat /etc/redis-password/password)" | sha256sum | cut -d' ' -f1)
  echo "user default reset on #$hash +@all -@admin ~* &*" > /run/redis/password.conf
  server=$(command -v valkey-server || command -v redis-server)
  exec "$server" /etc/redis/redis.conf
{{- end }}
