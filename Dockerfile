# Build: docker build -t tandem .
#        For a machine without a GPU, give the index of CPU-only torch wheels: --build-arg TORCH_INDEX=URL
# Run:   docker run --rm -v "$PWD/runs:/app/runs" tandem train smoke
#        The folder must be writable by user 1000. With a GPU add: --gpus all -e MUJOCO_GL=egl
FROM debian:bookworm-slim

# Debian's archive drops old versions, so that a pinned one would stop the build one day.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libegl1 libgl1 libosmesa6 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tandem \
    && install -d -o tandem -g tandem /app /app/runs

USER 1000:1000
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH \
    MUJOCO_GL=osmesa \
    PYTHONUNBUFFERED=1

ARG TORCH_INDEX
COPY --chown=tandem:tandem . .
# Editable, because the packages carry names that others use too and must not be spread over site-packages.
RUN python3 -m venv .venv \
    && pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt -e '.[video]'

VOLUME /app/runs
ENTRYPOINT ["tandem"]
CMD ["train"]
