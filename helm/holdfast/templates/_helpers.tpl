{{- /* Names, labels and images, and what several pods have alike. */ -}}

{{- define "holdfast.fullname" -}}
{{- default "holdfast" .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* What an object's selector holds on to for ever. Called with (list . COMPONENT). */ -}}
{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "holdfast.labels" -}}
{{ include "holdfast.selector" . }}
app.kubernetes.io/part-of: holdfast
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Of a pod: its version, too. */ -}}
{{- define "holdfast.podLabels" -}}
{{ include "holdfast.labels" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
{{- end -}}

{{- define "holdfast.operatorImage" -}}
{{- default (printf "%s/holdfast-operator:%s" .Values.image.registry (default .Chart.AppVersion .Values.image.tag)) .Values.operator.image -}}
{{- end -}}

{{- define "holdfast.agentImage" -}}
{{- default (printf "%s/holdfast-agent:%s" .Values.image.registry (default .Chart.AppVersion .Values.image.tag)) .Values.agent.image -}}
{{- end -}}

{{- define "holdfast.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "holdfast.ownsEtcd" -}}
{{- if not .Values.etcd.external.endpoints }}true{{ end -}}
{{- end -}}

{{- define "holdfast.etcdEndpoints" -}}
{{- if .Values.etcd.external.endpoints -}}
{{ join "," .Values.etcd.external.endpoints }}
{{- else -}}
{{- $name := printf "%s-etcd" (include "holdfast.fullname" .) -}}
{{- $all := list -}}
{{- range $index := until (int .Values.etcd.replicas) -}}
{{- $all = append $all (printf "https://%s-%d.%s.%s.svc:2379" $name $index $name $.Release.Namespace) -}}
{{- end -}}
{{ join "," $all }}
{{- end -}}
{{- end -}}

{{- /* The signer speaks for us, unless everything is given. */ -}}
{{- define "holdfast.hasSigner" -}}
{{- if ne .Values.certificates.mode "secrets" }}true{{ end -}}
{{- end -}}

{{- define "holdfast.keepsAccounts" -}}
{{- if and (include "holdfast.hasSigner" .) .Values.etcd.accounts }}true{{ end -}}
{{- end -}}

{{- define "holdfast.signerName" -}}holdfast.dev/agent{{- end -}}

{{- /* Nothing runs as root, writes to its image, gains rights or makes system calls that nobody expects. */ -}}
{{- define "holdfast.unprivilegedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "holdfast.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "holdfast.env" -}}
{{- range $name, $value := . }}
- { name: {{ $name }}, value: {{ $value | toString | quote }} }
{{- end }}
{{- end -}}

{{- /* Replicas apart from each other: on nodes where that is possible, in zones where it can be had. Called with (list . COMPONENT). */ -}}
{{- define "holdfast.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: DoNotSchedule
    labelSelector: { matchLabels: { {{- include "holdfast.selector" . | replace "\n" ", " -}} } }
    matchLabelKeys: [pod-template-hash]
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: { matchLabels: { {{- include "holdfast.selector" . | replace "\n" ", " -}} } }
    matchLabelKeys: [pod-template-hash]
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector: { matchLabels: { {{- include "holdfast.selector" . | replace "\n" ", " -}} } }
{{- end -}}

{{- /* Agent and holder of a node are where the other is. */ -}}
{{- define "holdfast.nodePlacement" -}}
{{- with .Values.nodes.selector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodes.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodes.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The service account of the pod, mounted where one container alone finds it. */ -}}
{{- define "holdfast.tokenVolume" -}}
projected:
  sources:
    - serviceAccountToken: { path: token, expirationSeconds: 3600 }
    - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
    - downwardAPI: { items: [{ path: namespace, fieldRef: { fieldPath: metadata.namespace } }] }
{{- end -}}

{{- /* auto: where the kinds are there. Called with (dict "root" . "when" VALUE "kind" API). */ -}}
{{- define "holdfast.isWanted" -}}
{{- if or (eq .when "always") (and (eq .when "auto") (.root.Capabilities.APIVersions.Has .kind)) }}true{{ end -}}
{{- end -}}

{{- /* Called with the weight: what is lighter comes first. */ -}}
{{- define "holdfast.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
