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

{{- /* The profile of game servers that name none; empty: the runtime's own. */ -}}
{{- define "cranewing.seccompProfile" -}}
{{- .Values.seccompProfile.localhostProfile | default (ternary "cranewing/gameserver.json" "" .Values.seccompProfile.install) }}
{{- end }}
