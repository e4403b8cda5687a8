# Building, running, resuming and stopping: docs/docker.md
FROM debian:bookworm-slim AS base

# Debian's archive drops old versions, so that a pinned one would stop the build one day.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libegl1 libgl1 libosmesa6 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tandem \
    && install -d -o tandem -g tandem /app/runs \
    && python3 -m venv /app/.venv
# NVIDIA's container runtime brings the driver's EGL library, not always the file by which libEGL finds it.
RUN printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "libEGL_nvidia.so.0"}}\n' \
    > /usr/share/glvnd/egl_vendor.d/10_nvidia.json
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH

# The code as a wheel, and in a file of its own what the code needs: one changes daily, the other seldom.
FROM base AS code
COPY . code
RUN pip wheel --no-cache-dir --no-deps --wheel-dir wheel ./code \
    && python -c "from configparser import ConfigParser; c = ConfigParser(); c.read('code/setup.cfg'); \
        print(c['options']['install_requires'], c['options.extras_require']['video'])" > requirements.txt

FROM base
ARG TORCH_INDEX
COPY --from=code /app/requirements.txt /app/code/constraints.txt ./
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt -r requirements.txt
COPY --from=code /app/wheel wheel
RUN pip install --no-cache-dir --no-deps wheel/*.whl

ENV MPLCONFIGDIR=/tmp/matplotlib \
    MUJOCO_GL=osmesa \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics \
    PYTHONUNBUFFERED=1
USER 1000:1000
VOLUME /app/runs
ENTRYPOINT ["tandem"]
CMD ["train"]
