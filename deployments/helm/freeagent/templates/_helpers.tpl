{{/* Names, labels and what all pods have in common. */}}

{{- define "freeagent.fullname" -}}
{{- if contains "freeagent" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-freeagent" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "freeagent.selector" -}}
app.kubernetes.io/name: freeagent
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "freeagent.labels" -}}
{{ include "freeagent.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "freeagent.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "freeagent.fullname" .) }}
{{- end }}

{{- define "freeagent.image" -}}
{{ required "image.registry: where the images were pushed to" .root.Values.image.registry | trimSuffix "/" }}/{{ .image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "freeagent.secretName" -}}
{{ required "existingSecret: a Secret made of what `freeagent secrets` writes" .Values.existingSecret }}
{{- end }}

{{/* Ports: a service's own, and that of its probes. */}}
{{- define "freeagent.ports" -}}
ingest: {main: 3000, health: 3010}
scheduler: {health: 3001}
monitor: {health: 3003}
artifact: {main: 3002, health: 3012}
{{- end }}

{{/* The secrets that a service gets, and no others. */}}
{{- define "freeagent.secrets" -}}
ingest: [database-url, bus-password, api-key, token-key, bus-issuer, bus-xkey]
scheduler: [database-url, bus-password]
monitor: [database-url, bus-password]
artifact: [database-url, bus-password, s3-access-key, s3-secret-key, ticket-key, master-key]
{{- end }}

{{- define "freeagent.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "freeagent.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities: {drop: [ALL]}
{{- end }}

{{/* A duration such as 10s, 30m or 1h30m in seconds. */}}
{{- define "freeagent.seconds" -}}
{{- $total := 0 -}}
{{- range $part := regexFindAll "[0-9]+[hms]" . -1 -}}
{{- $n := regexFind "[0-9]+" $part | int -}}
{{- $unit := dict "h" 3600 "m" 60 "s" 1 -}}
{{- $total = add $total (mul $n (get $unit (regexFind "[hms]" $part))) -}}
{{- end -}}
{{- $total -}}
{{- end }}

{{/* The environment of a service, a map of variables, as YAML. What values say goes before what the chart says. */}}
{{- define "freeagent.environment" -}}
{{- $v := .root.Values -}}
{{- $dir := "/etc/freeagent/secrets" -}}
{{- $env := dict
  "FREEAGENT_DATABASE_URL_FILE" (printf "%s/database-url" $dir)
  "FREEAGENT_DATABASE_MAX_CONNS" ($v.database.connections | toString)
  "FREEAGENT_NATS_URL" (required "bus.url: the nodes of the bus" $v.bus.url)
  "FREEAGENT_NATS_USER" $v.bus.user
  "FREEAGENT_NATS_PASSWORD_FILE" (printf "%s/bus-password" $dir)
  "FREEAGENT_DRAIN_DELAY" $v.drainDelay
-}}
{{- if $v.tls.caConfigMap }}{{ $_ := set $env "FREEAGENT_NATS_CA_FILE" "/etc/freeagent/ca/ca.crt" }}{{ end -}}
{{- if $v.tls.busClientSecret -}}
{{- $_ := set $env "FREEAGENT_NATS_CERT_FILE" "/etc/freeagent/bus-client/tls.crt" -}}
{{- $_ := set $env "FREEAGENT_NATS_KEY_FILE" "/etc/freeagent/bus-client/tls.key" -}}
{{- end -}}
{{- if eq .service "ingest" -}}
{{- $_ := set $env "FREEAGENT_INGEST_LISTEN" ":3000" -}}
{{- $_ := set $env "FREEAGENT_INGEST_HEALTH_LISTEN" ":3010" -}}
{{- $_ := set $env "FREEAGENT_API_KEY_FILE" (printf "%s/api-key" $dir) -}}
{{- $_ := set $env "FREEAGENT_TOKEN_KEY_FILE" (printf "%s/token-key" $dir) -}}
{{- $_ := set $env "FREEAGENT_BUS_ISSUER_FILE" (printf "%s/bus-issuer" $dir) -}}
{{- $_ := set $env "FREEAGENT_BUS_XKEY_FILE" (printf "%s/bus-xkey" $dir) -}}
{{- $_ := set $env "FREEAGENT_BUS_ACCOUNT" $v.bus.account -}}
{{- $_ := set $env "FREEAGENT_WORKER_BUS_URL" (required "bus.workerUrl: the bus as workers reach it" $v.bus.workerUrl) -}}
{{- $scheme := ternary "https" "http" (not (empty $v.tls.artifactSecret)) -}}
{{- $_ := set $env "FREEAGENT_ARTIFACT_URL" (printf "%s://%s-artifact.%s.svc:3002" $scheme (include "freeagent.fullname" .root) .root.Release.Namespace) -}}
{{- if and $v.tls.caConfigMap $v.tls.artifactSecret }}{{ $_ := set $env "FREEAGENT_ARTIFACT_CA_FILE" "/etc/freeagent/ca/ca.crt" }}{{ end -}}
{{- if $v.tls.ingestSecret -}}
{{- $_ := set $env "FREEAGENT_INGEST_CERT_FILE" "/etc/freeagent/tls/tls.crt" -}}
{{- $_ := set $env "FREEAGENT_INGEST_KEY_FILE" "/etc/freeagent/tls/tls.key" -}}
{{- end -}}
{{- else if eq .service "scheduler" -}}
{{- $_ := set $env "FREEAGENT_SCHEDULER_LISTEN" ":3001" -}}
{{- $_ := set $env "FREEAGENT_STREAM_REPLICAS" ($v.bus.replicas | toString) -}}
{{- else if eq .service "monitor" -}}
{{- $_ := set $env "FREEAGENT_MONITOR_LISTEN" ":3003" -}}
{{- else -}}
{{- $_ := set $env "FREEAGENT_ARTIFACT_LISTEN" ":3002" -}}
{{- $_ := set $env "FREEAGENT_ARTIFACT_HEALTH_LISTEN" ":3012" -}}
{{- $_ := set $env "FREEAGENT_S3_ENDPOINT" (required "s3.endpoint: host:port of the object store" $v.s3.endpoint) -}}
{{- $_ := set $env "FREEAGENT_S3_BUCKET" $v.s3.bucket -}}
{{- $_ := set $env "FREEAGENT_S3_TLS" ($v.s3.tls | toString) -}}
{{- if $v.s3.region }}{{ $_ := set $env "FREEAGENT_S3_REGION" $v.s3.region }}{{ end -}}
{{- range tuple "s3-access-key" "s3-secret-key" "ticket-key" "master-key" -}}
{{- $_ := set $env (printf "FREEAGENT_%s_FILE" (. | upper | replace "-" "_")) (printf "%s/%s" $dir .) -}}
{{- end -}}
{{- if and $v.tls.caConfigMap $v.s3.tls }}{{ $_ := set $env "FREEAGENT_S3_CA_FILE" "/etc/freeagent/ca/ca.crt" }}{{ end -}}
{{- if $v.tls.artifactSecret -}}
{{- $_ := set $env "FREEAGENT_ARTIFACT_CERT_FILE" "/etc/freeagent/tls/tls.crt" -}}
{{- $_ := set $env "FREEAGENT_ARTIFACT_KEY_FILE" "/etc/freeagent/tls/tls.key" -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := merge (dict) (index $v.services .service).settings $v.settings }}{{ $_ := set $env $name ($value | toString) }}{{ end -}}
{{- toYaml $env -}}
{{- end }}
