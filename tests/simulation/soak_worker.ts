/** Lives one seed after the other, as it is told. */
import { digestInPlace } from "./digests.ts";
import { live } from "./life.ts";

// This module is loaded as a worker alone, whose global scope can post and hear.
const scope = globalThis as unknown as Worker;

digestInPlace();

scope.onmessage = async ({ data: seed }: MessageEvent<number>) => {
  scope.postMessage(await live(seed));
};
