# The first stage has pip and the sources, the second what runs: one virtual environment, one user, one volume.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/dna && /opt/dna/bin/pip install --no-cache-dir -c constraints.txt '.[solana]'

FROM python:3.11-slim
COPY --from=build /opt/dna /opt/dna
# The ledger is a folder inside the volume, since `dna init` writes its verifier key beside it (ledger.vkey).
RUN useradd --system --uid 10001 --home-dir /var/lib/dna --create-home dna && chmod 0700 /var/lib/dna
ENV PATH=/opt/dna/bin:$PATH PYTHONUNBUFFERED=1 DNA_PORT=8420
USER dna
WORKDIR /var/lib/dna
VOLUME /var/lib/dna

# No port is exposed: it listens on the container's loopback until a command says otherwise.
# Healthy: the process serves, appends and follows (docs/decisions/0026). Set another port by DNA_PORT, so that the check knows it.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{os.environ[\"DNA_PORT\"]}/api/health/ready', timeout=5)"]
ENTRYPOINT ["dna"]
CMD ["run", "/var/lib/dna/ledger"]
