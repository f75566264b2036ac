#!/usr/bin/env bash
# The version before this one, from this checkout's history: its chart in $state/previous, its images on every node with the tag `previous`. Usage: previous.sh [COMMIT]
# The images are this version's with the other's programs, which have the same packages beneath them: that is checked.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
checkout=$(cd "$here/../.." && pwd)
commit=${1:-$(cat "$here/previous")}
previous=$state/previous
git -C "$checkout" rev-parse -q --verify "$commit^{commit}" > /dev/null || fail "the history of this checkout ends before $commit: git fetch --unshallow"
rm -rf "$previous"
mkdir -p "$previous"
git -C "$checkout" archive "$commit" | tar -x -C "$previous"
needed() { sed 's/"version": "[^"]*",//' "$1/package-lock.json" | head -60 | grep -A 30 '"dependencies"'; }
[ "$(needed "$previous")" = "$(needed "$checkout")" ] || fail "$commit needs other packages than this version: build its own images"
for name in holdfast-operator holdfast-agent; do
  printf 'FROM %s/%s:dev\nCOPY agent /app/agent\nCOPY bin /app/bin\nCOPY core /app/core\nCOPY edge /app/edge\nCOPY operator /app/operator\nCOPY package.json /app/package.json\n' "$registry" "$name" > "$previous/Dockerfile"
  docker build -q -t "$registry/$name:previous" "$previous" > "$state/previous.log" 2>&1 || { tail -5 "$state/previous.log" >&2; fail "could not make the images of $commit"; }
done
"$here/load-image.sh" "$registry/holdfast-operator:previous" "$registry/holdfast-agent:previous"
