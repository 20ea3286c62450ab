/** One user on the page of a device: certificates, selection filters, receipts of removals. */
import type { DeviceItem } from "../admin_devices.ts";
import { Card, Table } from "./layout.tsx";
import { Badge, State, When } from "./words.tsx";

const DEVICES = "/admin/devices";

/** Receipts that the page lists of a user. */
const RECEIPTS_SHOWN = 20;

type DeviceUser = DeviceItem["users"][number];

/** How a user stands on a device. */
export function UserCard(
  { deviceId, user, now }: { deviceId: string; user: DeviceUser; now: number },
) {
  const { userId, email, username, managed, error, removed } = user;
  return (
    <Card title={email || "A former user"} id={`user-${userId}`}>
      <dl class="facts">
        <dt>Local account</dt>
        <dd>{username || "unknown"}</dd>
        <dt>State</dt>
        <dd>
          <State state={user.state} />{" "}
          {!managed && <Badge tone="plain">Not managed any more</Badge>}
        </dd>
        <dt>Last report</dt>
        <dd>{user.lastReport ? <When at={user.lastReport} now={now} /> : "none"}</dd>
        {error && (
          <>
            <dt>Error</dt>
            <dd>
              <code>{error.code}</code> {error.message}
            </dd>
          </>
        )}
      </dl>
      {user.leaves.length > 0 && <LeafTable user={user} now={now} />}
      {user.filters.length > 0 && <FilterTable user={user} />}
      {removed.length > 0 && (
        <details>
          <summary>Removed and read back as gone: {removed.length}</summary>
          <ul>
            {removed.slice(0, RECEIPTS_SHOWN).map(({ kind, id, at }) => (
              <li>
                {kind} <span class="id">{id}</span>, <When at={at} />
              </li>
            ))}
          </ul>
        </details>
      )}
      {managed && (
        <div class="actions">
          <a class="button" href={`${DEVICES}/${deviceId}/users/${userId}/unbind`}>
            Unbind…<span class="hidden">{` ${email}`}</span>
          </a>
        </div>
      )}
    </Card>
  );
}

function LeafTable({ user: { leaves, email }, now }: { user: DeviceUser; now: number }) {
  return (
    <Table
      caption={`Certificates of ${email}`}
      columns={["Certificate", "State", "Installed", "Ends", "Actions"]}
    >
      {leaves.map((leaf) => (
        <tr>
          <th scope="row">
            {leaf.commonName}
            <span class="hint id">{leaf.serial}</span>
          </th>
          <td>
            {leaf.status === "current"
              ? <Badge tone="good">Current</Badge>
              : <Badge tone="plain">In overlap</Badge>}
          </td>
          <td>{leaf.installedAt ? <When at={leaf.installedAt} /> : "not reported yet"}</td>
          <td>
            <When at={leaf.notAfter} now={now} />
          </td>
          <td>
            <a href={`/admin/certificates/${leaf.serial}/revoke`}>
              Revoke<span class="hidden">{` ${leaf.commonName}`}</span>
            </a>
          </td>
        </tr>
      ))}
    </Table>
  );
}

const FILTER_WORDS = {
  ok: ["Works", "good"],
  shadowed: ["Hidden by another policy", "bad"],
  missing: ["Missing", "bad"],
  "managed-elsewhere": ["Another policy sets it", "warn"],
} as const;

function FilterTable({ user: { filters, email } }: { user: DeviceUser }) {
  return (
    <Table
      caption={`Selection filters of ${email}`}
      columns={["Browser", "Selection filter", "Where"]}
    >
      {filters.map(({ browser, location, state }) => (
        <tr>
          <th scope="row">{browser}</th>
          <td>
            <Badge tone={FILTER_WORDS[state][1]}>{FILTER_WORDS[state][0]}</Badge>
          </td>
          <td class="id">{location}</td>
        </tr>
      ))}
    </Table>
  );
}
