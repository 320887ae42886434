{{- define "shardstream.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "shardstream.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "shardstream.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "shardstream.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "shardstream.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "shardstream.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "shardstream.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "shardstream.withClientCA" -}}
{{- if or .Values.tls.clientCA.secretName .Values.tls.clientCA.configMapName }}yes{{ end }}
{{- end }}

{{- define "shardstream.withPolicy" -}}
{{- if or .Values.policy.rules .Values.policy.configMapName }}yes{{ end }}
{{- end }}

{{- /* What values contradict, told before anything is made. */}}
{{- define "shardstream.check" -}}
{{- $v := .Values }}
{{- if and (not $v.tls.secretName) (not $v.allowPlaintext) }}
{{- fail "choose how the gRPC port is protected: tls.secretName, or allowPlaintext=true behind a mesh" }}
{{- end }}
{{- if and $v.tls.secretName $v.allowPlaintext }}
{{- fail "tls.secretName and allowPlaintext=true contradict each other" }}
{{- end }}
{{- if and (include "shardstream.withClientCA" .) (not $v.tls.secretName) }}
{{- fail "tls.clientCA wants tls.secretName" }}
{{- end }}
{{- if and $v.tls.clientCA.secretName $v.tls.clientCA.configMapName }}
{{- fail "tls.clientCA is in a Secret or in a ConfigMap, not in both" }}
{{- end }}
{{- if and $v.policy.rules $v.policy.configMapName }}
{{- fail "policy.rules and policy.configMapName contradict each other" }}
{{- end }}
{{- if and $v.tokens.secretName $v.allowPlaintext (not $v.tokens.allowPlaintext) }}
{{- fail "tokens in plain text are read by whoever listens: use tls.secretName, or tokens.allowPlaintext=true behind a mesh" }}
{{- end }}
{{- if and $v.serviceMonitor.enabled $v.networkPolicy.enabled (not $v.networkPolicy.adminFrom) }}
{{- fail "the network policy keeps Prometheus out: name it in networkPolicy.adminFrom" }}
{{- end }}
{{- if and $v.tokens.secretName (not (include "shardstream.withPolicy" .)) }}
{{- fail "with tokens and without a policy nobody may do anything: set policy.rules or policy.configMapName" }}
{{- end }}
{{- $certified := and (include "shardstream.withClientCA" .) (or (eq $v.tls.clientAuth "required") (include "shardstream.withPolicy" .)) }}
{{- if not (or $v.tokens.secretName $certified (hasKey $v.config "jwt-issuer") $v.allowAnonymous) }}
{{- fail "choose who may call: tokens.secretName, tls.clientCA, config.jwt-issuer, or allowAnonymous=true for whoever reaches the pods" }}
{{- end }}
{{- end }}

{{- /* The server's file of settings. A number of YAML is a float to Helm, and none to the server. */}}
{{- define "shardstream.config" -}}
{{- $v := .Values }}
{{- $own := dict
      "listen" "0.0.0.0:50051"
      "admin-listen" "0.0.0.0:9090"
      "allow-plaintext-admin" true
      "drain-timeout" (printf "%ds" (int $v.drainSeconds))
      "log" $v.log
      "log-format" "json" }}
{{- if $v.tls.secretName }}
{{- $_ := set $own "tls-cert" "/etc/shardstream/tls/tls.crt" }}
{{- $_ := set $own "tls-key" "/etc/shardstream/tls/tls.key" }}
{{- $_ := set $own "tls-min-version" $v.tls.minVersion }}
{{- else }}
{{- $_ := set $own "allow-plaintext" true }}
{{- end }}
{{- if $v.allowAnonymous }}
{{- $_ := set $own "allow-anonymous" true }}
{{- end }}
{{- if include "shardstream.withClientCA" . }}
{{- $_ := set $own "tls-client-ca" (printf "/etc/shardstream/client-ca/%s" $v.tls.clientCA.key) }}
{{- $_ := set $own "tls-client-auth" $v.tls.clientAuth }}
{{- end }}
{{- if $v.tokens.secretName }}
{{- $_ := set $own "tokens" (printf "/etc/shardstream/tokens/%s" $v.tokens.key) }}
{{- if $v.tokens.allowPlaintext }}
{{- $_ := set $own "allow-plaintext-tokens" true }}
{{- end }}
{{- end }}
{{- if include "shardstream.withPolicy" . }}
{{- $_ := set $own "policy" (printf "/etc/shardstream/policy/%s" $v.policy.key) }}
{{- end }}
{{- if $v.aws.region }}
{{- $_ := set $own "aws-region" $v.aws.region }}
{{- end }}
{{- if $v.aws.endpointUrl }}
{{- $_ := set $own "aws-endpoint-url" $v.aws.endpointUrl }}
{{- end }}
{{- if $v.aws.fakeCredentials }}
{{- $_ := set $own "aws-fake-credentials" true }}
{{- end }}
{{- range $key, $value := merge $own $v.config }}
{{ $key }} = {{ if kindIs "string" $value }}{{ $value | toRawJson }}{{ else if kindIs "bool" $value }}{{ $value }}{{ else }}{{ $value | int64 }}{{ end }}
{{- end }}
{{- end }}
