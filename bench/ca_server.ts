/** For the bench: the authority over HTTP, a request in PEM in, a leaf in PEM out. */
import { openAuthority } from "../ca/authority.ts";
import { checkCsr } from "../ca/csr.ts";
import { issueLeaf } from "../ca/issue.ts";

const [folder] = Deno.args;
if (!folder) throw new Error("usage: ca_server.ts FOLDER");
const authority = await openAuthority(folder, { brand: "JumpCloud", now: new Date() });

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  // deno-lint-ignore no-console -- how the bench learns the port
  onListen: ({ port }) => console.log(port),
}, async (request) => {
  const { spki } = await checkCsr(await request.text());
  const { pem } = await issueLeaf(authority, {
    spki,
    deviceId: crypto.randomUUID(),
    userId: crypto.randomUUID(),
    nameSuffix: "00c0ffee",
    crlUrl: "https://agent.example/v1/crl",
    now: new Date(),
    ttlSeconds: 30 * 86_400,
  });
  return new Response(pem, { status: 201 });
});
