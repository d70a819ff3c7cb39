# A node in a container: docker build -t helenus .
# The binary needs nothing of the final image but the C library.
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin helenus

FROM debian:bookworm-slim
RUN useradd --system --home-dir /var/lib/helenus --create-home helenus
COPY --from=build /src/target/release/helenus /usr/local/bin/helenus
COPY config/helenus.toml /etc/helenus/helenus.toml
USER helenus
ENV HELENUS_DATA_DIR=/var/lib/helenus HELENUS_LISTEN_ADDRESS=0.0.0.0
VOLUME /var/lib/helenus
# Clients; other nodes.
EXPOSE 9042 7000
ENTRYPOINT ["/usr/local/bin/helenus"]
CMD ["serve"]
