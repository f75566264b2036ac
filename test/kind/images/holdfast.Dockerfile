# Operator, agent and holder: which of them a container is, its command says.
ARG BASE
FROM ${BASE}
COPY root/ /
COPY app/ /app
WORKDIR /app
ENV NODE_COMPILE_CACHE=/tmp/compile-cache
CMD ["node", "agent/main.ts"]
