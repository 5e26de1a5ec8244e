# The first stage has pip and the sources, the second what runs: one virtual environment, one user, one volume.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/dna && /opt/dna/bin/pip install --no-cache-dir -c constraints.txt '.[solana]'

FROM python:3.11-slim
COPY --from=build /opt/dna /opt/dna
# The ledger is a folder inside the volume, since `dna init` writes its verifier key beside it (ledger.vkey).
RUN useradd --system --uid 10001 --home-dir /var/lib/dna --create-home dna && chmod 0700 /var/lib/dna
ENV PATH=/opt/dna/bin:$PATH PYTHONUNBUFFERED=1
USER dna
WORKDIR /var/lib/dna
VOLUME /var/lib/dna

# No port is exposed: it listens on the container's loopback until a command says otherwise.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["dna", "status", "/var/lib/dna/ledger"]
ENTRYPOINT ["dna"]
CMD ["run", "/var/lib/dna/ledger"]
