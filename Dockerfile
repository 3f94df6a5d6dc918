# Two stages: the first bundles, the second is Debian slim with the node binary, the bundled
# server and its run-time packages. Of the lines that take least CPU a request, 24 and 26
# (test/bench/README.md), 24 needs no library beside. Of the node image only the binary is taken
# over: no npm, no yarn, nothing that a server does not need.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json .rolldown.config.js ./
COPY bin ./bin
COPY src ./src
RUN npm run build \
    && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
    && find node_modules -type f \( -name '*.md' -o -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="saslcached" \
      org.opencontainers.image.description="A memcached-compatible server in which nothing but login works before login" \
      org.opencontainers.image.licenses="MIT"
# One malloc arena for all threads: glibc's arenas keep what the compiler threads once used, some 8 MiB.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1
COPY --from=build /usr/local/bin/node /usr/local/bin/node
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY config ./config
# A number, not a name, so that Kubernetes can tell that it is not root. The server writes no files
# unless told to, so a read-only root file system is fine.
USER 11211:11211
EXPOSE 11211
# VERSION is answered before login: the check needs no password and holds no secret. It finds out how
# process 1 was started, so it works with any -p, -l, -s, file or variables.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["node", "/app/dist/bin/saslcached.js", "health"]
STOPSIGNAL SIGTERM
# Not with --disable-sigusr1: it blocks the signal, which is one of those that stop the server.
ENTRYPOINT ["node", "/app/dist/bin/saslcached.js"]
