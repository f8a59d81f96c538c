# One image for every role: web (the default), worker, beat, migrate. compose shows how each starts.
FROM python:3.11-slim AS packages
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
    -r requirements.txt

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PROMETHEUS_MULTIPROC_DIR=/tmp/latchkey-http-metrics
RUN useradd --system --uid 10001 --home-dir /app latchkey
WORKDIR /app
COPY --from=packages /venv /venv
COPY . .
# Static files are collected once, here; these two values are of this step alone.
RUN SECRET_KEY=build-only KEY_PEPPER=build-only python manage.py collectstatic --noinput -v0 \
    --skip-checks
USER latchkey
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/live', timeout=4)"]
CMD ["granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", \
    "--workers", "2", "--blocking-threads", "16", "config.wsgi:application"]
