# The server with one package, without torch: docker build --tag classifier . (after `dvc repro`, or `dvc pull models/classifier`).
FROM python:3.12-slim AS build
COPY pyproject.toml uv.lock /
# The locked versions of what serving imports, and of what these need.
RUN pip install --no-cache-dir 'uv>=0.5,<1' \
    && uv export --frozen --no-dev --no-hashes --no-annotate --no-header > /locked.txt \
    && python -m venv --without-pip /venv \
    && uv pip install --no-cache --python /venv/bin/python --constraint /locked.txt \
        fastapi numpy onnxruntime opencv-python-headless pillow pydantic python-multipart ruamel.yaml tqdm uvicorn

FROM python:3.12-slim
RUN useradd --system --no-create-home --uid 10001 classifier
COPY --from=build /venv /venv
WORKDIR /app
COPY commands/serve.py commands/
COPY transfer/runtime transfer/runtime
COPY transfer/sources transfer/sources
COPY transfer/data transfer/data
COPY transfer/evaluation transfer/evaluation
COPY transfer/deployment transfer/deployment
COPY models/classifier/package.json models/classifier/reference.npz models/classifier/model.onnx models/classifier/README.md package/
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# As the first process it gets the SIGTERM of `docker stop` itself, and answers what is under way.
ENTRYPOINT ["python", "-m", "commands.serve", "--package", "package", "--host", "0.0.0.0"]
