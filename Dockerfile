# The service, on a CPU: docker build -t memae . ; docs/service.md says how it is run.

FROM python:3.11-slim AS build
RUN python -m venv /opt/memae
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# The index of torch's wheels for CPUs, which are a tenth of the others.
RUN /opt/memae/bin/pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c constraints.txt '.[serve]'

FROM python:3.11-slim
COPY --from=build /opt/memae /opt/memae
RUN useradd --create-home memae
USER memae
ENV PATH=/opt/memae/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["memae", "serve"]
CMD ["/models/model.memae", "--host", "0.0.0.0", "--token-file", "/run/secrets/token"]
