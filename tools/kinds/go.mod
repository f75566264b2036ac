// Where kinds of others lie that the chart makes objects of: nothing is built of these modules, their files are read.
module holdfast.dev/tools/kinds

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	github.com/cert-manager/cert-manager v1.19.1
	github.com/kubernetes-csi/external-snapshotter/client/v8 v8.6.0
)
