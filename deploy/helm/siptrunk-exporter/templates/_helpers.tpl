{{- define "siptrunk-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough that what is named after it may add to it. */}}
{{- define "siptrunk-exporter.fullname" -}}
{{- $name := include "siptrunk-exporter.name" . }}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $both .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "siptrunk-exporter.serviceAccountName" -}}
{{- default (.Values.serviceAccount.create | ternary (include "siptrunk-exporter.fullname" .) "default") .Values.serviceAccount.name }}
{{- end }}

{{- define "siptrunk-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "siptrunk-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "siptrunk-exporter.labels" -}}
{{- $labels := include "siptrunk-exporter.selectorLabels" . | fromYaml }}
{{- $chart := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- $_ := set $labels "helm.sh/chart" $chart }}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service }}
{{- merge $labels .Values.commonLabels | toYaml }}
{{- end }}

{{- /* The metadata of an object: of "root", with its own "name", "namespace", "labels" and "annotations" if any. */}}
{{- define "siptrunk-exporter.metadata" -}}
name: {{ default (include "siptrunk-exporter.fullname" .root) .name | quote }}
namespace: {{ default .root.Release.Namespace .namespace | quote }}
labels: {{- merge (include "siptrunk-exporter.labels" .root | fromYaml) (default dict .labels) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What to say where the files that a pattern names are not there. */}}
{{- define "siptrunk-exporter.lost" -}}
the chart holds no {{ . }}, which are symbolic links in the repository: take a chart that helm package made
{{- end }}

{{- /* Where an account's token lies, relative to exporter.yaml; of an existingSecret. */}}
{{- define "siptrunk-exporter.tokenFile" -}}
secrets/{{ .name }}/{{ .key }}
{{- end }}

{{- /* The text of exporter.yaml. */}}
{{- define "siptrunk-exporter.config" -}}
{{- $config := deepCopy .Values.config }}
{{- range $config.accounts }}
{{- if .existingSecret }}
{{- $_ := set . "token_file" (include "siptrunk-exporter.tokenFile" .existingSecret) }}
{{- $_ := unset . "existingSecret" }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}
