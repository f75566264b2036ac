{{- /* The certificates that programs mount as Secrets: who they name and which addresses stand in them. An agent's is no Secret. */ -}}
{{- define "holdfast.leaves" -}}
{{- $name := include "holdfast.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $secrets := .Values.certificates.secrets -}}
{{- $etcd := printf "%s-etcd" $name -}}
{{- $operator := printf "%s-operator" $name -}}
- secret: {{ $secrets.etcd }}
  commonName: etcd
  names:
    - localhost
    - 127.0.0.1
    {{- range $service := list $etcd (printf "%s.%s" $etcd $namespace) (printf "%s.%s.svc" $etcd $namespace) (printf "%s.%s.svc.cluster.local" $etcd $namespace) }}
    - {{ $service }}
    {{- end }}
    - '*.{{ $etcd }}.{{ $namespace }}.svc'
    - '*.{{ $etcd }}.{{ $namespace }}.svc.cluster.local'
- secret: {{ $secrets.operator }}
  commonName: operator:operator
  names:
    - localhost
    {{- range $service := list $operator (printf "%s.%s" $operator $namespace) (printf "%s.%s.svc" $operator $namespace) (printf "%s.%s.svc.cluster.local" $operator $namespace) }}
    - {{ $service }}
    {{- end }}
- secret: {{ $secrets.metrics }}
  commonName: metrics:prometheus
  names: []
{{- end -}}
