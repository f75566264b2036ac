#!/usr/bin/env bash
# Installs Holdfast on the cluster: pools on XFS on every worker, certificates, kinds, roles, programs, sidecars. Does nothing twice.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
checkout=$(cd "$here/../.." && pwd)
export PATH=$checkout/node_modules/.bin:$PATH
started=$(date +%s)
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
# shellcheck disable=SC2086
node "$here/secrets.ts" "$state/tls" $workers
snapshots=$(cd "$here/tools/csi" && go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)/config/crd
for kind in volumesnapshotclasses volumesnapshotcontents volumesnapshots; do kubectl apply -f "$snapshots/snapshot.storage.k8s.io_$kind.yaml"; done > /dev/null
kubectl apply -f "$checkout/crds/" -f "$checkout/helm/rbac.yaml" > /dev/null
for manifest in "$here"/manifests/*.yaml; do sed "s/ETCD_VERSION/$etcd/" "$manifest" | kubectl apply -f - > /dev/null; done
for what in statefulset/etcd deployment/operator daemonset/agent; do
  kubectl -n holdfast-system rollout status "$what" --timeout=180s > /dev/null || fail "$what is not ready: kubectl -n holdfast-system describe $what"
done
kubectl -n holdfast-system wait pods -l app=holder --for=condition=Ready --timeout=60s > /dev/null
kubectl wait storagenodes --all --for=condition=Ready --timeout=60s > /dev/null
say "Holdfast is installed after $(($(date +%s) - started)) s"
