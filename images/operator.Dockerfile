# The operator, its signer, and `kubectl holdfast` for whom runs it in a pod: Node, the C library, production packages, sources. No shell, no root.
# The context is staged by `make images` (tools/images/context.ts); any builder can take it from there. Nothing made for ARCH is run while building.
ARG BASE=docker.io/library/debian:bookworm-slim
FROM --platform=$BUILDPLATFORM ${BASE} AS system
ARG ARCH=amd64
ARG MIRROR=
COPY build/ /build/
RUN /build/system.sh "$ARCH" /build/operator.packages /tree

FROM scratch
ARG VERSION=
ARG REVISION=
COPY --from=system /tree/ /
COPY root/ /
COPY app/ /app/
WORKDIR /app
USER 65532:65532
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin NODE_ENV=production
LABEL org.opencontainers.image.title="Holdfast operator" \
      org.opencontainers.image.description="Replicated block volumes for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
CMD ["node", "operator/main.ts"]
