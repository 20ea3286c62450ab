/** Validators of answers (RFC 9110, 8.8.3). Pure. */

/** Whether `If-None-Match` names this tag (RFC 9110, 13.1.2: the weak comparison). */
export function namesTag(ifNoneMatch: string | null | undefined, etag: string): boolean {
  return ifNoneMatch?.split(",").map((tag) => tag.trim().replace(/^W\//, ""))
    .some((tag) => tag === etag || tag === "*") ?? false;
}
