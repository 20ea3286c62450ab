/** The text of our systemd units (systemd.service(5), systemd.exec(5)). Pure; installs nothing. */
import { Problem } from "../errors.ts";
import { policyFolders } from "./policy_folders.ts";

/** Name of the agent's unit. */
export const AGENT_UNIT = "device-trust.service";

/** Name of the user-agent's template unit; the instance is the uid. */
export const USER_AGENT_TEMPLATE = "device-trust-user-agent@.service";

/** Where browsers look for managed policies: folders of root's, 0755, that the agent writes in. */
export const POLICY_FOLDERS: readonly string[] = policyFolders("", undefined)
  .map(({ managed }) => managed);

/** Name of the unit that runs the user-agent of one uid. */
export function userAgentUnitName(uid: string): string {
  return `device-trust-user-agent@${uid}.service`;
}

/**
 * The agent's unit. `binary` is absolute; one with characters that systemd reads its own way is
 * refused with `Problem` `internal`.
 *
 * It sees no home: those are the user-agent's, whom systemd starts. Beside its own folders it can
 * write those where browsers look for policies, which whoever installs the unit makes first (see
 * {@link POLICY_FOLDERS}): one that comes while it runs is writable from its next start on. `/run`
 * has a line of its own because systemd 252 and 257 leave it writable beside ProtectKernelTunables.
 */
export function agentUnit(binary: string): string {
  return `[Unit]
Description=Device Trust agent
Documentation=man:device-trust(8)
After=network.target nss-user-lookup.target
Wants=nss-user-lookup.target

[Service]
Type=exec
ExecStart=${program(binary)} agent
Restart=always
RestartSec=10
TimeoutStopSec=10

StateDirectory=device-trust
StateDirectoryMode=0700
RuntimeDirectory=device-trust
RuntimeDirectoryMode=0711
RuntimeDirectoryPreserve=restart
ConfigurationDirectory=device-trust
UMask=0077

ProtectSystem=strict
ReadOnlyPaths=/run
ReadWritePaths=${policyParents.map((path) => `-${path}`).join(" ")}
ProtectHome=yes
CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
${HARDENING}
[Install]
WantedBy=multi-user.target
`;
}

/**
 * The user-agent's template unit; `binary` as in {@link agentUnit}. It runs as the user whose uid
 * is the instance, needs that user's home and the agent's socket, and nothing of the network.
 */
export function userAgentUnit(binary: string): string {
  return `[Unit]
Description=Device Trust user-agent of uid %i
Documentation=man:device-trust(8)
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=${program(binary)} user-agent --once
User=%i
TimeoutStartSec=120
TimeoutStopSec=10
UMask=0077

ProtectSystem=full
CapabilityBoundingSet=
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX
${HARDENING}`;
}

const policyParents = policyFolders("", undefined).map(({ parent }) => parent);

/**
 * What both can do without. No MemoryDenyWriteExecute: V8 compiles as it runs. pkey_alloc and its
 * like are how V8 guards what it compiled.
 */
const HARDENING = `NoNewPrivileges=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @pkey
SystemCallErrorNumber=EPERM
`;

function program(binary: string): string {
  if (/^\/[A-Za-z0-9/._+-]+$/.test(binary)) return binary;
  throw new Problem(
    "internal",
    `Cannot make a service of ${binary}: its path must be absolute and hold letters, digits and ` +
      "./_+- only; move the binary, for instance to /usr/local/bin/device-trust",
  );
}
