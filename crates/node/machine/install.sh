#!/usr/bin/env bash
# Installs a node. Its user data (LaunchTemplate in template.yaml) reads this file in, after the values of the stack's parameters and the
# functions `imds` and `signed`.
#
# Rule: the firewall comes before whatever runs as the user `browser`, and the node comes last: an installation that fails leaves a machine
# that never registers, which the pool replaces.

# What the user data has set.
: "${API_URL:?}" "${REGION:?}" "${LOG_GROUP:?}" "${NODE_SYSTEM:?}" "${LAYER_DIR:?}" "${SILENCE_SECONDS_MAX:?}"
: "${SERVICE_KIND:?}" "${SERVICE_S3_URI=}" "${SERVICE_REPOSITORY=}" "${SERVICE_COMMAND=}"
: "${ENDPOINT_TLS:?}" "${SESSIONS:?}" "${BUSY_PERCENT_MAX:?}" "${BROWSER_ALLOWED_CIDRS=}" "${HEALTH_PORT:?}" "${HEALTH_PATH:?}" "${HEALTH_ATTEMPTS:?}"
: "${HEALTH_INTERVAL_SECONDS:?}" "${HEARTBEAT_SECONDS:?}"

NODE=/usr/local/bin/browser-node
SERVICE_DIR=/opt/browser-service
BROWSER=/usr/local/bin/pool-browser
FIREWALL=/etc/ec2-pool/browser.nft

# ---- packages

# add_source NAME KEY SOURCE: a source of packages and the key that signs it.
add_source() {
  curl -fsSL --retry 5 "$2" | gpg --batch --yes --dearmor -o "/usr/share/keyrings/$1.gpg"
  echo "deb [signed-by=/usr/share/keyrings/$1.gpg] $3" >"/etc/apt/sources.list.d/$1.list"
}

# Ubuntu's own Node.js is older than any that is still looked after.
install_node_js() {
  if [[ $NODE_SYSTEM == amazon-linux ]]; then
    dnf install -y git nodejs22 nodejs22-npm
  else
    add_source nodesource https://deb.nodesource.com/gpgkey/nodesource-repo.gpg.key 'https://deb.nodesource.com/node_22.x nodistro main'
    apt-get update -q
    apt-get install -y -q git nodejs
  fi
}

install_cloudwatch_agent() {
  if [[ $NODE_SYSTEM == amazon-linux ]]; then
    dnf install -y amazon-cloudwatch-agent
  else
    local package=/var/tmp/amazon-cloudwatch-agent.deb
    curl -fsSL --retry 5 -o "$package" \
      "https://amazoncloudwatch-agent.s3.amazonaws.com/ubuntu/$(dpkg --print-architecture)/latest/amazon-cloudwatch-agent.deb"
    apt-get install -y -q "$package"
  fi
}

install_packages() {
  if [[ $NODE_SYSTEM == amazon-linux ]]; then
    dnf install -y nftables tar
  else
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q ca-certificates gpg nftables
  fi
  install_cloudwatch_agent
  # Chromium for arm64 comes by npm.
  if [[ $SERVICE_KIND == own || $(uname -m) != x86_64 ]]; then install_node_js; fi
  if [[ $(uname -m) == x86_64 ]]; then install_chrome; else install_chromium; fi
}

install_chrome() {
  if [[ $NODE_SYSTEM == ubuntu ]]; then
    add_source google-chrome https://dl.google.com/linux/linux_signing_key.pub 'https://dl.google.com/linux/chrome/deb stable main'
    apt-get update -q
    apt-get install -y -q google-chrome-stable
  else
    cat >/etc/yum.repos.d/google-chrome.repo <<'REPO'
[google-chrome]
name=google-chrome
baseurl=https://dl.google.com/linux/chrome/rpm/stable/x86_64
gpgcheck=1
gpgkey=https://dl.google.com/linux/linux_signing_key.pub
REPO
    dnf install -y google-chrome-stable
  fi
  ln -sfn /usr/bin/google-chrome-stable "$BROWSER"
}

# Chrome has no build for arm64, and neither system has Chromium as a package of its own; Playwright keeps one.
install_chromium() {
  export PLAYWRIGHT_BROWSERS_PATH=/opt/chromium
  if [[ $NODE_SYSTEM == ubuntu ]]; then
    # Only programs with a profile may make the namespaces that a sandbox is made of.
    cat >/etc/apparmor.d/ec2-pool-chromium <<'PROFILE'
abi <abi/4.0>,
include <tunables/global>
profile ec2-pool-chromium /opt/chromium/**/chrome flags=(unconfined) {
  userns,
}
PROFILE
    apparmor_parser --replace /etc/apparmor.d/ec2-pool-chromium
    npx --yes playwright@1 install --with-deps chromium
  else
    dnf install -y alsa-lib atk at-spi2-atk cups-libs libdrm libXcomposite libXdamage libXrandr libxkbcommon mesa-libgbm nss pango
    npx --yes playwright@1 install chromium
  fi
  ln -sfn "$(find /opt/chromium -type f -name chrome -perm -u+x | head -n 1)" "$BROWSER"
}

