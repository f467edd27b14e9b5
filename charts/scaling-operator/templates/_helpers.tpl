{{/* Name of the chart, as a label. */}}
{{- define "scaling-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Name of the release's objects: short enough for "-reports" behind it. */}}
{{- define "scaling-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "scaling-operator.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of cluster-wide objects: releases of two namespaces may have one name. */}}
{{- define "scaling-operator.clusterName" -}}
{{- $name := include "scaling-operator.fullname" . }}
{{- if eq $name .Release.Namespace }}
{{- $name }}
{{- else }}
{{- printf "%s-%s" .Release.Namespace $name }}
{{- end }}
{{- end }}

{{- define "scaling-operator.reportsName" -}}
{{- include "scaling-operator.fullname" . }}-reports
{{- end }}

{{- define "scaling-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "scaling-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "scaling-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "scaling-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "scaling-operator.labels" -}}
{{ include "scaling-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "scaling-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "scaling-operator.trainerImage" -}}
{{- default (printf "scaling-trainer:%s" .Chart.AppVersion) .Values.trainerImage }}
{{- end }}

{{/* Host of the report endpoint's Service, as pods of any namespace reach it. */}}
{{- define "scaling-operator.reportsHost" -}}
{{- printf "%s.%s.svc" (include "scaling-operator.reportsName" .) .Release.Namespace }}
{{- end }}

{{- define "scaling-operator.reportsUrl" -}}
{{- with .Values.reports }}
{{- if .url }}
{{- .url }}
{{- else if contains ":" .clusterIP }}
{{- printf "https://[%s]:%v" .clusterIP .port }}
{{- else }}
{{- printf "https://%s:%v" (default (include "scaling-operator.reportsHost" $) .clusterIP) .port }}
{{- end }}
{{- end }}
{{- end }}

{{/* Host of the metrics' Service, as its certificate says. */}}
{{- define "scaling-operator.metricsHost" -}}
{{- printf "%s-metrics.%s.svc" (include "scaling-operator.fullname" .) .Release.Namespace }}
{{- end }}

{{/* Whether a port shows a certificate: not empty. */}}
{{- define "scaling-operator.hasCertificate" -}}
{{- if or .Values.reports.enabled .Values.metrics.secure }}true{{ end }}
{{- end }}

{{/* How a monitor scrapes; of a list of the release, the monitor's values and a file with a token. */}}
{{- define "scaling-operator.scrape" -}}
{{- $root := index . 0 }}
{{- $monitor := index . 1 }}
{{- $tokenFile := index . 2 }}
# The label `namespace` is the experiment's, not that of the operator's pod.
- port: metrics
  path: /metrics
  interval: {{ $monitor.interval }}
  honorLabels: true
  {{- if $root.Values.metrics.secure }}
  scheme: https
  tlsConfig:
    {{- if $monitor.insecureSkipVerify }}
    insecureSkipVerify: true
    {{- else }}
    serverName: {{ include "scaling-operator.metricsHost" $root }}
    ca: {secret: {name: {{ include "scaling-operator.reportsName" $root }}, key: ca.crt}}
    {{- end }}
  {{- if $monitor.authorization }}
  authorization: {{- toYaml $monitor.authorization | nindent 4 }}
  {{- else }}
  bearerTokenFile: {{ $tokenFile }}
  {{- end }}
  {{- end }}
{{- end }}

{{/* Names and addresses in the certificate, one a line. */}}
{{- define "scaling-operator.certificateHosts" -}}
{{- $hosts := list }}
{{- if .Values.metrics.secure }}
{{- $hosts = append $hosts (include "scaling-operator.metricsHost" .) }}
{{- end }}
{{- if .Values.reports.enabled }}
{{- $hosts = append $hosts (include "scaling-operator.reportsHost" .) }}
{{- with .Values.reports.clusterIP }}
{{- $hosts = append $hosts . }}
{{- end }}
{{- with .Values.reports.url }}
{{- $hosts = append $hosts ((urlParse .).hostname | trimPrefix "[" | trimSuffix "]") }}
{{- end }}
{{- end }}
{{- concat $hosts .Values.reports.hosts | uniq | join "\n" }}
{{- end }}

{{/* What the operator may do in a namespace that it serves. */}}
{{- define "scaling-operator.namespaceRules" -}}
- apiGroups: [scaling-operator.dev]
  resources: [scalingexperiments]
  verbs: [get, list, watch]
- apiGroups: [scaling-operator.dev]
  resources: [scalingtrials]
  verbs: [create, get, list]
- apiGroups: [scaling-operator.dev]
  resources: [scalingexperiments/status, scalingtrials/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [create, get, list, watch, delete{{ if eq .Values.trials.workload "pod" }}, deletecollection{{ end }}]
{{- if eq .Values.trials.workload "job" }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch, delete, deletecollection]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# For policies with backend dra; they go with their trials.
- apiGroups: [resource.k8s.io]
  resources: [resourceclaimtemplates]
  verbs: [create]
{{- end }}

{{/* What lies outside namespaces, or concerns all of them. */}}
{{- define "scaling-operator.clusterRules" -}}
- apiGroups: [scaling-operator.dev]
  resources: [resourcepolicies]
  verbs: [list, watch]
- apiGroups: [scaling-operator.dev]
  resources: [resourcepolicies/status]
  verbs: [patch]
# Which namespaces a policy is for, by their labels.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
# Whether any node offers what a policy names.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{- if include "scaling-operator.hasCertificate" . }}
# Whose a token is: a reporting pod's, Prometheus'. The API server has no such question for a single namespace.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
{{- if .Values.metrics.secure }}
# Whether that one may read the metrics.
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
{{- end }}

{{/* Values that fit each by itself, and not together. */}}
{{- define "scaling-operator.check" -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled; without a Service use metrics.podMonitor" }}
{{- end }}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.secure (not .Values.metrics.podMonitor.authorization) }}
{{- fail "metrics.podMonitor.enabled needs metrics.podMonitor.authorization with metrics.secure: a PodMonitor names no file with a token; or use metrics.serviceMonitor" }}
{{- end }}
{{- if and .Values.podDisruptionBudget.enabled (lt (int .Values.replicas) 2) }}
{{- fail "podDisruptionBudget.enabled needs replicas of 2 or more: with one it would hold up every drain of its node" }}
{{- end }}
{{- if and .Values.trials.queue (ne .Values.trials.workload "job") }}
{{- fail "trials.queue is Kueue's queue for jobs: it needs trials.workload job" }}
{{- end }}
{{- if and (eq .Values.reports.clusterIP "None") (not .Values.reports.url) }}
{{- fail "reports.clusterIP None makes a headless Service: it needs reports.url" }}
{{- end }}
{{- end }}
