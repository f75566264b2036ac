#!/usr/bin/env bash
# Installs Holdfast on the cluster by its chart: pools on XFS on every worker, snapshots' kinds and controller, helm. Does nothing twice. Usage: deploy.sh [--previous] [--set NAME=VALUE...]
# --previous: the chart and the images of previous.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
checkout=$(cd "$here/../.." && pwd)
export PATH=$checkout/node_modules/.bin:$PATH
started=$(date +%s)
chart=$checkout/helm/holdfast
if [ "${1:-}" = --previous ]; then
  shift
  chart=$state/previous/helm/holdfast
  set -- --set image.tag=previous "$@"
fi
workers=$(nodes | grep -v control-plane | sort)

# Snapshots need a file system that can share blocks, and a node that was powered off must find its pool again.
for node in $workers; do
  docker exec -i "$node" bash -e << 'N'
mkdir -p /var/lib/holdfast/pool
[ -e /var/lib/holdfast/pool.img ] || { truncate -s 40G /var/lib/holdfast/pool.img; mkfs.xfs -q -K /var/lib/holdfast/pool.img; }
cat > /etc/systemd/system/holdfast-pool.service << U
[Unit]
Before=kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "mountpoint -q /var/lib/holdfast/pool || mount -o loop /var/lib/holdfast/pool.img /var/lib/holdfast/pool"
[Install]
WantedBy=multi-user.target
U
systemctl daemon-reload
systemctl enable -q --now holdfast-pool
N
done

kubectl apply -f - > /dev/null <<< '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"holdfast-system","labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}'
snapshots=$(cd "$here/tools/csi" && go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)/config/crd
for kind in volumesnapshotclasses volumesnapshotcontents volumesnapshots; do kubectl apply -f "$snapshots/snapshot.storage.k8s.io_$kind.yaml"; done > /dev/null
kubectl wait --for=condition=Established crd/volumesnapshotclasses.snapshot.storage.k8s.io --timeout=30s > /dev/null
kubectl apply -f "$here/snapshot-controller.yaml" > /dev/null

# legacy: the other way of waiting waits for ever for a holder that is only replaced by hand.
"$here/helm.sh" upgrade --install holdfast "$chart" --namespace holdfast-system --values "$here/values.yaml" \
  --set "etcd.image=$registry/etcd:$etcd" --wait=legacy --timeout 5m "$@" > "$state/helm.log" 2>&1 || { tail -20 "$state/helm.log" >&2; fail "helm failed"; }
kubectl -n holdfast-system wait pods -l app.kubernetes.io/component=holder --for=condition=Ready --timeout=60s > /dev/null
kubectl wait storagenodes --all --for=condition=Ready --timeout=60s > /dev/null
say "Holdfast is installed after $(($(date +%s) - started)) s"
