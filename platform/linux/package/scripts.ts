/**
 * What the packages' managers run around installing, upgrading and removing. Pure texts of sh(1),
 * for machines with systemd and without: there whoever runs the agent starts it again.
 *
 * `remove` keeps the device as it is, so that a new install goes on with it; `purge`, and what rpm
 * calls erasing, unenrol it first and leave nothing.
 */
import { AGENT_UNIT } from "../service.ts";
import { BINARY, CONFIG } from "./contents.ts";

/** What dpkg runs (deb-postinst(5) and its like). */
export interface DebScripts {
  prerm: string;
  postinst: string;
  postrm: string;
}

/** What rpm runs, by the names of a spec's sections. */
export interface RpmScripts {
  pre: string;
  post: string;
  preun: string;
  postun: string;
}

const STATE = "/var/lib/device-trust";
/** Where a removed package waits for its purge: users must reach the program to clean their stores. */
const REMOVED = "/var/lib/device-trust-removed";
/** Folders of ours alone. */
const OURS = [STATE, "/var/log/device-trust", "/run/device-trust", "/etc/device-trust"].join(" ");

/** The agent ends, whoever started it. */
const stopAgent = (systemctl: string) =>
  `stop_agent() {
  if [ -d /run/systemd/system ]; then
    ${systemctl} stop ${AGENT_UNIT} >/dev/null 2>&1 || true
  fi
  pid=$(cat ${STATE}/agent.lock.pid 2>/dev/null) || return 0
  left=20
  while [ "$(readlink "/proc/$pid/exe")" = ${BINARY} ]; do
    if [ "$left" = 20 ]; then kill -TERM "$pid" || true; fi
    if [ "$left" = 0 ]; then kill -KILL "$pid" || true; return 0; fi
    left=$((left - 1))
    sleep 1
  done
}`;

/** A program leaves the server and cleans every store; that it was not enrolled is as good. */
const UNENROLL = `unenroll() {
  code=0
  "$1" unenroll || code=$?
  case $code in
    0|3) return 0 ;;
  esac
  echo "device-trust: something of this device could not be removed yet (see above)." >&2
  echo "Put it right and $2; to give it up: rm -r ${STATE}" >&2
  return 1
}`;

/** Debian's: with the means of init-system-helpers, which respect the administrator's choices. */
export function debScripts(): DebScripts {
  return {
    prerm: `#!/bin/sh
set -e

${stopAgent("deb-systemd-invoke")}

case "$1" in
  remove|upgrade|deconfigure)
    stop_agent
    ;;
esac

# Only a purge unenrols, and by then dpkg has taken the program and its configuration away.
if [ "$1" = remove ] && [ -e ${STATE}/device.key ]; then
  mkdir -p -m 0755 ${REMOVED}
  cp -p ${BINARY} ${REMOVED}/
  if [ -e ${CONFIG.path} ]; then cp -p ${CONFIG.path} ${REMOVED}/; fi
fi
`,
    postinst: `#!/bin/sh
set -e

case "$1" in
  configure|abort-upgrade|abort-deconfigure|abort-remove)
    rm -rf ${REMOVED}
    deb-systemd-helper unmask ${AGENT_UNIT} >/dev/null || true
    if deb-systemd-helper --quiet was-enabled ${AGENT_UNIT}; then
      deb-systemd-helper enable ${AGENT_UNIT} >/dev/null || true
    else
      deb-systemd-helper update-state ${AGENT_UNIT} >/dev/null || true
    fi
    if [ -d /run/systemd/system ]; then
      systemctl --system daemon-reload >/dev/null || true
      deb-systemd-invoke restart ${AGENT_UNIT} >/dev/null || true
    fi
    ;;
esac
`,
    postrm: `#!/bin/sh
set -e

${UNENROLL}

if [ "$1" = purge ]; then
  if [ -x ${REMOVED}/device-trust ] && [ -e ${STATE}/device.key ]; then
    # The proxy to the server is in it.
    if [ -e ${REMOVED}/config.json ] && [ ! -e ${CONFIG.path} ]; then
      mkdir -p /etc/device-trust
      cp -p ${REMOVED}/config.json /etc/device-trust/
    fi
    unenroll ${REMOVED}/device-trust "purge the package again"
  fi
  rm -rf ${REMOVED} ${OURS}
  deb-systemd-helper purge ${AGENT_UNIT} >/dev/null || true
fi

if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
fi
`,
  };
}

/** Those of rpm: \`$1\` is how many versions of the package will be there afterwards. */
export function rpmScripts(): RpmScripts {
  const reload = `if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi`;
  return {
    pre: `${stopAgent("systemctl")}
if [ "$1" -gt 1 ]; then stop_agent; fi`,
    post: `if [ "$1" -eq 1 ]; then
  systemctl --no-reload enable ${AGENT_UNIT} >/dev/null 2>&1 || true
fi
${reload}
if [ -d /run/systemd/system ] && systemctl --quiet is-enabled ${AGENT_UNIT}; then
  systemctl restart ${AGENT_UNIT} || true
fi`,
    preun: `${stopAgent("systemctl")}
${UNENROLL}
if [ "$1" -eq 0 ]; then
  systemctl --no-reload disable ${AGENT_UNIT} >/dev/null 2>&1 || true
  stop_agent
  unenroll ${BINARY} "erase the package again" || exit 1
fi`,
    postun: `${reload}
if [ "$1" -eq 0 ]; then rm -rf ${OURS}; fi`,
  };
}
