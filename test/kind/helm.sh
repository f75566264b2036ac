#!/usr/bin/env bash
# The helm that tools/helm pins, on the cluster. Usage: helm.sh WORDS...
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
checkout=$(cd "$here/../.." && pwd)
exec "$(PATH=$checkout/node_modules/.bin:$PATH node "$checkout/tools/helm/program.ts")" "$@"
