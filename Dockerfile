# syntax=docker/dockerfile:1
# Two stages: the first compiles, the second holds Node, the compiled server and its run-time
# packages. Node 24 is the current LTS line.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY bin ./bin
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
    && find node_modules -type f \( -name '*.md' -o -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="saslcached" \
      org.opencontainers.image.description="A memcached-compatible server in which nothing but login works before login" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.documentation="README.md"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY config ./config
# A number, not a name, so that Kubernetes can tell that it is not root. It owns nothing in the
# image: the server writes no files unless told to, and a read-only root file system is fine.
USER 11211:11211
EXPOSE 11211
# VERSION is answered before login: the check needs no password and holds no secret.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["node", "/app/dist/bin/saslcached.js", "health"]
ENTRYPOINT ["node", "/app/dist/bin/saslcached.js"]
