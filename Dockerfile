# syntax=docker/dockerfile:1
#
# The server, in an image of a few tens of megabytes: no shell, no package manager, not root.
#
#     docker build --tag shardstream .
#
#     # Try it out: an embedded DynamoDB, and the records that it streams.
#     docker run --rm -it -p 127.0.0.1:50051:50051 shardstream dev --allow-plaintext
#
#     # Serve an account's streams. Region and credentials come as AWS's SDKs expect them.
#     docker run --rm -p 127.0.0.1:50051:50051 -e AWS_REGION -e AWS_ACCESS_KEY_ID -e AWS_SECRET_ACCESS_KEY \
#         shardstream serve --allow-plaintext --allow-anonymous
#
# A container has to listen on all of its addresses to be reached at all, and the server refuses to do that without TLS, or
# without asking callers who they are, unless it is told so. Those flags are yours to give: they say that you know who reaches
# the container's port.
#
# No HEALTHCHECK: there is no program in the image to ask with, and orchestrators ask by themselves. gRPC health (v1) answers
# on port 50051; GET /livez and /readyz on port 9090. SIGTERM drains; give it the time that it is configured to take, with
# `docker stop --timeout` or terminationGracePeriodSeconds.

FROM rust:1.95-slim-trixie AS build
WORKDIR /build
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo

# The dependencies, in a layer of their own that only a change of these files renews. An empty package stands in for ours;
# the benchmark is not built, but the workspace names it. The package's artefacts are removed at the end: they are younger
# than our sources, so that cargo would take them for up to date.
COPY Cargo.toml Cargo.lock ./
COPY bench bench
COPY simulator simulator
COPY clients/rust clients/rust
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs build.rs \
    && cargo build --release --locked --package shardstream \
    && cargo clean --release --package shardstream \
    && rm -r src build.rs

COPY build.rs ./
COPY proto proto
COPY src src
RUN cargo build --release --locked --package shardstream

# The C library that the binary was linked against, and the certificate authorities that AWS's endpoints are checked with.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /build/target/release/shardstream /usr/local/bin/shardstream
ENV SHARDSTREAM_LISTEN=0.0.0.0:50051 \
    SHARDSTREAM_ADMIN_LISTEN=0.0.0.0:9090
EXPOSE 50051 9090
ENTRYPOINT ["/usr/local/bin/shardstream"]
CMD ["serve"]
