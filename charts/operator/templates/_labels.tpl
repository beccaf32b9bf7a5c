{{- define "cranewing.labels" -}}
app.kubernetes.io/name: cranewing
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "cranewing.selector" -}}
app.kubernetes.io/name: cranewing
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
