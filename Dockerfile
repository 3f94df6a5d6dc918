# Two stages: the first builds, the second is an empty image with what node links to, the node binary, and the
# server with its run-time packages. There is no shell, no package manager and no library that nothing
# loads; so nothing to update but what is listed in /app/sbom.cdx.json, and no base but this one.
#
# Of the lines of Node that take least CPU a request, 24 and 26 (test/bench/README.md), 24 needs no library beside.
# glibc, not musl: the node binary of the project is tested with it.
#
# A release names its base by digest: --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:... (docs/deployment.md).
ARG NODE_IMAGE=node:24-bookworm-slim
FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json .rolldown.config.js .sbom.mjs ./
COPY bin ./bin
COPY src ./src
# The program can be called by its name where there is no `env` to look for node. With --single-threaded-gc a thread collects
# its own garbage, which is little: V8's helpers would take the processor from it in slices of 4 ms.
RUN npm run build \
    && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
    && find node_modules -type f \( -name '*.md' -o -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete \
    && find dist -name '*.map' -delete \
    && sed -i '1s|.*|#!/usr/local/bin/node --single-threaded-gc|' dist/bin/saslcached.js \
    && chmod 755 dist/bin/saslcached.js
# The root of the image: the libraries that `ldd` names, their licenses, and their records where scanners of images
# look for those of Debian's packages; users, names of hosts, and the two directories of the server, which a
# volume takes its owner and mode from.
RUN set -eu; root=/image; packages='libc6 libgcc-s1 libstdc++6'; \
    mkdir -p $root/etc $root/usr/local/bin $root/var/lib/dpkg/status.d; \
    cp --dereference --parents $(ldd /usr/local/bin/node | grep -o '/[^ ]*') $root; \
    cp --dereference --parents $(printf '/usr/share/doc/%s/copyright ' $packages) /etc/os-release $root; \
    for package in $packages; do dpkg-query --status $package > $root/var/lib/dpkg/status.d/$package; done; \
    echo 'saslcached:x:11211:11211::/var/lib/saslcached:/nonexistent' > $root/etc/passwd; \
    echo 'saslcached:x:11211:' > $root/etc/group; \
    echo 'hosts: files dns' > $root/etc/nsswitch.conf; \
    install -d -m 755 $root/etc/saslcached; \
    install -d -m 700 -o 11211 -g 11211 $root/var/lib/saslcached; \
    ln -s /app/dist/bin/saslcached.js $root/usr/local/bin/saslcached; \
    for package in $packages; do dpkg-query --status $package; echo; done | node .sbom.mjs /usr/local/bin/node > sbom.cdx.json

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="saslcached" \
      org.opencontainers.image.description="A memcached-compatible server in which nothing but login works before login" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="scratch"
# One malloc arena for all threads: glibc's arenas keep what the compiler threads once used, some 8 MiB.
# Metrics and health are answered inside the container; -e SASLCACHED_HTTP= turns it off, another address opens it.
ENV PATH=/usr/local/bin NODE_ENV=production MALLOC_ARENA_MAX=1 SASLCACHED_HTTP=127.0.0.1:9150
COPY --from=build /image /
COPY --from=build /usr/local/bin/node /usr/local/bin/node
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/sbom.cdx.json ./
COPY config/saslcached.toml config/users.example.toml ./config/
# A number, not a name, so that Kubernetes can tell that it is not root. The server writes no files
# unless told to, so a read-only root file system is fine.
USER 11211:11211
EXPOSE 11211 9150
# VERSION is answered before login: the check needs no password and holds no secret. It finds out how
# process 1 was started, so it works with any -p, -l, -s, file or variables. A server whose items come back is
# not ready yet; the first success ends the long start period.
HEALTHCHECK --interval=10s --timeout=3s --start-period=300s --retries=3 \
    CMD ["node", "/app/dist/bin/saslcached.js", "health"]
STOPSIGNAL SIGTERM
# Not with --disable-sigusr1: it blocks the signal, which is one of those that stop the server.
ENTRYPOINT ["node", "--single-threaded-gc", "/app/dist/bin/saslcached.js"]
