/** What documents have their readers do. */
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What a document has readers type into a shell: its blocks that are marked `sh`. */
export function shellBlocks(document: string): string[] {
  const text = Deno.readTextFileSync(ROOT + document);
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block ?? "");
}