# ---- the log

# What stands in the journal under our name goes to a file, and the file to CloudWatch. An instance does not live long enough for it to
# grow large.
install_log() {
  jq -n --arg group "$LOG_GROUP" '{logs: {logs_collected: {files: {collect_list: [
    {file_path: "/var/log/ec2-pool.log", log_group_name: $group, log_stream_name: "{instance_id}"}]}}}}' \
    >/etc/ec2-pool/cloudwatch.json
  cat >/etc/systemd/system/ec2-pool-log.service <<UNIT
[Unit]
Description=Writes what the node says to a file
[Service]
ExecStart=/bin/sh -c 'exec journalctl --follow --lines=all --boot --output=short-iso --identifier=ec2-pool >>/var/log/ec2-pool.log'
Restart=always
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now ec2-pool-log.service
  # The pool works without it, so that its failure must not keep a node.
  /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s \
    -c file:/etc/ec2-pool/cloudwatch.json || echo "ec2-pool: no log goes to CloudWatch"
}

# ---- the firewall

# The users of browsers, one for each session, so that none sees another: browser, browser2, …
browser_users() {
  local number
  echo browser
  for ((number = 2; number <= SESSIONS; number++)); do echo "browser$number"; done
}

# The elements of an nftables set of this family (4 or 6), from addresses and ranges with commas between them.
of_family() {
  local family=$1 address address_family elements=()
  for address in ${2//,/ }; do
    if [[ $address == *:* ]]; then address_family=6; else address_family=4; fi
    if [[ $address_family == "$family" ]]; then elements+=("$address"); fi
  done
  local IFS=,
  if ((${#elements[@]})); then echo "elements = { ${elements[*]} };"; fi
}

# Not every system has both files.
name_servers() { { cat /etc/resolv.conf /run/systemd/resolve/resolv.conf 2>/dev/null || true; } | awk '$1 == "nameserver" { print $2 }' | sort -u; }

# No pages are there, or not for everybody: this network, private, shared and link-local addresses (with the metadata service), loopback,
# tests and special uses (RFC 6890); the same IPv4 addresses in other clothes, unique local, link-local and multicast ones.
CLOSED=0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.168.0.0/16,198.18.0.0/15
CLOSED+=,224.0.0.0/3,::/8,2002::/16,fc00::/7,fe80::/10,ff00::/8

# The ranges of the network that this machine is in, which need not be private ones.
network_ranges() {
  local mac family
  for mac in $(imds meta-data/network/interfaces/macs/ || true); do
    for family in ipv4 ipv6; do imds "meta-data/network/interfaces/macs/${mac%/}/vpc-$family-cidr-blocks" || true; echo; done
  done 2>/dev/null | sed '/^$/d' | sort -u
}

# What pages make the browser do, and what npm installs, reaches the internet and what BrowserAllowedCidrs names: neither the credentials
# of this machine nor a neighbour. Answers to who has asked (the node, by DevTools) go out as they are.
install_firewall() {
  local servers network loopback=
  servers=$(name_servers | paste -sd, -)
  network=$(network_ranges | paste -sd, -)
  # A service speaks to its own browser there.
  if [[ $SERVICE_KIND == own ]]; then loopback='oifname "lo" accept'; fi
  cat >"$FIREWALL" <<RULES
table inet ec2-pool
delete table inet ec2-pool
table inet ec2-pool {
  set closed4 { type ipv4_addr; flags interval; auto-merge; $(of_family 4 "$CLOSED,$network") }
  set closed6 { type ipv6_addr; flags interval; auto-merge; $(of_family 6 "$CLOSED,$network") }
  set allowed4 { type ipv4_addr; flags interval; auto-merge; $(of_family 4 "$BROWSER_ALLOWED_CIDRS") }
  set allowed6 { type ipv6_addr; flags interval; auto-merge; $(of_family 6 "$BROWSER_ALLOWED_CIDRS") }
  set servers4 { type ipv4_addr; $(of_family 4 "$servers") }
  set servers6 { type ipv6_addr; $(of_family 6 "$servers") }
  chain output {
    type filter hook output priority filter;
    meta skuid { $(browser_users | paste -sd, -) } jump browser
  }
  chain browser {
    ct state established,related accept
    $loopback
    meta l4proto { tcp, udp } th dport 53 ip daddr @servers4 accept
    meta l4proto { tcp, udp } th dport 53 ip6 daddr @servers6 accept
    ip daddr @allowed4 accept
    ip6 daddr @allowed6 accept
    ip daddr @closed4 reject
    ip6 daddr @closed6 reject
  }
}
RULES
  cat >/etc/systemd/system/ec2-pool-firewall.service <<UNIT
[Unit]
Description=Keeps the browser's user from this machine's credentials and from its neighbours
DefaultDependencies=no
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft --file $FIREWALL
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now ec2-pool-firewall.service
}

# ---- a service of the operator's

as_browser() {
  systemd-run --quiet --wait --pipe --collect --uid=browser --working-directory="$SERVICE_DIR" \
    --setenv=HOME=/var/lib/browser --setenv=PUPPETEER_SKIP_DOWNLOAD=1 "$@"
}

# The bucket stands in the path, since not every name of one fits a certificate.
fetch_service() {
  local archive=/var/tmp/service.tar.gz
  signed s3 "https://s3.$REGION.amazonaws.com/${SERVICE_S3_URI#s3://}" --retry 5 --output "$archive" \
    -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'
  tar -C "$SERVICE_DIR" -xzf "$archive" --no-same-owner
  chown -R browser:browser "$SERVICE_DIR"
}

install_service() {
  install -d -o browser -g browser "$SERVICE_DIR"
  if [[ -n $SERVICE_S3_URI ]]; then
    fetch_service
  elif [[ ! -d $SERVICE_DIR/.git ]]; then
    as_browser git clone --depth 1 "$SERVICE_REPOSITORY" .
  fi
  local how=install
  if [[ -f $SERVICE_DIR/package-lock.json ]]; then how=ci; fi
  as_browser npm "$how" --no-audit --no-fund
  cat >/etc/systemd/system/browser-service.service <<UNIT
[Unit]
Description=Browser automation service
Wants=network-online.target
Requires=ec2-pool-firewall.service
After=network-online.target ec2-pool-firewall.service
[Service]
User=browser
WorkingDirectory=$SERVICE_DIR
Environment=PORT=$HEALTH_PORT HEALTH_PATH=$HEALTH_PATH
Environment=CHROME_PATH=$BROWSER PUPPETEER_EXECUTABLE_PATH=$BROWSER
ExecStart=/usr/bin/env $SERVICE_COMMAND
SyslogIdentifier=ec2-pool
Restart=always
RestartSec=2
OOMScoreAdjust=300
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
[Install]
WantedBy=multi-user.target
UNIT
}

# ---- the node

# What the node is told, a word each.
node_command() {
  local command=("$NODE")
  if [[ $SERVICE_KIND == own ]]; then
    command+=(watch --health-url "http://localhost:$HEALTH_PORT$HEALTH_PATH" --health-attempts "$HEALTH_ATTEMPTS"
      --health-interval-seconds "$HEALTH_INTERVAL_SECONDS" --clean-command '"systemctl restart browser-service.service"')
  else
    command+=(serve --port "$HEALTH_PORT" --health-path "$HEALTH_PATH" --chromium "$BROWSER"
      --sessions "$SESSIONS" --browser-user "$(browser_users | paste -sd, -)" --busy-percent-max "$BUSY_PERCENT_MAX")
    if [[ $ENDPOINT_TLS == false ]]; then command+=(--plain-http); fi
  fi
  command+=(--api "$API_URL" --region "$REGION" --heartbeat-seconds "$HEARTBEAT_SECONDS" --note-contact-in /run/ec2-pool
    --shutdown-after-seconds "$SILENCE_SECONDS_MAX" --shutdown-command '"systemctl poweroff"')
  echo "${command[*]}"
}

# It runs as root, so that Chrome can be another user, and writes only where a node keeps something. Memory that runs out ends Chromes and
# not the node, whose group's processes are not to be ended with them.
install_node() {
  install -m 755 "$LAYER_DIR/browser-node-$(uname -m)" "$NODE"
  local services=(ec2-pool-node.service)
  if [[ $SERVICE_KIND == own ]]; then services+=(browser-service.service); fi
  cat >/etc/systemd/system/ec2-pool-node.service <<UNIT
[Unit]
Description=Node of the pool
Wants=network-online.target
Requires=ec2-pool-firewall.service
After=network-online.target ec2-pool-firewall.service browser-service.service
StartLimitIntervalSec=0
[Service]
Group=browser
ExecStart=$(node_command)
Restart=always
RestartSec=2
RuntimeDirectory=ec2-pool
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
StateDirectory=ec2-pool
StateDirectoryMode=0711
SyslogIdentifier=ec2-pool
StandardOutput=journal+console
StandardError=journal+console
OOMScoreAdjust=-900
OOMPolicy=continue
LimitNOFILE=65536
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now "${services[@]}"
}

mkdir -p /etc/ec2-pool
# The browser of a lease has a home of its own, and its user none that would outlive it.
home=(--no-create-home --home-dir /nonexistent)
if [[ $SERVICE_KIND == own ]]; then home=(--create-home --home-dir /var/lib/browser); fi
for user in $(browser_users); do
  id "$user" >/dev/null 2>&1 || useradd --system "${home[@]}" --shell /sbin/nologin "$user"
done
install_packages
install_log
install_firewall
if [[ $SERVICE_KIND == own ]]; then install_service; fi
install_node
