#!/usr/bin/env bash
# Builds Kubernetes' storage tests, the program that spreads them, and the images that their pods ask for; puts those on every node.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
export CGO_ENABLED=0
programs=$cache/conformance # not in bin/: what lies there is in the node image
mkdir -p "$programs"
(
  cd "$here/tools/kubernetes"
  go test -c -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes" -o "$programs/storage.test" ./conformance
  go build -ldflags '-s -w' -o "$programs/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
  go build -ldflags '-s -w' -o "$programs/agnhost" k8s.io/kubernetes/test/images/agnhost
)
say 'built the storage tests'
wanted() { awk -v image="$1" -F '"' 'index($0, "configs[" image "]") { print $(NF - 1) }' "$(cd "$here/tools/kubernetes" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/test/utils/image/manifest.go"; }
context=$(mktemp -d)
install -m 755 "$programs/agnhost" "$context/agnhost"
cat > "$context/Dockerfile" << D
FROM $registry/base:$suite
COPY agnhost /agnhost
ENTRYPOINT ["/agnhost"]
CMD ["pause"]
D
docker build -q -t "$registry/agnhost:$(wanted Agnhost)" "$context" > /dev/null
images=("$registry/agnhost:$(wanted Agnhost)" "$registry/pause:$(wanted Pause)")
# Of all others the suite wants a shell and its tools; the shell must be busybox's, which counts by `let`.
install -m 755 "$cache/roots/base/bin/busybox" "$context/busybox"
cat > "$context/Dockerfile" << D
FROM $registry/base:$suite
COPY busybox /usr/bin/sh
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/busybox
CMD ["sh"]
D
for image in BusyBox:busybox Nginx:nginx GlibcDnsTesting:glibc-dns-testing; do
  images+=("$registry/${image#*:}:$(wanted "${image%%:*}")")
  docker build -q -t "${images[-1]}" "$context" > /dev/null 2>&1
done
docker tag "$registry/pause:1" "$registry/pause:$(wanted Pause)"
rm -rf "$context"
"$here/load-image.sh" "${images[@]}"
