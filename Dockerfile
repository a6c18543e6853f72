# The bot with everything it builds and smokes QEMU with, on Debian 12. The command says what the container does:
#
#   docker build -t migbot .
#   docker run -v migbot:/var/lib/bot migbot doctor
#   docker run -v migbot:/var/lib/bot migbot run                                  # watches, until it is stopped
#   docker run -v migbot:/var/lib/bot migbot bisect v4.2.0..master ...            # one question
#   docker run -v migbot:/var/lib/bot migbot worker                               # tests for another host's searches
#   docker run --network host migbot scheduler                                    # hands them out (docs/hosts.md)
#
# For KVM add --device /dev/kvm. State and cache live in the volume; the image holds no secret. QEMU is built and run
# inside the container with the rights of its user `bot`.
FROM debian:12

WORKDIR /opt/src
COPY .ci/setup .ci/setup
RUN .ci/setup packages && apt-get clean && rm -rf /var/lib/apt/lists/* .cache

COPY pyproject.toml README.md LICENSE config.yaml ./
COPY templates templates
COPY bot bot
RUN python3 -m venv /opt/bot \
    && /opt/bot/bin/pip install --no-cache-dir --disable-pip-version-check . \
    && ln -s /opt/bot/bin/bot /usr/local/bin/bot \
    && useradd --create-home --home-dir /var/lib/bot bot

USER bot
WORKDIR /var/lib/bot
VOLUME /var/lib/bot
ENTRYPOINT ["bot"]
CMD ["run"]
