#!/usr/bin/env bash
# Builds everything the cluster needs, from Debian packages and Go modules only: programs, base image, node image.
# What is already there and unchanged is not built again. Usage: build.sh [programs|images|all]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
what=${1:-all}
mkdir -p "$cache/bin/cni" "$cache/roots"
started=$(date +%s)

packages() { # install the machine's missing build packages
  local missing=()
  for package in "$@"; do dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} = 0 ] || { say "installing ${missing[*]}"; apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null; }
}

# program WORLD OUTPUT PACKAGE [go build flags...]
program() {
  local world=$1 output=$2 package=$3 begun
  shift 3
  begun=$(date +%s)
  (cd "$here/tools/$world" && go build -ldflags "-s -w ${link:-}" "$@" -o "$cache/bin/$output" "$package")
  say "built $output in $(($(date +%s) - begun)) s"
}

programs() {
  export CGO_ENABLED=0
  program kind kind sigs.k8s.io/kind
  program etcd etcd go.etcd.io/etcd/server/v3
  for plugin in ipam/host-local main/loopback main/ptp meta/portmap; do
    program cni "cni/${plugin#*/}" "github.com/containernetworking/plugins/plugins/$plugin"
  done
  local tags='no_btrfs no_devmapper no_zfs'
  program containerd containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 -tags "$tags"
  program containerd containerd github.com/containerd/containerd/v2/cmd/containerd -tags "$tags"
  program containerd ctr github.com/containerd/containerd/v2/cmd/ctr -tags "$tags"
  CGO_ENABLED=1 program runc runc github.com/opencontainers/runc -tags seccomp

  local minor=${kubernetes#v1.}
  local link="-X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=1"
  link="$link -X k8s.io/component-base/version.gitMinor=${minor%%.*} -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"
  for name in kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubeadm; do
    program kubernetes "$name" "k8s.io/kubernetes/cmd/$name"
  done
  link=''
  # Of our own sources: where they lie must not be in the bytes, else every checkout would make all images anew.
  program coredns coredns . -trimpath
  program csi csi-node-driver-registrar ./node-driver-registrar -trimpath
  program csi livenessprobe ./livenessprobe -trimpath
  program csi csi-provisioner github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner
  program csi csi-attacher github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher
  program csi csi-resizer github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer
  program csi csi-snapshotter github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter
  program csi snapshot-controller github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller
}

# root NAME: a Debian tree with the packages of images/NAME.packages, as $cache/roots/NAME.tar
root() {
  local name=$1 tree=$cache/roots/$1 list mirror stamp
  list=$(sed 's/#.*//' "$here/images/$name.packages" | xargs | tr ' ' ,)
  stamp="$suite $list"
  [ "$(cat "$tree.stamp" 2> /dev/null)" != "$stamp" ] || return 0
  mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $suite" | head -1)}
  [ -n "$mirror" ] || fail "no apt source here has $suite: set DEBIAN_MIRROR"
  rm -rf "$tree" "$tree.stamp"
  mkdir -p "$cache/debs"
  debootstrap --variant=minbase --cache-dir="$cache/debs" --include="$list" "$suite" "$tree" "$mirror" > "$tree.log" 2>&1 || fail "debootstrap: see $tree.log"
  rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* "$tree"/usr/share/{doc,man,info,locale}/* "$tree/etc/machine-id"
  echo "$stamp" > "$tree.stamp"
  say "made the $name tree: $(du -sh "$tree" | cut -f1)"
}

# scratch_image NAME:TAG ENTRYPOINT FILE:PATH...: an image with nothing but these files
scratch_image() {
  local image=$1 entrypoint=$2 context file
  shift 2
  context=$(mktemp -d)
  for file; do install -D -m 755 "${file%%:*}" "$context/root${file#*:}"; done
  printf 'FROM scratch\nCOPY root/ /\nENTRYPOINT ["%s"]\n' "$entrypoint" > "$context/Dockerfile"
  docker build -t "$registry/$image" "$context" > "$cache/images.log" 2>&1 || fail "$image: see $cache/images.log"
  rm -rf "$context"
}

tar_of() { # tar_of DIRECTORY NAME [options]: the same bytes for the same files, whenever and wherever they were written
  tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "${@:3}" -c "$2"
}

images() {
  packages debootstrap buildah docker.io gcc libc6-dev libseccomp-dev pkg-config
  root base
  root node
  local stamp
  # Of what is in the files, not of where this checkout lies.
  stamp=$({ cat "$here/build.sh" && tar_of "$here" node && tar_of "$cache" bin --exclude=pause --exclude=runc-limited && cat "$cache"/roots/*.stamp; } | sha256sum)
  docker version > /dev/null 2>&1 || trap stop_docker EXIT # leave a daemon alone that was there before, maybe with a cluster
  start_docker
  if [ "$(cat "$cache/images.stamp" 2> /dev/null)" = "$stamp" ] && docker image inspect "$node_image" > /dev/null 2>&1; then
    say "the images are as they should be"
    return
  fi
  local bin=$cache/bin node=$cache/roots/node base=$cache/roots/base name library libraries=()

  mkdir -p "$base/opt/busybox" && chroot "$base" /bin/busybox --install -s /opt/busybox 2> /dev/null || true
  tar -C "$base" --sort=name --mtime=@0 -c . | docker import --change 'CMD ["/bin/bash"]' - "$registry/base:$suite" > /dev/null

  for name in kube-apiserver kube-controller-manager kube-scheduler; do
    scratch_image "$name:$kubernetes" "/usr/local/bin/$name" "$bin/$name:/usr/local/bin/$name"
  done
  for library in $(chroot "$node" ldd /usr/sbin/nft | grep -o '/[^ ]*' | sort -u); do
    libraries+=("$(readlink -f "$node$library"):$library")
  done
  scratch_image "kube-proxy:$kubernetes" /usr/local/bin/kube-proxy "$bin/kube-proxy:/usr/local/bin/kube-proxy" "$node/usr/sbin/nft:/usr/sbin/nft" "${libraries[@]}"
  scratch_image "etcd:$etcd" /usr/local/bin/etcd "$bin/etcd:/usr/local/bin/etcd"
  scratch_image "coredns:$coredns" /coredns "$bin/coredns:/coredns"
  gcc -Os -static -s -DVERSION=local -o "$bin/pause" "$(cd "$here/tools/kubernetes" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c"
  scratch_image pause:1 /pause "$bin/pause:/pause"
  for name in csi-node-driver-registrar livenessprobe csi-provisioner csi-attacher csi-resizer csi-snapshotter snapshot-controller; do
    scratch_image "$name:local" "/$name" "$bin/$name:/$name"
  done
  say "built the images of the pods"
  node_image
  echo "$stamp" > "$cache/images.stamp"
}

# The node image: Debian with systemd, containerd and the kubelet, the way kind expects it, with the images above unpacked
# in containerd's store, so that no node ever loads them.
node_image() {
  local bin=$cache/bin tree work preload pid service
  work=$(mktemp -d -p "$cache")
  tree=$work/root
  cp -a "$cache/roots/node" "$tree"
  # systemd starts nothing but the journal and what we put there: other units are for machines, and write machine-wide settings
  find "$tree"/{lib,etc}/systemd/system -path '*.wants/*' ! -name 'systemd-journald*' ! -name 'systemd-journal-flush*' -delete
  find "$tree/lib/systemd/system" -name 'systemd-journald-audit.socket' -delete
  install -D -m 644 /dev/stdin "$tree/etc/systemd/journald.conf.d/node.conf" <<< $'[Journal]\nReadKMsg=no\nAudit=no\nStorage=persistent\nSystemMaxUse=64M'
  ln -sf /lib/systemd/system/multi-user.target "$tree/etc/systemd/system/default.target"
  mkdir -p "$tree"/etc/systemd/system/multi-user.target.wants "$tree"/etc/{kubernetes/manifests,cni/net.d} "$tree"/{kind/manifests,opt/cni/bin,lib/modules}
  for service in "$here"/node/*.service; do
    install -m 644 "$service" "$tree/etc/systemd/system/"
    ln -s "../${service##*/}" "$tree/etc/systemd/system/multi-user.target.wants/${service##*/}"
  done
  install -m 755 "$here/node/entrypoint" "$bin"/{kubelet,kubeadm,kubectl,containerd,containerd-shim-runc-v2,ctr} "$tree/usr/local/bin/"
  install -m 755 "$bin/runc" "$tree/usr/local/sbin/runc"
  install -m 755 "$bin"/cni/* "$tree/opt/cni/bin/"
  install -D -m 644 "$here/node/containerd.toml" "$tree/etc/containerd/config.toml"
  echo "$kubernetes" > "$tree/kind/version"

  preload=$work/preload
  mkdir "$preload"
  cat > "$preload/config.toml" << T
version = 3
root = "$tree/var/lib/containerd"
state = "$preload/state"
disabled_plugins = ["io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"]
[grpc]
address = "$preload/socket"
T
  containerd --config "$preload/config.toml" > "$cache/preload.log" 2>&1 &
  pid=$!
  for _ in $(seq 50); do ctr -a "$preload/socket" version > /dev/null 2>&1 && break || sleep 0.2; done
  docker images --format '{{.Repository}}:{{.Tag}}' "$registry/*" | grep -v "^$registry/node" | sort > "$preload/images"
  xargs docker save < "$preload/images" | ctr -a "$preload/socket" -n k8s.io images import --snapshotter overlayfs - > /dev/null || fail "import: see $cache/preload.log"
  ctr -a "$preload/socket" -n k8s.io content prune references > /dev/null 2>&1 # the unpacked layers are enough
  kill "$pid"
  wait "$pid" || true

  tar -C "$tree" -c . | docker import - "$registry/node-tree" > /dev/null
  printf 'FROM %s\nENV container=docker\nSTOPSIGNAL SIGRTMIN+3\nENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]\n' "$registry/node-tree" |
    docker build -q -t "$node_image" - > /dev/null 2>&1
  rm -rf "$work"
  docker image prune -f > /dev/null
  say "built $node_image"
}

case $what in
  programs) packages gcc libc6-dev libseccomp-dev pkg-config; programs ;;
  images) images ;;
  all) packages gcc libc6-dev libseccomp-dev pkg-config; programs; images ;;
  *) fail "usage: build.sh [programs|images|all]" ;;
esac
say "done in $(($(date +%s) - started)) s; $cache holds $(du -sh "$cache" | cut -f1)"
