/** Accounts as `passwd` files and `getent passwd` show them (passwd(5)). Pure. */

/** One line. */
export interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  /** As written: empty where there is none. */
  home: string;
}

/** The first entry of exactly this name; the system takes the first too. */
export function findPasswdEntry(passwd: string, name: string): PasswdEntry | undefined {
  for (const line of passwd.split("\n")) {
    const entry = parsePasswdLine(line);
    if (entry?.name === name) return entry;
  }
  return undefined;
}

/** Reads one line; undefined for comments, entries of NIS and anything malformed. */
export function parsePasswdLine(line: string): PasswdEntry | undefined {
  const fields = line.split(":");
  const [name, , uid, gid, , home] = fields;
  if (fields.length !== 7 || !name || /^[#+-]/.test(name) || home === undefined) return undefined;
  const [uidNumber, gidNumber] = [parseId(uid), parseId(gid)];
  if (uidNumber === undefined || gidNumber === undefined) return undefined;
  return { name, uid: uidNumber, gid: gidNumber, home };
}

/**
 * The lowest uid of people's accounts, from the text of `login.defs` (login.defs(5)); 1000 where
 * it does not say.
 */
export function lowestPersonalUid(loginDefs: string | undefined): number {
  const value = /^[ \t]*UID_MIN[ \t]+(\d{1,9})[ \t]*(?:#.*)?$/m.exec(loginDefs ?? "")?.[1];
  return value === undefined ? 1000 : Number(value);
}

/** Why an account of this uid is no person's, or undefined when it may be one's. */
export function systemAccountReason(uid: number, lowest: number): string | undefined {
  if (uid === 0) return "is root's";
  if (uid === 65534 || uid === 65535) return `has uid ${uid}, which stands for nobody`;
  return uid < lowest
    ? `has uid ${uid}, below ${lowest}, where people's accounts begin`
    : undefined;
}

/** 0 to 2^32 - 2: the highest means "unchanged" to the kernel. */
function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id < 0xffffffff ? id : undefined;
}
