/** The schema of `state/state.db`. */

/** Versions of the file, oldest first. */
export const MIGRATIONS = [
  `
  CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    device_id TEXT,
    server TEXT NOT NULL,
    public_url TEXT,
    server_ca TEXT,
    machine TEXT,
    root TEXT,
    intermediate TEXT,
    leaving INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE desired (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    etag TEXT NOT NULL,
    body TEXT NOT NULL,
    received_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE sync (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_sync INTEGER,
    clock_offset INTEGER NOT NULL DEFAULT 0,
    error TEXT
  ) STRICT;
  CREATE TABLE user (
    user_id TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    uid TEXT,
    state TEXT NOT NULL,
    details TEXT NOT NULL,
    error TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER,
    checked_at INTEGER,
    unreported INTEGER NOT NULL DEFAULT 0,
    removed TEXT NOT NULL DEFAULT '[]'
  ) STRICT;
  CREATE TABLE created_directory (path TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
  CREATE TABLE event (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    user_id TEXT,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX event_at ON event (at);
  `,
  "ALTER TABLE identity ADD COLUMN former TEXT NOT NULL DEFAULT '[]';",
  "CREATE TABLE device_certificate (sha256 TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;",
] as const;
