/** What help and manual page say of the commands beside their descriptions. */

/** What every command ends with (DESIGN section 7). */
export const EXIT_CODES =
  "Exit codes: 0 done, 1 failed, 2 usage, 3 not enrolled, 4 something needs attention.";

/** How each command is used; `device-trust` stands for the program itself. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  "device-trust": [
    "enroll --server https://agents.example.com --connect-key-file key.txt",
    "status",
    "events --since 1d",
    "doctor",
    "mock-server --data ./server",
    "demo",
    "completion bash > /etc/bash_completion.d/device-trust",
  ],
  enroll: [
    "enroll --server https://agents.example.com --connect-key-file key.txt",
    "enroll --server https://localhost:8443 --server-ca ca.pem --connect-key-file - < key.txt",
  ],
  agent: ["agent", "agent --once", "--root ./device agent"],
  "user-agent": ["user-agent --once"],
  status: ["status", "status --watch", "status --json | jq '.users[].state'"],
  events: ["events --since 7d", "events --since 2026-11-25 --json | jq '.events[].type'"],
  doctor: [
    "doctor",
    "doctor --json | jq '.checks[] | select(.ok | not)'",
    "doctor --bundle support.tar.gz",
  ],
  renew: ["renew", "renew --user alice"],
  unenroll: ["unenroll"],
  config: ["config show", "config check ./config.json"],
  "keychain-password": ["keychain-password", "keychain-password | pbcopy"],
  profile: ["profile --output device-trust.mobileconfig"],
  service: ["service install", "service status", "service uninstall"],
  "mock-server": [
    "mock-server --data ./server",
    "mock-server --listen localhost:0 --portal localhost:0 --leaf-ttl 5m --renew-after 2m",
    "mock-server --trusted-proxy 10.0.0.0/8 fd00::/8",
  ],
  demo: ["demo"],
  completion: [
    "completion bash > /etc/bash_completion.d/device-trust",
    "completion zsh > /usr/local/share/zsh/site-functions/_device-trust",
    "completion fish > ~/.config/fish/completions/device-trust.fish",
  ],
};

/** The examples of a command as its help shows them; "" without any. */
export function examples(name: string): string {
  const lines = (EXAMPLES[name] ?? []).map((example) => `\n  $ device-trust ${example}`);
  return lines.length === 0 ? "" : `\nExamples:${lines.join("")}\n`;
}
