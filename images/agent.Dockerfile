# The agent of a node, the holder of its block devices and the keeper of its certificate: Node, sources, and the programs that make and mount file
# systems. No shell. It starts as root because the agent mounts for pods; `identity` runs as 65532 (images/README.md).
# The context is staged by `make images` (tools/images/context.ts); any builder can take it from there. Nothing made for ARCH is run while building.
ARG BASE=docker.io/library/debian:bookworm-slim
FROM --platform=$BUILDPLATFORM ${BASE} AS system
ARG ARCH=amd64
ARG MIRROR=
COPY build/ /build/
RUN /build/system.sh "$ARCH" /build/agent.packages /tree

FROM scratch
ARG VERSION=
ARG REVISION=
COPY --from=system /tree/ /
COPY root/ /
COPY app/ /app/
WORKDIR /app
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin NODE_ENV=production
LABEL org.opencontainers.image.title="Holdfast agent" \
      org.opencontainers.image.description="Replicated block volumes for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
CMD ["node", "agent/main.ts"]
