/** nssdb in hostile or odd surroundings: nothing changes, and the Problem says what to do. */
import assert from "node:assert/strict";
import type { NssdbStore } from "../platform/linux/nssdb.ts";
import {
  certutilTrust,
  installBundle,
  isProblem,
  leavesUntouched,
  makeDatabase,
  MOUNTING,
  nssTest,
  objectCount,
  onSmallDisk,
  plantOwnThings,
  removeBundle,
  run,
  sha256,
} from "./nss_witness.ts";

/** Things at a user's paths that must not be used. `at` is below the home. */
const odd: { name: string; words: RegExp; plant: (home: string) => void }[] = [
  {
    name: "~/.pki is a link",
    words: /\.pki is a symbolic link/,
    plant(home) {
      Deno.mkdirSync(`${home}/elsewhere/nssdb`, { recursive: true });
      Deno.symlinkSync("elsewhere", `${home}/.pki`);
    },
  },
  {
    name: "~/.pki/nssdb is a link to a database",
    words: /nssdb is a symbolic link/,
    plant(home) {
      makeDatabase(`${home}/elsewhere`);
      Deno.mkdirSync(`${home}/.pki`);
      Deno.symlinkSync("../elsewhere", `${home}/.pki/nssdb`);
    },
  },
  {
    name: "~/.pki/nssdb is a dangling link",
    words: /nssdb is a symbolic link/,
    plant(home) {
      Deno.mkdirSync(`${home}/.pki`);
      Deno.symlinkSync("../nowhere", `${home}/.pki/nssdb`);
    },
  },
  {
    name: "key4.db is a link",
    words: /key4\.db is a symbolic link/,
    plant(home) {
      makeDatabase(`${home}/elsewhere`);
      makeDatabase(`${home}/.pki/nssdb`);
      Deno.removeSync(`${home}/.pki/nssdb/key4.db`);
      Deno.symlinkSync("../../elsewhere/key4.db", `${home}/.pki/nssdb/key4.db`);
    },
  },
  {
    name: "~/.pki is a file",
    words: /\.pki is not a folder/,
    plant: (home) => Deno.writeTextFileSync(`${home}/.pki`, "mine"),
  },
  {
    name: "cert9.db is a FIFO",
    words: /cert9\.db is not a file/,
    plant(home) {
      Deno.mkdirSync(`${home}/.pki/nssdb`, { recursive: true });
      run("mkfifo", `${home}/.pki/nssdb/cert9.db`);
    },
  },
];

for (const { name, words, plant } of odd) {
  nssTest(`nothing changes when ${name}`, async (world) => {
    plant(world.home);
    await leavesUntouched(world.home, async () => {
      // Some show when opening, what is only in the way of making shows when making.
      await assert.rejects(
        async () => await installBundle(world.open(), world.ca),
        isProblem("internal", words),
      );
    });
  });
}

nssTest("nothing changes when ~/.pki belongs to somebody else", async (world) => {
  makeDatabase(`${world.home}/.pki/nssdb`);
  await leavesUntouched(world.home, () => {
    const uid = (Deno.uid() ?? 0) + 1;
    assert.throws(() => world.open({ uid }), isProblem("internal", /belongs to uid .*chown/s));
  });
});

nssTest("a missing home waits", async (world) => {
  const home = `${world.home}/not mounted`;
  const store = world.open({ home });
  await assert.rejects(installBundle(store, world.ca), isProblem("home-missing", /mounted/));
  assert.deepEqual([...Deno.readDirSync(world.home)], []);
});

function protectWithPassword(directory: string, home: string): void {
  Deno.writeTextFileSync(`${home}/password`, "correct horse\n");
  Deno.writeTextFileSync(`${home}/none`, "\n");
  const files = ["-f", `${home}/none`, "-@", `${home}/password`];
  run("certutil", "-W", "-d", `sql:${directory}`, ...files);
}

nssTest("a database with a password is left alone, and says how to go on", async (world) => {
  const directory = `${world.home}/.pki/nssdb`;
  makeDatabase(directory);
  plantOwnThings(directory, world.ca);
  protectWithPassword(directory, world.home);
  await leavesUntouched(world.home, () => {
    assert.throws(() => world.open(), isProblem("store-password", /certutil -W -d 'sql:/));
  });
});

nssTest("a sandbox's database with a password keeps nobody from the rest", async (world) => {
  const other = `${world.home}/snap/chromium/current/.pki/nssdb`;
  makeDatabase(other);
  protectWithPassword(other, world.home);
  await leavesUntouched(other, async () => {
    const store = world.open();
    const bundle = await installBundle(store, world.ca);
    const [left, ...more] = store.uncovered;
    assert.deepEqual(more, []);
    assert.equal(left?.path, other);
    assert.equal(left?.usedBy, "the snap chromium");
    assert.equal(left?.problem.code, "store-password");
    const leaf = (await store.list()).certificates.find((found) => found.hasKey);
    assert.equal(leaf?.complete, true);
    assert.equal(leaf?.sha256, bundle.sha256);
    store.close();
    // A removal must not claim what it cannot see.
    assert.throws(() => world.open({ create: false }), isProblem("store-password"));
  });
});

const damages: Record<string, (file: Uint8Array) => Uint8Array> = {
  "is no database": () => new TextEncoder().encode("not a database".repeat(1000)),
  "was cut short": (file) => file.subarray(0, 5000),
  "lost a page": (file) => file.slice().fill(0xff, 4096, 8192),
};

for (const file of ["cert9.db", "key4.db"]) {
  for (const [name, damage] of Object.entries(damages)) {
    nssTest(`nothing changes when ${file} ${name}`, async (world) => {
      const directory = `${world.home}/.pki/nssdb`;
      makeDatabase(directory);
      plantOwnThings(directory, world.ca);
      const path = `${directory}/${file}`;
      Deno.writeFileSync(path, damage(Deno.readFileSync(path)));
      const before = Deno.readFileSync(path);
      await assert.rejects(async () => {
        const store = world.open();
        await store.list();
      }, isProblem("internal", new RegExp(`${file} is damaged.*move`)));
      assert.deepEqual(Deno.readFileSync(path), before);
    });
  }
}

/** Another program that holds a database until it is ended, or for so many milliseconds. */
async function holdDatabase(
  file: string,
  how: string,
  milliseconds = 600_000,
): Promise<Deno.ChildProcess> {
  const code = `
    import { DatabaseSync } from "node:sqlite";
    const database = new DatabaseSync(Deno.args[0]);
    database.exec(Deno.args[1]);
    database.prepare("SELECT count(*) FROM sqlite_schema").get();
    console.log("held");
    setTimeout(() => Deno.exit(), Number(Deno.args[2]));
  `;
  const holder = new Deno.Command(Deno.execPath(), {
    args: ["eval", code, "--", file, how, String(milliseconds)],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = holder.stdout.getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value).trim(), "held");
  reader.releaseLock();
  return holder;
}

async function end(holder: Deno.ChildProcess): Promise<void> {
  holder.kill("SIGKILL");
  await holder.stdout.cancel();
  await holder.status;
}

for (const how of ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]) {
  for (const file of ["cert9.db", "key4.db"]) {
    nssTest(`who holds ${file} (${how}) is named after the deadline`, async (world) => {
      const directory = `${world.home}/.pki/nssdb`;
      makeDatabase(directory);
      const holder = await holdDatabase(`${directory}/${file}`, how);
      try {
        await leavesUntouched(world.home, () => {
          const words = new RegExp(`deno \\(process ${holder.pid}\\) holds ${directory}`);
          assert.throws(() => world.open(), isProblem("store-locked", words));
        });
      } finally {
        await end(holder);
      }
    });
  }
}

nssTest("a held database is tried again until it is free, and then used", async (world) => {
  const directory = `${world.home}/.pki/nssdb`;
  makeDatabase(directory);
  const holder = await holdDatabase(`${directory}/key4.db`, "BEGIN EXCLUSIVE");
  const pauses: number[] = [];
  let now = 0;
  const store = world.open({
    lockTimeout: 60_000,
    now: () => now,
    pause(milliseconds) {
      now += milliseconds;
      pauses.push(milliseconds);
      if (pauses.length < 2) return;
      holder.kill("SIGKILL");
      // The lock goes when the kernel has taken the process away, which is not at once.
      while (Deno.readTextFileSync("/proc/locks").includes(` ${holder.pid} `));
    },
  });
  assert.deepEqual(pauses, [100, 200]);
  await installBundle(store, world.ca);
  await end(holder).catch(() => {});
});

nssTest("a database that never becomes free is given up at the deadline", async (world) => {
  const directory = `${world.home}/.pki/nssdb`;
  makeDatabase(directory);
  const holder = await holdDatabase(`${directory}/cert9.db`, "BEGIN IMMEDIATE");
  let now = 0;
  const open = () =>
    world.open({ lockTimeout: 500, now: () => now, pause: (wait) => void (now += wait) });
  try {
    assert.throws(open, isProblem("store-locked"));
    assert.equal(now, 300);
  } finally {
    await end(holder);
  }
});

nssTest("a lock for some seconds only delays what was begun", async (world) => {
  const store = world.open();
  await store.list();
  await store.createKey("P-256", () => {});
  const holder = await holdDatabase(`${store.location}/key4.db`, "BEGIN IMMEDIATE", 1500);
  const { key } = await installBundle(store, world.ca);
  assert.ok((await store.list()).keys.includes(key));
  await holder.stdout.cancel();
  await holder.status;
});

function fillDisk(home: string): void {
  using file = Deno.openSync(`${home}/filling`, { write: true, create: true });
  const block = new Uint8Array(4096);
  try {
    for (;;) if (file.writeSync(block) < block.length) return;
  } catch {
    // Full is what was wanted.
  }
}

nssTest("a full disk stops each change, which can be done once there is room", async (world) => {
  await onSmallDisk(world.home, async () => {
    const store = world.open();
    const bundle = await installBundle(store, world.ca);
    const leaf = world.ca.issue(bundle.spki, { subject: "/CN=Another Leaf" });
    const spare = await store.createKey("P-256", () => {});
    const changes: Record<string, () => Promise<unknown>> = {
      createKey: () => store.createKey("P-256", () => {}),
      install: () => store.install("leaf", leaf),
      removeCertificate: () => store.removeCertificate(bundle.sha256),
      removeKey: async () => await store.removeKey(await sha256(spare)),
    };
    for (const [name, change] of Object.entries(changes)) {
      fillDisk(world.home);
      const before = await store.list();
      await assert.rejects(change(), isProblem("disk-full", /Free some space/), name);
      assert.deepEqual(await store.list(), before, name);
      Deno.removeSync(`${world.home}/filling`);
      await change();
      assert.notDeepEqual(await store.list(), before, name);
    }
    store.close();
  });
}, MOUNTING);

nssTest("a full disk stops the making of a database, which is made later", async (world) => {
  await onSmallDisk(world.home, async () => {
    fillDisk(world.home);
    const refused = world.open();
    await assert.rejects(installBundle(refused, world.ca), isProblem("disk-full"));
    refused.close();
    Deno.removeSync(`${world.home}/filling`);
    const store = world.open();
    await installBundle(store, world.ca);
    assert.equal(certutilTrust(store.location)["Leaf"], "u,u,u");
    store.close();
  });
}, MOUNTING);

nssTest("a home that is mounted read-only says so", async (world) => {
  await onSmallDisk(world.home, async () => {
    const first = world.open();
    const bundle = await installBundle(first, world.ca);
    first.close();
    run("mount", "-o", "remount,ro", world.home);
    const readOnly = isProblem("internal", /cannot be written.*(EROFS|read-only)/is);
    let store: NssdbStore | undefined;
    await assert.rejects(async () => {
      store = world.open();
      await store.removeCertificate(bundle.sha256);
    }, readOnly);
    store?.close();
    run("mount", "-o", "remount,rw", world.home);
    const again = world.open();
    await removeBundle(again, world.ca, bundle);
    again.close();
    assert.equal(objectCount(again.location), 0);
  });
}, MOUNTING);

nssTest("an empty home that is mounted read-only says so", async (world) => {
  await onSmallDisk(world.home, async () => {
    run("mount", "-o", "remount,ro", world.home);
    const store = world.open();
    await assert.rejects(store.createKey("P-256", () => {}), isProblem("internal", /EROFS/));
    store.close();
  });
}, MOUNTING);

nssTest("an issuer and serial that another certificate has is refused cleanly", async (world) => {
  const store = world.open();
  const spki = await store.createKey("P-256", () => {});
  const theirs = world.ca.issue(spki, { subject: "/CN=Theirs", serial: "4242" });
  await store.install("leaf", theirs);
  const ours = world.ca.issue(spki, { subject: "/CN=Ours", serial: "4242" });
  const before = await store.list();
  await assert.rejects(
    store.install("leaf", ours),
    isProblem("internal", /same issuer and serial/),
  );
  assert.deepEqual(await store.list(), before);
});

Deno.test("without libnss3 the message names the package", async () => {
  const code = `
    const dlopen = Deno.dlopen;
    Deno.dlopen = () => { throw new Error("libnss3.so: cannot open shared object file"); };
    const { openNssdb } = await import(Deno.args[0]);
    const home = Deno.makeTempDirSync();
    const store = openNssdb({ home, recordPath() {} });
    try {
      await store.createKey("P-256", () => {});
    } catch (error) {
      console.log(error.code, error.message, [...Deno.readDirSync(home)].length);
    }
    Deno.removeSync(home);
  `;
  const module = new URL("../platform/linux/nssdb.ts", import.meta.url).href;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code, "--", module],
    stderr: "inherit",
  }).output();
  assert.match(
    new TextDecoder().decode(stdout),
    /^internal .*apt-get install libnss3 .*nss.* 0\n$/,
  );
});
